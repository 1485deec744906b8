"""Heuristic filters, MB/s per core: all of our Korean stack against datatrove's Gopher, C4 and FineWeb filters.

Ours is the default stack: normalize, mojibake, html, errors, length, language, repetition, korean, personal_data. The
peer is the stack that FineWeb describes: GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter and
FineWebQualityFilter. For Korean it runs twice: with the word tokenizer that datatrove names for Korean (Kiwi, a
morphological analysis) and with its English one (spaCy), which is faster; the ratio is to the faster. Ours stops at the
step that drops a document; the peer's filters all see every document, since their English rules drop nearly all Korean
at once.

    pip install -e '.[benchmarks]'
"""

from __future__ import annotations

import time

import measure

STACK = ("normalize", "mojibake", "html", "errors", "length", "language", "repetition", "korean", "personal_data")


TOKENIZERS = {"eng": "spaCy (English)", "kor": "Kiwi (Korean)"}
SAMPLE = {"eng": 150, "kor": 40}
"""Documents that the peer sees."""


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
    from kormo_plugins.documents.document import Document, Reject
    from kormo_plugins.plugins.registry import registry

    everything, kind = measure.real_text()
    components = registry()
    if kind.startswith("made-up"):  # words without a language: the embedded corpus has one
        params = components.params("generator", "embedded", {"megabytes": 4})
        everything = [document.text for document in components.load("generator", "embedded")(params, 0, 1)]
        kind = "the embedded corpus: set KORMO_TEST_TEXT for real text"
    steps = [components.load("corpus_step", n)(components.params("corpus_step", n, {})) for n in STACK]
    total = {"ours": 0.0, "peer": 0.0}
    sizes = {"ours": 0.0, "peer": 0.0}
    for language, tokenizers in (("ko", ("eng", "kor")), ("en", ("eng",))):
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
        mine = sum(len(text.encode()) for text in texts) / 1e6
        print(f"{language}: ours {mine / spent:.2f} MB/s, keeps {kept / len(texts):.1%} of {len(texts)}")
        total["ours"] += spent
        sizes["ours"] += mine
        for tokenizer in tokenizers:
            sample = texts[:: max(1, len(texts) // SAMPLE[tokenizer])]
            filters = peers(tokenizer)
            for one in filters:
                one.filter(TroveDocument(text=sample[0], id=""))  # type: ignore[attr-defined]
            begin, peer_kept = time.process_time(), 0
            for text in sample:
                results = [one.filter(TroveDocument(text=text, id="")) for one in filters]  # type: ignore[attr-defined]
                peer_kept += all(result is True for result in results)
            peer_spent = time.process_time() - begin
            theirs = sum(len(text.encode()) for text in sample) / 1e6
            print(
                f"{language}: peer with {TOKENIZERS[tokenizer]} {theirs / peer_spent:.3f} MB/s, "
                f"keeps {peer_kept / len(sample):.1%} of {len(sample)}"
            )
            if tokenizer == "eng":
                total["peer"] += peer_spent
                sizes["peer"] += theirs
    print(kind)
    rates = {name: sizes[name] / total[name] for name in total}
    measure.result("filters", "MB/s/core", rates["ours"], rates["peer"], "datatrove Gopher+C4+FineWeb")


if __name__ == "__main__":
    main()
