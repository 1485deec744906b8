"""Hook implementations of the kernels room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_kernels() -> Iterator[Component]:
    """The kernels of this room."""
    yield Component(
        "liger",
        load="kormo_plugins.kernels.liger:LIGER",
        params="kormo_plugins.kernels.liger:LigerParams",
        summary="fused RMSNorm, RoPE, SwiGLU and linear cross entropy on a GPU; disabled automatically on a CPU",
        source="Liger Kernel, arXiv 2410.10989",
    )
