"""Validates the steps of a source before anything is read: parameters, warnings, and compatibility with
`deduplicate_against`.

A score that nothing wrote (`keep_top` by a misspelt name) and a column that no document has make a step do nothing,
without a reject that would show it. Here that is a warning, as far as the recipe tells what writes which key of `meta`;
`meta_found.py` looks at the documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kormo_plugins.corpus.params import CorpusRecipe, Source
from kormo_plugins.corpus.step import (
    MetaUse,
    NamedStep,
    ReadsMeta,
    WritesMeta,
    is_preferring,
    is_ranking,
    is_source_step,
)
from kormo_plugins.errors import KormoError, Notice, closest
from kormo_plugins.hookspecs import HasWarnings, Params
from kormo_plugins.plugins.registry import Registry

OURS = "kormo_plugins."
WRITTEN = ("encoding", "messages", "tools", "reader_notes", "prompt", "chosen")
"""Keys that a reader may write beside the columns that it keeps."""


def named_steps(name: str, source: Source, recipe: CorpusRecipe, components: Registry) -> list[NamedStep]:
    """Loads the cleaning steps of a source and checks their parameters.

    Raises:
        KormoError: an unknown step or invalid parameters.
    """
    steps = []
    for index, chosen in enumerate(recipe.steps_of(source)):
        place = f"steps[{index}]" if source.steps is None else f"sources.{name}.steps[{index}]"
        make = components.load("corpus_step", chosen.name, place)
        steps.append(NamedStep(chosen.name, make, components.params("corpus_step", chosen.name, chosen.values, place)))
    return steps


def step_warnings(recipe: CorpusRecipe, components: Registry) -> Iterator[Notice]:
    """Warnings about steps that do nothing as they are configured, each once per place."""
    cleaned = recipe.documents_of.values()
    if recipe.steps and cleaned and all(source.steps is not None for source in cleaned):
        yield Notice(
            where="steps",
            found=", ".join(step.name for step in recipe.steps),
            why="every source sets its own `steps`, which replace these, so they are never applied",
            do="move them into the sources, or remove `steps` from the sources that they are meant for",
        )
    places = {f"steps[{index}]": chosen for index, chosen in enumerate(recipe.steps)}
    for name, source in recipe.sources.items():
        places |= {f"sources.{name}.steps[{index}]": chosen for index, chosen in enumerate(source.steps or ())}
    for place, chosen in places.items():
        params = components.params("corpus_step", chosen.name, chosen.values, place)
        if isinstance(params, HasWarnings):
            for why in params.warnings():
                yield Notice(where=place, found=chosen.name, why=why, do="see docs/cleaning.md, or remove the step")
    for name, source in recipe.documents_of.items():
        yield from unwritten(name, _kept_by(source, components), _placed(name, source, recipe, components))


def _kept_by(source: Source, components: Registry) -> frozenset[str] | None:
    """The keys of `meta` that the reader of a source keeps; None if that is not known."""
    chosen = source.reader
    return None if chosen is None else of_reader(components.params("reader", chosen.name, chosen.values))


def _placed(name: str, source: Source, recipe: CorpusRecipe, components: Registry) -> list[tuple[str, str, Params]]:
    """Key in the recipe, name and parameters of each step of a source."""
    steps = []
    for index, chosen in enumerate(recipe.steps_of(source)):
        place = f"steps[{index}]" if source.steps is None else f"sources.{name}.steps[{index}]"
        steps.append((place, chosen.name, components.params("corpus_step", chosen.name, chosen.values, place)))
    return steps


def refuse_comparisons(name: str, source: Source, steps: list[NamedStep]) -> None:
    """Refuses `deduplicate_against` without a suitable deduplication step, or with conflicting ones.

    Raises:
        KormoError: no step compares documents; or a document kept by one step's `prefer` could be dropped by another
            step.
    """
    if not source.deduplicate_against:
        return
    compares = [step for step in steps if is_source_step(step.make) and not is_ranking(step.make)]
    if not compares:
        raise KormoError(
            where=f"sources.{name}.deduplicate_against",
            found=", ".join(source.deduplicate_against),
            why="the source has no deduplication step, so nothing would be compared",
            do="add exact_dedup or minhash_dedup to its steps",
        )
    ranked = [step for step in compares if is_preferring(step.make, step.params)]
    others = [step.name for step in compares if step not in ranked]
    if ranked and others:
        raise KormoError(
            where=f"sources.{name}.deduplicate_against",
            found=f"{others[0]} beside {ranked[0].name} with `prefer`",
            why=f"{others[0]} leaves a copy to the other source, whichever copy is preferred",
            do=f"remove {others[0]} from this source's steps: {ranked[0].name} finds exact copies too",
        )
    if ranked and steps[-1] is not ranked[0]:
        raise KormoError(
            where=f"sources.{name}.deduplicate_against",
            found=f"{ranked[0].name} with `prefer`, followed by {steps[-1].name}",
            why="a copy that it keeps here is removed from the other source; a later step could drop it here too",
            do=f"make {ranked[0].name} the last step of this source",
        )


def uses(params: Params) -> Sequence[MetaUse]:
    """The keys of `meta` that a step with these parameters goes by."""
    return params.reads() if isinstance(params, ReadsMeta) else ()


def writes(params: Params) -> frozenset[str] | None:
    """The keys of `meta` that a step with these parameters writes; None if it does not tell."""
    if isinstance(params, WritesMeta):
        keys = params.writes()
        return None if keys is None else frozenset(keys)
    return frozenset() if type(params).__module__.startswith(OURS) else None


def of_reader(params: Params) -> frozenset[str] | None:
    """The keys of `meta` that a reader with these parameters keeps; None if the parameters do not tell."""
    columns = getattr(params, "columns", None)
    if columns is None or not type(params).__module__.startswith(OURS):
        return None
    return frozenset((*columns.keep, *WRITTEN))


def unwritten(name: str, known: frozenset[str] | None, steps: Sequence[tuple[str, str, Params]]) -> Iterator[Notice]:
    """Warnings about keys that neither the reader keeps nor an earlier step writes.

    Args:
        name: of the source.
        known: the keys that its reader keeps (`of_reader`).
        steps: key in the recipe, name and parameters of each of its steps.
    """
    for place, step, params in steps:
        if known is None:
            return
        for use in uses(params):
            if use.key not in known:
                yield Notice(
                    where=f"{place}.{use.parameter}",
                    found=f"{use.key} (of the step {step})",
                    why=f"the reader of the source {name} keeps no such column, and no step before this one writes it",
                    do=instead(use.key, sorted(known.difference(WRITTEN))),
                )
        written = writes(params)
        known = None if written is None else known | written


def instead(key: str, others: Iterable[str]) -> str:
    """What to do about a key that is not there."""
    known = [str(one) for one in others]
    has = f"`meta` has: {', '.join(known)}" if known else "`meta` has no other key either"
    return closest(key, known, f"name a column in `columns.keep` of the reader, or add the step that writes it; {has}")
