"""Hook implementations of the monitoring room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_run_callbacks() -> Iterator[Component]:
    """The run callbacks of this room."""
    yield Component(
        "held_out",
        load="kormo_plugins.monitoring.held_out:make",
        summary="loss and bits per byte on documents never trained on, by language, source, domain and writer",
        params="kormo_plugins.monitoring.params:HeldOutParams",
        source="bits per byte: The Pile (arXiv 2101.00027), section 3.1",
    )
    yield Component(
        "collapse",
        load="kormo_plugins.monitoring.collapse:make",
        summary="diversity, repetition, entropy, language and length of continuations of fixed prompts",
        params="kormo_plugins.monitoring.params:CollapseParams",
        source="distinct-n (1510.03055), self-BLEU (1802.01886), seq-rep (1908.04319)",
    )
    yield Component(
        "mini",
        load="kormo_plugins.monitoring.mini_suite:make",
        summary="accuracy on the mini suite's questions with four options, by language and family",
        params="kormo_plugins.monitoring.params:MiniParams",
    )
