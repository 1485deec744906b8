"""Heuristic filters, MB/s per core: all of our Korean stack against datatrove's Gopher, C4 and FineWeb filters.

Ours is the default stack: normalize, mojibake, html, errors, length, language, repetition, korean, personal_data. The
peer is the stack that FineWeb describes: GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter and
FineWebQualityFilter, with datatrove's English word tokenizer (spaCy, which has to be installed) for both languages: its
Korean one, a morphological analysis by Kiwi, is six times slower. Ours stops at the step that drops a document; the
peer's filters all see every document, since their English rules drop nearly all Korean at once.
"""

from __future__ import annotations

import time

import measure

STACK = ("normalize", "mojibake", "html", "errors", "length", "language", "repetition", "korean", "personal_data")


def peers(language: str) -> list[object]:
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return [
        GopherRepetitionFilter(language=language),
        GopherQualityFilter(language=language),
        C4QualityFilter(filter_no_terminal_punct=False, language=language),
        FineWebQualityFilter(language=language),
    ]


def main() -> None:
    from datatrove.data import Document as TroveDocument

    from kormo_plugins.corpus.steps.language import identify
    from kormo_plugins.corpus.steps.text import prose
    from kormo_plugins.documents import Document, Reject
    from kormo_plugins.registry import registry

    everything, kind = measure.real_text()
    components = registry()
    if kind.startswith("made-up"):  # words without a language: the embedded corpus has one
        params = components.params("generator", "embedded", {"megabytes": 4})
        everything = [document.text for document in components.load("generator", "embedded")(params, 0, 1)]
        kind = "the embedded corpus: set KORMO_TEST_TEXT for real text"
    steps = [components.load("corpus_step", n)(components.params("corpus_step", n, {})) for n in STACK]
    total = {"ours": 0.0, "peer": 0.0}
    sizes = {"ours": 0.0, "peer": 0.0}
    for language in ("ko", "en"):
        texts = [text for text in everything if len(text) > 200 and identify(prose(text)) == language]

        def ours(texts: list[str] = texts, language: str = language) -> int:
            kept = 0
            for text in texts:
                document = Document("", text, language=language)
                for step in steps:
                    result = step(document)
                    if isinstance(result, Reject):
                        break
                    document = result
                else:
                    kept += 1
            return kept

        kept = ours()
        spent = measure.seconds(ours, 2)
        sample = texts[:: max(1, len(texts) // 150)]
        filters = peers("eng")
        for one in filters:
            one.filter(TroveDocument(text=sample[0], id=""))  # type: ignore[attr-defined]
        begin, peer_kept = time.process_time(), 0
        for text in sample:
            results = [one.filter(TroveDocument(text=text, id="")) for one in filters]  # type: ignore[attr-defined]
            peer_kept += all(result is True for result in results)
        peer_spent = time.process_time() - begin
        mine, theirs = (sum(len(text.encode()) for text in group) / 1e6 for group in (texts, sample))
        print(
            f"{language}: ours {mine / spent:.2f} MB/s, keeps {kept / len(texts):.1%} of {len(texts)}; "
            f"peer {theirs / peer_spent:.3f} MB/s, keeps {peer_kept / len(sample):.1%} of {len(sample)}"
        )
        total["ours"] += spent
        total["peer"] += peer_spent
        sizes["ours"] += mine
        sizes["peer"] += theirs
    print(kind)
    rates = {name: sizes[name] / total[name] for name in total}
    measure.result("filters", "MB/s/core", rates["ours"], rates["peer"], "datatrove Gopher+C4+FineWeb")


if __name__ == "__main__":
    main()
