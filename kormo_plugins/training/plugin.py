"""Hook implementations of the training room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_objectives() -> Iterator[Component]:
    """The objectives of this room."""
    yield Component(
        "next_token",
        load="kormo_plugins.training.objective:next_token",
        summary="cross entropy over the predicted tokens of the global batch",
        source="KORMo-10B (arXiv 2510.09426): next-token prediction beat multi-token prediction in the 1B proxies",
    )
