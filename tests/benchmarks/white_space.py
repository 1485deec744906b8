"""datatrove without a word tokenizer of its own: words at white space, the fastest that the peer can be given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_white_space() -> Iterator[None]:
    """Within it, the peer splits words at white space."""
    from datatrove.pipeline.dedup import minhash
    from datatrove.utils import word_tokenizers

    class WhiteSpace(word_tokenizers.WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.split("\n")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return list(word_tokenizers.simple_span_tokenize(text, self.sent_tokenize(text)))

    before = word_tokenizers.load_word_tokenizer
    for module in (minhash, word_tokenizers):
        module.load_word_tokenizer = lambda language: WhiteSpace()
    try:
        yield
    finally:
        for module in (minhash, word_tokenizers):
            module.load_word_tokenizer = before
