"""A dataset recipe as one object: sources → cleaning steps → rows → a weighted mixture.

Its keys have two owners, who do not know each other: `corpus/` (what the documents are) and `mixture/` (how
they become rows and share a run). Here the mapping is divided between their models, the components that it
names are checked, and the one thing that only both together know: whether the mixture weighs the sources that
there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.plugins.registry import Registry, checked

if TYPE_CHECKING:
    from kormo_plugins.corpus.params import CorpusRecipe
    from kormo_plugins.mixture.params import MixtureRecipe

Where = Callable[[str], str]


@dataclass(frozen=True)
class DataRecipe:
    """A checked dataset recipe.

    Args:
        corpus: what the documents are: name, sources, steps, held-out documents.
        mixture: how they become rows and share the run: packing and weights.
    """

    corpus: CorpusRecipe
    mixture: MixtureRecipe


def parse_data(values: Mapping[str, Any], components: Registry, where: str | Where) -> DataRecipe:
    """The mapping `kormo.data` (or a dataset recipe file) as an object.

    Args:
        values: the mapping, `extends` and environment variables already resolved.
        components: the readers, generators, steps, packings and mixings that may be named.
        where: for messages: a prefix, or a function of the dotted key inside `values` ("" for the whole).
    Raises:
        KormoError: an unknown key or component, a missing value, one of the wrong kind, or weights that do
            not match the sources.
    """
    from kormo_plugins.corpus.params import CorpusRecipe
    from kormo_plugins.mixture.params import MixtureRecipe

    place = where if callable(where) else _prefix(where)
    parts: list[dict[str, Any]] = []
    for model in (CorpusRecipe, MixtureRecipe):
        parts.append({key: value for key, value in values.items() if key in model.model_fields})
    known = [*CorpusRecipe.model_fields, *MixtureRecipe.model_fields]
    for key in values:
        if key not in known:
            raise KormoError(
                where=place(str(key)),
                found=f"the key {key!r}",
                why="a dataset recipe has no such key",
                do=closest(str(key), known, f"the keys are: {', '.join(known)}"),
            )
    corpus, mixture = (
        _checked(model, part, place) for model, part in zip((CorpusRecipe, MixtureRecipe), parts, strict=True)
    )
    for key, kind, choice in choices(values):
        _component(components, kind, choice, place(key))
    _weighed(values, place)
    try:
        corpus.in_order()
    except KormoError as error:
        raise KormoError(where=place(error.where), found=error.found, why=error.why, do=error.do) from None
    return DataRecipe(corpus, mixture)


def choices(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every component that a dataset recipe names: dotted key, kind, and the choice as written."""
    for name, source in (values.get("sources") or {}).items():
        for role in ("reader", "generator"):
            if source.get(role) is not None:
                yield f"sources.{name}.{role}", role, source[role]
        for index, step in enumerate(source.get("steps") or ()):
            yield f"sources.{name}.steps[{index}]", "corpus_step", step
    for index, step in enumerate(values.get("steps") or ()):
        yield f"steps[{index}]", "corpus_step", step
    for key, kind in (("packing", "packing"), ("mixture", "mixing")):
        if values.get(key) is not None:
            yield key, kind, values[key]


def weighed_sources(weights: Any) -> list[str]:
    """The sources of a tree of weights: its leaves, in order."""
    if not isinstance(weights, Mapping):
        return []
    found: list[str] = []
    for name, weight in weights.items():
        inner = weight.get("of") if isinstance(weight, Mapping) else None
        found += weighed_sources(inner) if isinstance(inner, Mapping) else [str(name)]
    return found


def _prefix(where: str) -> Where:
    return lambda key: f"{where}.{key}" if key else where


def _checked(model: Any, part: dict[str, Any], place: Where) -> Any:
    mark = "\0"  # told apart from the text of the message, whatever the key is
    try:
        return checked(model, part, mark)
    except KormoError as error:
        key = error.where.removeprefix(mark).lstrip(".: ")
        raise KormoError(where=place(key), found=error.found, why=error.why, do=error.do) from None


def _component(components: Registry, kind: str, choice: Any, where: str) -> None:
    if isinstance(choice, str):
        choice = {"name": choice}
    name = choice.get("name") if isinstance(choice, Mapping) else None
    if not isinstance(name, str):
        raise KormoError(
            where=where,
            found=repr(choice),
            why=f"a {kind.replace('_', ' ')} is chosen by name",
            do=f"write {{name: …}} with one of: {', '.join(components.names(kind)) or 'none is installed'}",
        )
    components.params(kind, name, {key: value for key, value in choice.items() if key != "name"}, where)


def _weighed(values: Mapping[str, Any], place: Where) -> None:
    """Every weight has a source, and every source a weight, in the mixture or in one of its stages."""
    mixture = values.get("mixture")
    mixture = mixture if isinstance(mixture, Mapping) else {}
    stages = [stage for stage in mixture.get("stages") or () if isinstance(stage, Mapping)]
    trees = {"mixture.weights": mixture.get("weights")}
    trees |= {f"mixture.stages[{index}].weights": stage.get("weights") for index, stage in enumerate(stages)}
    sources = list(values.get("sources") or ())
    for key, weights in trees.items():
        for name in weighed_sources(weights):
            if name not in sources:
                raise KormoError(
                    where=place(key),
                    found=f"a weight for {name!r}",
                    why="there is no source of that name",
                    do=closest(name, sources) or f"the sources are: {', '.join(map(str, sources)) or 'none'}",
                )
    named = {name for weights in trees.values() for name in weighed_sources(weights)}
    for name in sources:
        if all(trees.values()) and name not in named:
            raise KormoError(
                where=place("mixture.weights"),
                found=f"no weight for the source {name!r}",
                why="its documents would be read, cleaned and packed, and then never be trained on",
                do=f"give {name} a weight (0 says that it is left out on purpose), or remove the source",
            )
