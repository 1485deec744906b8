"""Resolves the tree of weights to the share of each source.

A flat mapping gives relative weights. A group has a `share` relative to its siblings and divides it among its members,
to any depth:

    weights:
      korean:  {share: 60, of: {ko_web: 1, ko_synth: 3}}     # ko_web 15 %, ko_synth 45 %
      english: {share: 40, of: {en_web: 1}}

Shares are of tokens. A temperature T flattens (T > 1) or sharpens the shares: p becomes p^(1/T), normalized to sum to
1. Without weights, each source is weighted by its number of tokens, so that T alone gives the usual temperature
sampling of multilingual models (Devlin et al. 2018; Conneau et al. 2020, arXiv 1911.02116).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from kormo_plugins.errors import KormoError, closest

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Group(BaseModel):
    """Sources or groups that divide the group's share."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    share: float = Field(ge=0, description="weight of the whole group, relative to its siblings")
    of: dict[str, Weight | Group] = Field(
        min_length=1, description="members of the group: source -> weight, or name -> group"
    )


Node = Weight | Group
Weights = dict[str, Node]


def leaves(weights: Mapping[str, object], where: str) -> dict[str, float]:
    """Share of each source, summing to 1, before the temperature is applied.

    Raises:
        KormoError: a source is named twice, or weights do not have a positive sum.
    """
    result: dict[str, float] = {}

    def walk(level: Mapping[str, Any], share: float, path: str) -> None:
        """Adds the sources below a level, each with its share of the whole.

        Raises:
            KormoError: the weights of a level sum to zero or to a non-finite number.
        """
        sizes = {name: node.share if isinstance(node, Group) else float(node) for name, node in level.items()}
        total = sum(sizes.values())
        if not (total > 0 and isfinite(total)):
            raise KormoError(
                where=path,
                found=f"weights that sum to {total:g}",
                why="the shares would be undefined",
                do="give at least one source a weight above 0",
            )
        for name, node in level.items():
            part = share * sizes[name] / total
            if isinstance(node, Group):
                walk(node.of, part, f"{path}.{name}.of")
            elif name in result:
                raise KormoError(
                    where=f"{path}.{name}",
                    found="a source that occurs twice in the tree",
                    why="it would have two shares",
                    do="name each source once",
                )
            else:
                result[name] = part

    walk(weights, 1.0, where)
    return result


def shares(
    weights: Mapping[str, object] | None, tokens: Mapping[str, int], temperature: float, where: str
) -> dict[str, float]:
    """Token share of every source in `tokens`, summing to 1; sources missing from the weights get 0.

    Args:
        weights: the tree, or None for the sources' own sizes.
        tokens: tokens of each source that has been built.
        temperature: see the module docstring.
        where: the recipe key, for error messages.
    Raises:
        KormoError: a source that was not built, or a source without tokens that has a share.
    """
    plain = leaves(weights, where) if weights is not None else leaves(dict(tokens), where)
    for name, share in plain.items():
        if name not in tokens:
            raise KormoError(
                where=f"{where}.{name}",
                found="a source that has no shards",
                why=f"the sources with shards are: {', '.join(sorted(tokens))}",
                do=closest(name, tokens, "add it to the dataset recipe, or remove its weight"),
            )
        if share and not tokens[name]:
            raise KormoError(
                where=f"{where}.{name}",
                found="a source without tokens",
                why="nothing can be sampled from it",
                do="set its weight to 0, or check which steps drop all of its documents",
            )
    flat = {name: share ** (1 / temperature) if share else 0.0 for name, share in plain.items()}
    total = sum(flat.values())
    return {name: flat.get(name, 0.0) / total for name in sorted(tokens)}
