"""Samples the training text of a tokenizer: each language's share of a byte budget.

1. A census reads the text once: bytes by language and bin of a keyed hash of the text, counts of byte pairs.
2. The quota of a language is its share of the budget. If a language has less text, the whole budget shrinks until the
   shares hold: the shares are exact, the budget is an upper limit.
3. A document is sampled if its hash falls below the bin where the quota is reached. The choice depends on the text and
   the seed, not on the order of documents; only inside the last bin does order matter, and there the text is truncated
   at the quota.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.errors import size as amount
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training.spool import Spool
from kormo_plugins.wording.numbers import many

LOG = logging.getLogger(__name__)
BINS = 1 << 14
BLOCK = 1 << 20
"""Bytes counted per histogram (one per document would cost more than reading the document)."""
ANY = "any"
"""The single group used when no shares are given."""
MUCH_LESS = 0.5
"""Part of the text that could be used, below which a message names the share that limits the sample."""

Texts = Callable[[], Iterable[str | Document]]


@dataclass(slots=True)
class Census:
    """Statistics of the available text.

    Args:
        bins: language -> bytes by hash bin, int64 [BINS].
        pairs: language -> pairs of neighbouring bytes, int64 [65536], index 256·first + second.
        documents: documents by language.
        rejects: documents that cannot be used, by reason.
        left_out: bytes of languages without a share.
    """

    bins: dict[str, np.ndarray] = field(default_factory=dict)
    pairs: dict[str, np.ndarray] = field(default_factory=dict)
    documents: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def size(self, language: str) -> int:
        """Bytes of a language."""
        return int(self.bins[language].sum()) if language in self.bins else 0


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes to take from one language: all bins below `last_bin`, and `spare` bytes of that one."""

    size: int
    last_bin: int
    spare: int


class ShareLimit(NamedTuple):
    """Which share limits a sample, and what can be done, for a message."""

    why: str
    do: str


def _language(item: str | Document, params: TokenizerParams) -> str:
    if not params.shares:
        return ANY
    if isinstance(item, str):
        raise KormoError(
            where="tokenizer: shares",
            found="text without a language",
            why="shares of languages need a language for every text",
            do="pass documents with a language, or set `shares: {}` to take all text as it comes",
        )
    return item.language


def _bytes(item: str | Document) -> bytes | None:
    """UTF-8 bytes, or None for a text with a lone surrogate."""
    try:
        return (item if isinstance(item, str) else item.text).encode()
    except UnicodeEncodeError:
        return None


def caps(params: TokenizerParams) -> dict[str, float]:
    """Maximum bytes of each language in a sample."""
    return {language: share * params.megabytes * 1e6 for language, share in (params.shares or {ANY: 1.0}).items()}


def take_census(texts: Texts, params: TokenizerParams, spool: Spool | None = None) -> Census:
    """Reads all of the text once.

    Args:
        texts: yields the documents.
        spool: receives each text that may be sampled, so that `draw` can read it from there.
    Raises:
        KormoError: shares are set but a text has no language.
    """
    census = Census()
    waiting: dict[str, list[bytes]] = {}
    waiting_size: Counter[str] = Counter()
    for item in texts():
        language = _language(item, params)
        data = _bytes(item)
        if not data:
            census.rejects["empty" if data is not None else "lone surrogate"] += 1
            continue
        if params.shares and language not in params.shares:
            census.left_out[language] += len(data)
            continue
        census.documents[language] += 1
        if language not in census.bins:
            census.bins[language] = np.zeros(BINS, np.int64)
            census.pairs[language] = np.zeros(1 << 16, np.int64)
        place = xxh3_64_intdigest(data, params.seed) % BINS
        census.bins[language][place] += len(data)
        if spool is not None:
            spool.offer(language, place, data)
        waiting.setdefault(language, []).append(data)
        waiting_size[language] += len(data)
        if waiting_size[language] >= BLOCK:
            census.pairs[language] += _count_pairs(waiting.pop(language))
            waiting_size[language] = 0
    for language, block in waiting.items():
        census.pairs[language] += _count_pairs(block)
    return census


def _count_pairs(block: list[bytes]) -> np.ndarray:
    data = np.frombuffer(b"\0".join(block), np.uint8).astype(np.int64)
    return np.bincount(256 * data[:-1] + data[1:], minlength=1 << 16)


