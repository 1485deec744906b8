"""A dataset recipe as one object: sources → cleaning steps → rows → a weighted mixture.

Its keys belong to two independent rooms: `corpus/` (the documents) and `mixture/` (how they become rows and share a
run). Here the mapping is divided between their models, the named components are checked, and so is the one thing that
concerns both: that the mixture has weights for exactly the existing sources.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kormo_plugins.corpus.comparisons import named_steps, refuse_comparisons
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.errors import Faults, KormoError, closest, moved
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.plugins.registry import Registry, checked

Where = Callable[[str], str]
UNSPEAKABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of Unicode that a name may not contain: control characters, halves of characters, ends of lines."""


@dataclass(frozen=True)
class DataRecipe:
    """A checked dataset recipe.

    Args:
        corpus: the documents: name, sources, steps, held-out documents.
        mixture: how they become rows and share the run: packing and weights.
    """

    corpus: CorpusRecipe
    mixture: MixtureRecipe


def parse_data(values: Mapping[str, object], components: Registry, where: str | Where) -> DataRecipe:
    """The mapping `kormo.data` (or a dataset recipe file) as an object.

    Args:
        values: the mapping, `extends` and environment variables already resolved.
        components: the readers, generators, steps, packings and mixings that may be named.
        where: for messages: a prefix, or a function of the dotted key inside `values` ("" for the whole).
    Raises:
        KormoError: a key or component is unknown, a value is missing or has the wrong type, or the weights do not match
            the sources.
    """
    place = where if callable(where) else _prefix(where)
    parts: list[dict[str, object]] = []
    for model in (CorpusRecipe, MixtureRecipe):
        parts.append({key: value for key, value in values.items() if key in model.model_fields})
    known = [*CorpusRecipe.model_fields, *MixtureRecipe.model_fields]
    faults, made = Faults(), []
    for key in values:
        if key not in known:
            faults.add(
                KormoError(
                    where=place(str(key)),
                    found=f"the key {key!r}",
                    why="a dataset recipe has no such key",
                    do=closest(str(key), known, f"the keys are: {', '.join(known)}"),
                )
            )
    of_models, faulty = Faults(), []
    for part_model, part in zip((CorpusRecipe, MixtureRecipe), parts, strict=True):
        with of_models.catch():
            made.append(_checked(part_model, part, place))
    for key, kind, choice in choices(values):
        try:
            _component(components, kind, choice, place(key))
        except KormoError as error:
            faults.add(error)
            faulty.append(place(key))
    faults.add(*(fault for fault in of_models if not any(_is_below(fault.where, choice) for choice in faulty)))
    faults.add(*_badly_named(values, place), *_weighed(values, place))
    if len(made) == 2:
        with faults.catch():
            _in_order(made[0], place)
        if not faults:
            faults.add(*_comparisons(made[0], components, place))
    faults.raise_any()
    return DataRecipe(*made)


def _badly_named(values: Mapping[str, object], place: Where) -> Iterator[KormoError]:
    """Sources whose names could not be told in a line of text."""
    for name, _ in _items(values.get("sources")):
        if isinstance(name, str) and (not name.strip() or UNSPEAKABLE.intersection(map(unicodedata.category, name))):
            yield KormoError(
                where=place("sources"),
                found=f"a source with the name {name!r}",
                why="messages, tables and weights say a source by its name, so it must be one line of text",
                do="name it with letters, digits and other visible characters",
            )


def _is_below(where: str, choice: str) -> bool:
    """Whether a place is that of a choice, or in it: there its component knows more than the model of the whole (the
    names that there are, the keys that it takes). A key of it may be set by another file."""
    key, above = where.partition(": ")[2], choice.partition(": ")[2]
    return key == above or key.startswith((f"{above}.", f"{above}["))


def _in_order(corpus: CorpusRecipe, place: Where) -> None:
    try:
        corpus.in_order()
    except KormoError as error:
        raise moved(error, place) from None


def _comparisons(corpus: CorpusRecipe, components: Registry, place: Where) -> Iterator[KormoError]:
    """Sources that are deduplicated against others by steps that cannot do it."""
    for name, source in corpus.documents_of.items():
        if source.deduplicate_against:
            try:
                refuse_comparisons(name, source, named_steps(name, source, corpus, components))
            except KormoError as error:
                yield moved(error, place)


def choices(values: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """All components that a dataset recipe names, as far as it is well-formed: dotted key, kind, and the choice as
    written."""
    for name, source in _items(values.get("sources")):
        if not isinstance(source, Mapping):
            continue
        for role in ("reader", "generator"):
            if source.get(role) is not None:
                yield f"sources.{name}.{role}", role, source[role]
        for index, step in enumerate(_listed(source.get("steps"))):
            yield f"sources.{name}.steps[{index}]", "corpus_step", step
    for index, step in enumerate(_listed(values.get("steps"))):
        yield f"steps[{index}]", "corpus_step", step
    for key, kind in (("packing", "packing"), ("mixture", "mixing")):
        if values.get(key) is not None:
            yield key, kind, values[key]


def _items(value: object) -> Iterable[tuple[Any, object]]:
    return value.items() if isinstance(value, Mapping) else ()


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, (list, tuple)) else ()


def weighed_sources(weights: object) -> list[str]:
    """The sources in a tree of weights: its leaves, in order."""
    if not isinstance(weights, Mapping):
        return []
    names: list[str] = []
    for name, weight in weights.items():
        inner = weight.get("of") if isinstance(weight, Mapping) else None
        names += weighed_sources(inner) if isinstance(inner, Mapping) else [str(name)]
    return names


def _prefix(where: str) -> Where:
    return lambda key: f"{where}.{key}" if key else where


def _checked(model: object, part: dict[str, object], place: Where) -> Any:
    mark = "\0"  # told apart from the text of the message, whatever the key is
    try:
        return checked(model, part, mark)
    except KormoError as error:
        raise moved(error, lambda where: place(where.removeprefix(mark).lstrip(".: "))) from None


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


def _weighed(values: Mapping[str, object], place: Where) -> Iterator[KormoError]:
    """Checks that every weight has a source, and every source a weight, in the mixture or in one of its stages."""
    mixture = values.get("mixture")
    mixture = mixture if isinstance(mixture, Mapping) else {}
    stages = [stage for stage in _listed(mixture.get("stages")) if isinstance(stage, Mapping)]
    trees = {"mixture.weights": mixture.get("weights")}
    trees |= {f"mixture.stages[{index}].weights": stage.get("weights") for index, stage in enumerate(stages)}
    sources = [name for name, _ in _items(values.get("sources"))]
    for key, weights in trees.items():
        for name in weighed_sources(weights):
            if name not in sources:
                yield KormoError(
                    where=place(key),
                    found=f"a weight for {name!r}",
                    why="there is no source of that name",
                    do=closest(name, map(str, sources)) or f"the sources are: {', '.join(map(str, sources)) or 'none'}",
                )
    named = {name for weights in trees.values() for name in weighed_sources(weights)}
    for name in sources:
        if all(trees.values()) and name not in named:
            yield KormoError(
                where=place("mixture.weights"),
                found=f"no weight for the source {name!r}",
                why="its documents would be read, cleaned and packed, and then never be trained on",
                do=f"give {name} a weight (0 excludes it on purpose), or remove the source",
            )
