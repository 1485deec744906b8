"""`kormo.monitor`: the texts that are only measured, and the errors that can be found before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.recipe.schema.dataset import DataRecipe, parse_data

if TYPE_CHECKING:
    from kormo_plugins.corpus.params import Source
    from kormo_plugins.recipe.schema.kormo_block import KormoBlock

KEY = "kormo.monitor"


def external_eval_data(
    resolved: Resolved, block: KormoBlock, data: DataRecipe | None, components: Registry
) -> DataRecipe | None:
    """The dataset recipe of texts that are only measured, or None.

    Args:
        data: the training data.
    Raises:
        KormoError: the dataset recipe is invalid, a generator is one of the training data, an interval is in tokens
            without rows of ours, or a held-out loss is requested and nothing is held out.
    """
    monitor = block.monitor
    if monitor is None:
        return None
    if monitor.every_tokens is not None and data is None:
        raise KormoError(
            where=resolved.where(f"{KEY}.every_tokens"),
            found=f"every_tokens: {monitor.every_tokens} without kormo.data",
            why="Axolotl reads the data of this recipe, so the number of tokens per step is not known in advance",
            do="set every_steps instead, and every_tokens: null",
        )
    if monitor.external_eval is None:
        if monitor.held_out is not None and data is None:
            raise KormoError(
                where=resolved.where(f"{KEY}.held_out"),
                found="no kormo.data and no external_eval texts",
                why="there is nothing to measure",
                do=f"name texts under {KEY}.external_eval, or set {KEY}.held_out: null",
            )
        return None
    external = parse_data(
        monitor.external_eval, components, lambda key: resolved.where(f"{KEY}.external_eval{'.' * bool(key)}{key}")
    )
    trained = _writers(data)
    for name, source in external.corpus.sources.items():
        writer = _writer(source)
        if writer in trained:
            raise KormoError(
                where=resolved.where(f"{KEY}.external_eval.sources.{name}"),
                found=f"text written by {' '.join(writer)}",
                why=f"the model trains on text of that generator (source {trained[writer]}), so this is not external "
                "text; held_out already measures text of that generator with another seed",
                do="name another generator or human-written text, or remove the source",
            )
    return external


def _writer(source: Source) -> tuple[str, ...]:
    """Who wrote a source: a model, or a generator with its variant (`style` of the embedded one, `model` of an
    endpoint); empty for people."""
    if source.written_by:
        return (source.written_by,)
    if source.generator is None:
        return ()
    values = source.generator.values
    return (source.generator.name, *(f"{key} {values[key]}" for key in ("model", "style") if key in values))


def _writers(data: DataRecipe | None) -> dict[tuple[str, ...], str]:
    """Writer -> one of the sources that it wrote."""
    sources = data.corpus.sources if data is not None else {}
    trained_sources: dict[tuple[str, ...], str] = {}
    for name, source in sources.items():
        if writer := _writer(source):
            trained_sources.setdefault(writer, name)
    return trained_sources
