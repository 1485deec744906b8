"""The composition of a run: the share of each source, of Korean and of synthetic text, from the dataset recipe.

Sources declare what they are (`language`, `synthetic`), and the mixture how much of each is read, so the shares are
known before any document is read. Once the data are built, their counts add what is not declared: the sizes of the
sources, on which a mixture without weights is based, and the languages of a source that has several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.sampling.weights import shares as weigh
from kormo_plugins.recipe.load import Recipe

KOREAN = "ko"
DIGITS = 9
SEVERAL = ("mul", "und")
"""Codes that do not name a single language."""


@dataclass(frozen=True)
class Counted:
    """Counts of a built source: its tokens, and its documents by language."""

    tokens: int
    languages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Shares:
    """Shares of the run's tokens, each summing over the sources to at most 1.

    Args:
        sources: by source.
        synthetic: written by a machine.
        korean: in Korean, as far as the sources say.
        unknown: in sources of several or unknown languages, and so in neither.
    """

    sources: dict[str, float]
    synthetic: float
    korean: float
    unknown: float


def shares(recipe: Recipe, counted: Mapping[str, Counted] | None = None) -> Shares | None:
    """The shares over the whole run; None if they are not known (yet).

    Args:
        counted: the sources as built, if they are.
    """
    if recipe.data is None:
        return None
    by_source = _by_source(recipe, counted or {})
    if by_source is None:
        return None
    synthetic = korean = unknown = 0.0
    for name, share in by_source.items():
        source = recipe.data.corpus.sources[name]
        synthetic += share * (source.synthetic or source.generator is not None)
        several = counted[name].languages if counted and source.language in SEVERAL else {source.language: 1}
        total = sum(several.values()) or 1
        korean += share * several.get(KOREAN, 0) / total
        unknown += share * sum(several.get(language, 0) for language in SEVERAL) / total
    return Shares(by_source, synthetic, korean, unknown)


def _by_source(recipe: Recipe, counted: Mapping[str, Counted]) -> dict[str, float] | None:
    assert recipe.data is not None
    values = dict(recipe.data.mixture.mixture)
    params = recipe.registry.params("mixing", str(values.pop("name")), values)
    length, stages = recipe.steps, getattr(params, "stages", ())
    if not hasattr(params, "weights") or length is None or recipe.block.global_batch is None:
        return None
    names = list(recipe.data.corpus.sources)
    tokens = {name: counted[name].tokens if name in counted else 1 for name in names}
    total = length * recipe.block.global_batch * recipe.sequence_len
    begins = [0, *(min(stage.from_tokens, total) for stage in stages), total]
    by_source = dict.fromkeys(names, 0.0)
    for (begin, end), part in zip(pairwise(begins), [params, *stages], strict=True):
        if part.weights is None and not counted:
            return None  # in proportion to their tokens, which are not counted yet
        temperature = part.temperature or params.temperature
        try:
            now = weigh(part.weights, tokens, temperature, "mixture.weights")
        except KormoError:
            return None
        for name in names:
            by_source[name] += now[name] * (end - begin) / max(1, total)
    return by_source


def as_json(found: Shares | None, tokens: int | None) -> dict[str, object]:
    """The shares, and the tokens of each source."""
    if found is None:
        return {"tokens_by_source": None, "share_synthetic": None, "share_korean": None, "share_language_unknown": None}
    by_source = None if tokens is None else {name: round(share * tokens) for name, share in found.sources.items()}
    parts = {"synthetic": found.synthetic, "korean": found.korean, "language_unknown": found.unknown}
    return {"tokens_by_source": by_source, **{f"share_{name}": round(share, DIGITS) for name, share in parts.items()}}
