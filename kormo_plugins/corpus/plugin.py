"""Hook implementations of the corpus room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_generators() -> Iterator[Component]:
    """Generators of synthetic documents."""
    yield Component(
        "embedded",
        load="kormo_plugins.corpus.embedded.generate:generate",
        summary="bilingual texts in ten genres, written by rules, offline; the same bytes for the same seed",
        params="kormo_plugins.corpus.embedded.generate:EmbeddedParams",
    )
