"""Hook implementations of the architecture room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_architectures() -> Iterator[Component]:
    """The architectures of this room."""
    yield Component(
        "kormo",
        load="kormo_plugins.architecture.family:KORMO",
        params="kormo_plugins.architecture.shape:KormoArchitecture",
        summary="pre-norm decoder with GQA, RoPE, RMSNorm, SwiGLU: Llama's mathematics, KORMo's names",
        source="KORMo, arXiv 2510.09426; Llama 3, arXiv 2407.21783",
    )
