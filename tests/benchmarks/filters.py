"""Heuristic filters, MB/s per core: all of our Korean stack against datatrove's Gopher, C4 and FineWeb filters.

Ours is the default stack: normalize, mojibake, html, errors, length, language, repetition, korean, personal_data. The
peer is the stack that FineWeb describes: GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter and
FineWebQualityFilter. It splits words with `text.split()`, the fastest that it can be given; `--tokenizers` adds the one
that datatrove names for the language (Kiwi, spaCy). Both sides let every step see every document, whatever a step
before it says of it. Korean is fresh text, with lines and words exchanged (`fresh_text`).

    python tests/benchmarks/filters.py [--tokenizers]
"""

from __future__ import annotations

import argparse
import time

import fresh_text
import measure
from datatrove.data import Document as TroveDocument
from white_space import at_white_space

from kormo_plugins.corpus.scan.text_scan import steps_with
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.plugins.registry import registry

STACK = ("normalize", "mojibake", "html", "errors", "length", "language", "repetition", "korean", "personal_data")


WHITE_SPACE = "text.split()"
TOKENIZERS = {"eng": "spaCy (English)", "kor": "Kiwi (Korean)"}
SAMPLE = {"eng": 150, "kor": 40}
"""Documents that the peer sees with its own tokenizers."""


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizers", action="store_true", help="the peer with its own word tokenizers as well")
    options = parser.parse_args()
    components = registry()
    korean, kind = fresh_text.korean()
    everything, _ = measure.real_text()
    english = [text for text in everything if len(text) > 200 and text.isascii()]
    steps = [components.load("corpus_step", n)(components.params("corpus_step", n, {})) for n in STACK]
    rates = {}
    for language, texts in (("ko", list(fresh_text.documents(korean, 8_000_000, 1))), ("en", english)):
        size = sum(len(text.encode()) for text in texts) / 1e6
        if not texts:
            continue

        def ours(texts: list[str] = texts, language: str = language) -> int:
            kept = 0
            for text in texts:
                document, stays = Document("", text, language=language), True
                for step in steps:
                    result = step(document)
                    if isinstance(result, Reject):
                        stays = False
                    else:
                        document = result
                kept += stays
            return kept

        with steps_with(scans=True):  # compiled, so not waited for
            ours([texts[0]])
        begin = time.process_time()
        kept = ours()
        rates["ours", language] = size / (time.process_time() - begin)
        print(f"{language}: ours {rates['ours', language]:.2f} MB/s, keeps {kept / len(texts):.1%} of {len(texts)}")
        with at_white_space():
            rates["peer", language] = _judged(peers("eng"), texts, f"{language}: peer with {WHITE_SPACE}")
        for tokenizer in ("eng", "kor") if options.tokenizers and language == "ko" else ():
            sample = texts[:: max(1, len(texts) // SAMPLE[tokenizer])]
            _judged(peers(tokenizer), sample, f"{language}: peer with {TOKENIZERS[tokenizer]}")
    print(kind)
    measure.result("filters", "MB/s/core", rates["ours", "ko"], rates["peer", "ko"], f"datatrove, {WHITE_SPACE}")


def _judged(filters: list[object], texts: list[str], label: str) -> float:
    """Megabytes a second; every filter sees every document."""
    for one in filters:
        one.filter(TroveDocument(text=texts[0], id=""))  # type: ignore[attr-defined]
    begin, kept = time.process_time(), 0
    for text in texts:
        results = [one.filter(TroveDocument(text=text, id="")) for one in filters]  # type: ignore[attr-defined]
        kept += all(result is True for result in results)
    rate = sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - begin)
    print(f"{label} {rate:.3f} MB/s, keeps {kept / len(texts):.1%} of {len(texts)}")
    return rate


if __name__ == "__main__":
    main()
