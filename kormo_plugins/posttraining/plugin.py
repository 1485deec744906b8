"""Hook implementations of the posttraining room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_corpus_steps() -> Iterator[Component]:
    """Steps for sources of conversations and of preference pairs."""
    yield Component(
        "preference_pair",
        load="kormo_plugins.posttraining.preference_step:PreferencePair",
        params="kormo_plugins.posttraining.preference_step:PairParams",
        summary="makes a checked preference pair of the columns prompt, chosen and rejected",
    )
