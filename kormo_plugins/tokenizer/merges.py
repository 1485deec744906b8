"""Merges by gigabpe: those of the tokenizers library's trainer, several times as fast, where that is proved.

gigabpe (Apache-2.0; wheels for CPython 3.9 to 3.14; version 0.1, one author, hence an extra) has no split like ours.
So the text is cut here, and each piece is handed over as a word of byte symbols, as often as it occurs. Pieces need
less memory than text, and no memory for a set of the pieces that each pair occurs in.

Not taken on trust: the split is tried on every code point of the text (`pieces`), and the first `PROOF_CHARACTERS`
of the text are learned from by both trainers, whose merges must be equal. Ties are broken by ids in both; symbols that
the text lacks have none in gigabpe, which leaves the order of the others as it is.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from kormo_plugins.tokenizer.params import ALPHABET, TokenizerParams
from kormo_plugins.tokenizer.pieces import count_pieces, in_symbols

PROOF_CHARACTERS = 100_000
"""Text that both trainers learn from; a fifth of a second of the slower one."""
PROOF_VOCABULARY = 4_000
"""Most entries of the vocabulary that is compared."""
WRITE = 1 << 20
"""Characters written at once."""

Merges = list[tuple[str, str]]
"""Pairs in byte symbols, in order."""


@dataclass(frozen=True)
class Learned:
    """Merges and what vouches for them.

    Args:
        merges: of the whole text.
        proof: trainer, reference, and how much was learned by both with equal merges; for the manifest.
    """

    merges: Merges
    proof: dict[str, str | int]


def learn_merges(
    texts: Callable[[], Iterator[str]],
    params: TokenizerParams,
    split: str,
    disputed: Callable[[set[str]], list[str]],
    reference: Callable[[Iterable[str], int], Merges],
    scratch: Path,
) -> Learned | str:
    """The merges that the tokenizers library would learn, or the reason why they are not known from here.

    Args:
        texts: gives the texts anew at each call.
        split: the regular expression that cuts text into pieces.
        disputed: of characters, those that the library normalizes or splits in another way than Python.
        reference: the library's own merges of some texts, for a vocabulary of that size.
        scratch: folder for a file as large as the text.
    """
    if find_spec("gigabpe") is None:
        return "gigabpe is not installed"
    sample = list(_first(texts(), PROOF_CHARACTERS))
    size = min(params.vocab_size, PROOF_VOCABULARY)
    proof = reference(sample, size)
    if _merges(count_pieces(sample, split).counts, params, size, scratch) != proof:
        return "gigabpe and tokenizers learned different merges from the beginning of the text"
    pieces = count_pieces(texts(), split)
    if strange := disputed(pieces.characters):
        return f"tokenizers splits or normalizes {strange[0]!a} in another way"
    return Learned(
        _merges(pieces.counts, params, params.vocab_size, scratch),
        {
            "trainer": f"gigabpe {version('gigabpe')}",
            "reference": f"tokenizers {version('tokenizers')}",
            "characters": sum(map(len, sample)),
            "merges": len(proof),
        },
    )


def _first(texts: Iterator[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def _merges(counts: Counter[str], params: TokenizerParams, vocab_size: int, scratch: Path) -> Merges:
    """gigabpe's merges of pieces that occur so often."""
    import gigabpe

    words = {in_symbols(piece): number for piece, number in counts.items()}
    seen = len(set().union(*words)) if words else 0
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt", dir=scratch) as file:
        for word, number in words.items():
            block = max(1, WRITE // (len(word) + 1))
            for begin in range(0, number, block):
                file.write(f"{word}\n" * min(block, number - begin))
        file.flush()
        _, merges = gigabpe.train_bpe(
            [str(Path(file.name))],
            vocab_size - (ALPHABET - seen),
            special_tokens=[],
            min_frequency=params.min_frequency,
            max_token_length=params.max_token_length + 1,  # it stops below its limit, like the library
            pretokenizer="whitespace",
        )
    return [(left, right) for left, right in merges]
