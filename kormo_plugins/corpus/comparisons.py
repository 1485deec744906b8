"""Validates the steps of a source before anything is read: parameters, warnings, and compatibility with
`deduplicate_against`."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.corpus.params import CorpusRecipe, Source
from kormo_plugins.corpus.step import NamedStep, is_preferring, is_ranking, is_source_step
from kormo_plugins.errors import KormoError, Notice
from kormo_plugins.hookspecs import HasWarnings
from kormo_plugins.plugins.registry import Registry


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
