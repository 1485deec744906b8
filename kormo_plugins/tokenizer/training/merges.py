"""Merges equal to those of the tokenizers library: by gigabpe, several times as fast, or with the pieces on disk.

The text is split and counted here (`piece_counts`). gigabpe (Apache-2.0; wheels for CPython 3.9 to 3.14; version 0.1, a
single author, hence an optional extra) keeps every distinct piece in memory, about 400 bytes each. Where these do not
fit, or where gigabpe is not installed and the text does not fit in the tokenizers library, the pieces stay on disk
(`external`), which is slower and needs no more memory for more text.

gigabpe does not support our split. Each piece is passed as a word of byte symbols, repeated by its count. Two files
suffice: `many`, listed `BASE` times, has each piece count // `BASE` times, and `ones` has it count % `BASE` times.

Verification: the split is compared on every code point of the text (`pieces`), and the trainer and the library train on
the first `PROOF_CHARACTERS` characters and must produce equal merges. Both break ties by ids; symbols that do not occur
in the text have no id in gigabpe, which does not change the order of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from kormo_plugins import __version__
from kormo_plugins.console.progress import Progress, watched
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.layout import byte_symbols
from kormo_plugins.tokenizer.params import ALPHABET, TokenizerParams
from kormo_plugins.tokenizer.training.budget import EXTERNAL_LEAST, gigabpe_memory, memory_for

if TYPE_CHECKING:
    from kormo_plugins.tokenizer.training.piece_counts import Counted, PieceCounts

PROOF_CHARACTERS = 100_000
"""Characters that both trainers train on; a fifth of a second for the slower one."""
PROOF_VOCABULARY = 4_000
"""Maximum vocabulary size for the comparison."""
TABLE_MEMORY = 1e9
"""Maximum bytes of pieces counted in memory at once."""
BASE = 256
"""How often the file `many` is listed."""
BUFFER = 1 << 24
"""Write buffer in bytes."""

Merges = list[tuple[str, str]]
"""Pairs of byte symbols, in order."""
Trainer = Callable[["PieceCounts", TokenizerParams, int, Path], Merges]
"""Learns merges of counted pieces for a vocabulary of a size, with a folder for temporary files."""


@dataclass(frozen=True)
class Learned:
    """Merges and their verification.

    Args:
        merges: of the whole text.
        proof: trainer, reference, and the amount of text on which both gave equal merges; for the manifest.
    """

    merges: Merges
    proof: dict[str, str | int]


def gigabpe_is_installed() -> bool:
    """Whether gigabpe can be imported."""
    return find_spec("gigabpe") is not None


def merges_are_counted_here(params: TokenizerParams) -> bool:
    """Whether merges can be learned without the tokenizers library and its limits."""
    return gigabpe_is_installed() or memory_for(params) >= EXTERNAL_LEAST


def learn_merges(
    texts: Callable[[], Iterator[str]],
    params: TokenizerParams,
    disputed: Callable[[list[str]], list[str]],
    reference: Callable[[Iterable[str], int], Merges],
    scratch: Path,
    library_fits: bool = True,
) -> Learned | str:
    """The merges that the tokenizers library would produce, or the reason why the library itself has to learn them.

    Args:
        texts: returns a new iterator over the texts at each call.
        disputed: returns those characters that the library normalizes or splits differently.
        reference: the library's own merges of some texts, for a vocabulary of the given size.
        scratch: an empty folder for temporary files.
        library_fits: whether the library can hold and count the texts.
    Raises:
        KormoError: the memory is too small for the distinct pieces and for learning with these on disk.
    """
    installed = gigabpe_is_installed()
    if not installed and library_fits:
        return "gigabpe is not installed"
    sample = list(_first(texts(), PROOF_CHARACTERS))
    size = min(params.vocab_size, PROOF_VOCABULARY)
    proof = reference(sample, size)

    def differs(learn: Trainer, folder: Path) -> bool:
        """Whether a trainer learns other merges than the library from the beginning of the text."""
        return learn(_count(sample, params, folder), params, size, folder) != proof

    different = "{} and tokenizers learned different merges from the beginning of the text"
    if installed and differs(_by_gigabpe, scratch / "proof"):
        return different.format("gigabpe")
    with Progress("tokenizer: counting", unit="characters") as progress:
        counts = _count(watched(texts(), progress, len), params, scratch / "counts")
    if strange := disputed(counts.characters()):
        return f"tokenizers splits or normalizes {strange[0]!a} in another way"
    external = not installed or gigabpe_memory(*counts.total()) > memory_for(params)
    if external and memory_for(params) < EXTERNAL_LEAST:
        raise _too_many(counts, params)
    if external and differs(_from_disk, scratch / "disk"):
        return different.format("the pieces on disk")
    most = ALPHABET + counts.total()[1]  # a merge needs a byte of its own; trainers reserve memory for each entry
    learn, name = (_from_disk, f"kormo-plugins {__version__}") if external else (_by_gigabpe, "")
    return Learned(
        learn(counts, params, min(params.vocab_size, most), scratch / "counts"),
        {
            "trainer": name or f"gigabpe {version('gigabpe')}",
            "reference": f"tokenizers {version('tokenizers')}",
            "characters": sum(map(len, sample)),
            "merges": len(proof),
        },
    )


def _too_many(counts: PieceCounts, params: TokenizerParams) -> KormoError:
    pieces, size = counts.total()
    needed = min(gigabpe_memory(pieces, size), EXTERNAL_LEAST)
    return KormoError(
        where="tokenizer: megabytes",
        found=f"{params.megabytes:g}, with {pieces:,} distinct pieces of {size / 1e6:,.1f} MB in total",
        why=f"learning from them takes about {needed / 1e9:.2f} GB of memory, "
        f"but only {memory_for(params) / 1e9:.2f} GB are available",
        do="lower megabytes, raise memory_gigabytes, or use a machine with more memory",
    )


def _first(texts: Iterator[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def _count(texts: Iterable[str], params: TokenizerParams, folder: Path) -> PieceCounts:
    from kormo_plugins.tokenizer.training.piece_counts import PieceCounts

    folder.mkdir()
    counts = PieceCounts(folder, min(TABLE_MEMORY, memory_for(params) / 4))
    counts.add(texts)
    return counts


def _from_disk(counts: PieceCounts, params: TokenizerParams, vocab_size: int, scratch: Path) -> Merges:
    """Our own merges of counted pieces, which stay on disk."""
    from kormo_plugins.tokenizer.training.external import learn

    return learn.learn_merges(
        counts.counted(),
        scratch,
        vocab_size=vocab_size,
        longest=params.max_token_length,
        least=params.min_frequency,
        memory=memory_for(params),
    )


def _by_gigabpe(counts: PieceCounts, params: TokenizerParams, vocab_size: int, scratch: Path) -> Merges:
    """gigabpe's merges of counted pieces."""
    import gigabpe

    seen, many = np.zeros(ALPHABET, np.int64), False
    ones_path, many_path = scratch / "ones.txt", scratch / "many.txt"
    with ones_path.open("wb") as ones_file, many_path.open("wb") as many_file:
        for part in counts.counted():
            seen += np.bincount(part.arena, minlength=ALPHABET)
            _write(part, part.counts % BASE, ones_file)
            if (part.counts >= BASE).any():
                _write(part, part.counts // BASE, many_file)
                many = True
    _, merges = gigabpe.train_bpe(
        [str(ones_path), *([str(many_path)] * BASE if many else [])],
        vocab_size - int((seen == 0).sum()),
        special_tokens=[],
        min_frequency=params.min_frequency,
        max_token_length=params.max_token_length + 1,  # it stops below its limit, like the library
        pretokenizer="whitespace",
    )
    return [(left, right) for left, right in merges]


def _write(part: Counted, times: np.ndarray, file: IO[bytes]) -> None:
    """Writes each piece the given number of times, one per line, in blocks of about `BUFFER`."""
    from kormo_plugins.tokenizer.training.piece_kernel import repeated

    symbols = np.zeros((ALPHABET, 3), np.uint8)
    for byte, symbol in enumerate(byte_symbols()):
        encoded = symbol.encode()
        symbols[byte, : len(encoded)], symbols[byte, 2] = list(encoded), len(encoded)
    sizes = (2 * np.diff(part.begins) + 1) * times
    ends = np.cumsum(sizes)
    first = 0
    while first < len(times):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BUFFER, "right")))
        out = np.empty(int(ends[last - 1]) - before, np.uint8)
        written = repeated(part.begins[first : last + 1], times[first:last], part.arena, symbols, out)
        file.write(out[:written].tobytes())
        first = last
