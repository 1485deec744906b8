"""Whether `export/` can be written: not every architecture has a class of transformers that computes the same."""

from __future__ import annotations

from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import HasPlainForm
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.recipe.schema.kormo_block import KormoBlock


def check_export(block: KormoBlock, components: Registry, resolved: Resolved) -> None:
    """Refuses `kormo.export: true` for an architecture without a plain form, before anything is trained.

    Raises:
        KormoError: the architecture has none; the message says why.
    """
    choice = block.architecture
    if choice is None or not block.export:
        return
    family = components.load("architecture", choice.name, resolved.where("kormo.architecture.name"))
    reason = family.why_not_plain(choice.values) if isinstance(family, HasPlainForm) else ""
    if reason:
        raise KormoError(
            where=resolved.where("kormo.export"),
            found=f"true, with the architecture {choice.name}",
            why=f"it has no Llama form: {reason}",
            do="set kormo.export: false; the run's own folder is opened with the package kormo-plugins",
        )
