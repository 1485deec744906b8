"""Languages told: right on short lines and whole documents, and how fast, beside the package eldc.

The marked lines and documents are those of `tests/corpus/marked_lines.py`, in 12 languages; real documents
(`measure.real_text`) are marked by their file's name. A language that eldc has under no name (Indonesian, Mongolian)
counts against it in the first figure and is left out of the second; Malay counts as Indonesian, and the two ways of
writing Chinese as one, as it tells neither apart. Rates are of calls with one text each; eldc looks at a sample of a
long text, ours at the first 40,000 characters.

    python tests/benchmarks/language.py        needs `pip install eldc`
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import measure

Tell = Callable[[str], str]
THEIRS_ALONE = ("id", "mn")


def right(tell: Tell, marked: Sequence[tuple[str, str]], without: Sequence[str] = ()) -> float:
    """Share of the texts whose language is told, `zh` and `zh-Hant` as one."""
    asked = [(text, language) for text, language in marked if language not in without]
    return sum(tell(text).partition("-")[0] == language.partition("-")[0] for text, language in asked) / len(asked)


def rate(tell: Tell, texts: Sequence[str]) -> tuple[float, float]:
    """Megabytes and texts per second of processor, the best of five runs over all texts."""
    best = measure.seconds(lambda: [tell(text) for text in texts])
    return sum(len(text.encode()) for text in texts) / 1e6 / best, len(texts) / best


def real_documents() -> list[tuple[str, str]]:
    """Documents of files named like `…_ko.jsonl`, by their language."""
    folder = Path(os.environ.get("KORMO_TEST_TEXT") or measure.ROOT.parent / "shared/data")
    files = [(file, file.stem.rpartition("_")[2]) for file in sorted(folder.glob("*_??.jsonl"))]
    return [(json.loads(row)["text"], code) for file, code in files for row in file.read_text("utf-8").splitlines()]


def main() -> None:
    sys.path.insert(0, str(measure.ROOT / "tests" / "corpus"))
    import eldc
    import marked_lines

    from kormo_plugins.corpus.steps.languages import models
    from kormo_plugins.corpus.steps.languages.language import identify

    eldc.init()

    def ours(text: str) -> str:
        return identify(text[:40_000])

    def theirs(text: str) -> str:
        return {"ms": "id"}.get(found := eldc.detect(text), found)

    def both(text: str) -> str:
        return models.by_eldc(text, identify(text[:40_000]))

    begin = time.process_time()
    ours("")
    print(f"first call: {time.process_time() - begin:.2f} s of processor")
    lines, documents, real = marked_lines.lines(), marked_lines.documents(), real_documents()
    found = {}
    for name, tell in (("ours", ours), ("engine: eldc", both), ("eldc", theirs)):
        parts = [f"lines {right(tell, lines):.4f} (without id, mn: {right(tell, lines, THEIRS_ALONE):.4f})"]
        parts.append(f"documents {right(tell, documents):.4f}")
        if real:
            parts.append(f"real documents {right(tell, real):.4f}")
        megabytes, texts = rate(tell, [text for text, _ in real or documents])
        found[name] = rate(tell, [text for text, _ in lines])[1]
        print(f"{name}: {', '.join(parts)}; {megabytes:.0f} MB/s, {texts:,.0f} documents/s, {found[name]:,.0f} lines/s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    measure.result("language", "lines/s", found["ours"], found["eldc"], "eldc")


if __name__ == "__main__":
    main()
