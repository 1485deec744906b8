"""Words kept from Korean web pages, and pages per second, by each extractor of the step `extract`.

Forty pages in Korean, written and marked by hand (`tests/corpus/marked/pages.txt`): news, blogs, forums, shops, wikis,
tables, notices, magazines, questions and answers, and broken markup. What is to be kept are title, text, tables of the
text, and comments; menus, dates, buttons, related pages and imprints are not. Precision, recall and F1 are of words,
counted as often as they come, and means over pages. `everything` is the page without its tags.

    pip install -e '.[crawl]'
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import measure

from kormo_plugins.corpus.extract.extractors import EXTRACTORS
from kormo_plugins.corpus.extract.page import page_text
from tests.corpus.marked_text import kept_words, marked_pages


def main() -> None:
    """Prints a line for each extractor, its F1 by genre, and the result."""
    pages = marked_pages()
    extractors: dict[str, Callable[[str, bool], str]] = {**EXTRACTORS, "everything": lambda html, _: page_text(html)}
    mean: dict[str, float] = {}
    for name, extract in extractors.items():
        found = [kept_words(extract(page.html, True), page.wanted) for page in pages]
        precision, recall, mean[name] = (sum(column) / len(pages) for column in zip(*found, strict=True))
        by_genre: dict[str, list[float]] = defaultdict(list)
        for page, (_, _, f1) in zip(pages, found, strict=True):
            by_genre[page.genre].append(f1)
        spent = measure.seconds(lambda extract=extract: [extract(page.html, True) for page in pages], 3)  # type: ignore[misc]
        print(
            f"{name}: precision {precision:.3f}, recall {recall:.3f}, F1 {mean[name]:.3f}, "
            f"{len(pages) / spent:,.0f} pages/s"
        )
        print("   ", ", ".join(f"{genre} {sum(values) / len(values):.2f}" for genre, values in by_genre.items()))
    measure.result("extract", "F1 of kept words", mean["resiliparse"], mean["trafilatura"], "trafilatura")


if __name__ == "__main__":
    main()