def plan_quotas(census: Census, params: TokenizerParams) -> dict[str, Quota]:
    """The number of bytes to take from each language.

    Raises:
        KormoError: there is no text at all, or none in a language with a share.
    """
    shares = params.shares or {ANY: 1.0}
    sizes = {language: census.size(language) for language in shares}
    if not any(sizes.values()):
        raise KormoError(
            where="tokenizer: the corpus",
            found=_found(census),
            why="there is no text to learn a vocabulary from",
            do="check the sources of the corpus and the languages under `shares`",
        )
    absent = sorted(language for language, size in sizes.items() if not size)
    if absent:
        raise KormoError(
            where=f"tokenizer: shares.{absent[0]}",
            found=f"no text in {', '.join(absent)}; {_found(census)}",
            why="the recipe requires text in that language",
            do="add a source in that language, or take all text as it comes: `shares: {}`, which in a recipe is "
            "`kormo: {tokenizer: {train: {shares: {}}}}`",
        )
    budget = min(params.megabytes * 1e6, *(sizes[language] / share for language, share in shares.items()))
    _warn_of_less(census, budget, params)
    quotas = {}
    for language, share in shares.items():
        size = min(round(budget * share), sizes[language])
        filled = np.cumsum(census.bins[language])
        last = int(np.searchsorted(filled, size))
        quotas[language] = Quota(size, last, size - int(filled[last] - census.bins[language][last]))
    return quotas


def _warn_of_less(census: Census, budget: float, params: TokenizerParams) -> None:
    """Says that the sample is smaller than requested, and why, unless all text is taken as it comes."""
    wanted = params.megabytes * 1e6
    if not params.shares or budget >= wanted:
        return
    drawn = f"trained on {amount(budget)}, not on the {amount(wanted)} that are requested (megabytes)"
    if limit := share_limit(census, params):
        LOG.warning("tokenizer: %s: %s; %s", drawn, limit.why, limit.do)
    else:
        shares = ", ".join(f"{language} {share:.3g}" for language, share in params.shares.items())
        LOG.warning("tokenizer: %s: this corpus has no more in the shares %s", drawn, shares)


def share_limit(census: Census, params: TokenizerParams) -> ShareLimit | None:
    """The share that leaves most of the text unused; None if the shares allow at least half of what could be used.

    What could be used is `megabytes`, or all text of the languages with a share if that is less.
    """
    sizes = {language: census.size(language) for language in params.shares}
    if not sizes or not all(sizes.values()):
        return None
    short = min(sizes, key=lambda language: sizes[language] / params.shares[language])
    share, total = params.shares[short], sum(sizes.values())
    usable, drawn = min(params.megabytes * 1e6, total), sizes[short] / share
    if drawn >= MUCH_LESS * usable:
        return None
    return ShareLimit(
        f"the shares limit the sample to {amount(drawn)} of the {amount(total)} in this corpus, because the share "
        f"{short} {share:.3g} is short: the corpus has {amount(sizes[short])} of {short}, and {amount(usable)} would "
        f"need {amount(share * usable)}",
        f"set `shares: {_shares_of(sizes)}`, which is what the corpus has, or `shares: {{}}` (all text as it is), or "
        f"add text in {short}",
    )


def _shares_of(sizes: dict[str, int]) -> str:
    """The shares of languages in a text, as a recipe writes them.

    The largest gets what the others leave, and the others are rounded down, so that they do not limit the sample. None
    is left out, however small: a child's shares are merged with those that it inherits.
    """
    total, largest = sum(sizes.values()), max(sizes, key=sizes.__getitem__)
    others = {name: _rounded_down(size / total) for name, size in sizes.items() if name != largest}
    shares = {largest: f"{1 - sum(map(float, others.values())):.4g}", **others}
    return "{" + ", ".join(f"{name}: {share}" for name, share in shares.items()) + "}"


def _rounded_down(share: float) -> str:
    """A share with two significant digits, without an exponent."""
    digits = 1 - math.floor(math.log10(share))
    return f"{math.floor(share * 10**digits) / 10**digits:.{digits}f}"


def _found(census: Census) -> str:
    parts = [f"{many(size, 'byte')} of {language}" for language, size in sorted(census.left_out.items())]
    parts += [f"{many(census.size(language), 'byte')} of {language}" for language in sorted(census.bins)]
    parts += [f"{many(count, 'document')} rejected ({reason})" for reason, count in sorted(census.rejects.items())]
    return ", ".join(parts) or "no documents"


def draw(texts: Texts, quotas: dict[str, Quota], params: TokenizerParams) -> Iterator[str]:
    """The sampled texts, in input order."""
    spare = {language: quota.spare for language, quota in quotas.items()}
    for item in texts():
        language = _language(item, params)
        data = _bytes(item)
        if not data or language not in quotas:
            continue
        place = xxh3_64_intdigest(data, params.seed) % BINS
        if place > quotas[language].last_bin:
            continue
        if place == quotas[language].last_bin:
            data = data[: spare[language]]
            spare[language] -= len(data)
        if data:
            yield data.decode(errors="ignore")  # truncation may split the last character


def statistics(census: Census, quotas: dict[str, Quota]) -> dict[str, object]:
    """Bytes found, sampled and left out, for the manifest."""
    return {
        "available_bytes": {language: census.size(language) for language in sorted(census.bins)},
        "sampled_bytes": {language: quota.size for language, quota in sorted(quotas.items())},
        "documents": dict(sorted(census.documents.items())),
        "left_out_bytes": dict(sorted(census.left_out.items())),
        "rejected_documents": dict(sorted(census.rejects.items())),
    }
