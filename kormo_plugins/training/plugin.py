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


@hookimpl
def kormo_run_callbacks() -> Iterator[Component]:
    """The run callbacks of this room."""
    yield Component(
        "held_out",
        load="kormo_plugins.training.held_out:make",
        summary="loss and bits per byte on documents never trained on, by language, source, domain and writer",
        params="kormo_plugins.training.monitor_params:HeldOutParams",
        source="bits per byte: The Pile (arXiv 2101.00027), section 3.1",
    )
    yield Component(
        "collapse",
        load="kormo_plugins.training.collapse:make",
        summary="variety, repetition, entropy, language and length of what the model writes on fixed prompts",
        params="kormo_plugins.training.monitor_params:CollapseParams",
        source="distinct-n (1510.03055), self-BLEU (1802.01886), seq-rep (1908.04319)",
    )
