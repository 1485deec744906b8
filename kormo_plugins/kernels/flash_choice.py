"""Selects the FlashAttention of torch's variable-length kernel: the fastest that GPU and installed packages support.

torch includes FlashAttention-2. From 2.10 it can call FlashAttention-3 (Hopper; Shah et al. 2024, arXiv 2407.08608: 1.5
to 2 times as fast as FlashAttention-2) and FlashAttention-4 (Blackwell), which are separate packages. Recipes do not
name them, since results only differ by the order of sums.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass

from kormo_plugins.errors import in_words

BUILT_IN = "FlashAttention-2"


@dataclass(frozen=True)
class Implementation:
    """An implementation that torch can activate.

    Args:
        name: as in torch.
        spoken: display name.
        package: required package.
        majors: supported major versions of the compute capability.
    """

    name: str
    spoken: str
    package: str
    majors: tuple[int, ...]


KNOWN = (
    Implementation("FA4", "FlashAttention-4", "flash_attn.cute", (10,)),
    Implementation("FA3", "FlashAttention-3", "flash_attn_interface", (9,)),
)
"""Fastest first."""


def choose(
    capability: tuple[int, int], listed: Collection[str], importable: Callable[[str], bool]
) -> tuple[Implementation | None, str]:
    """The implementation to activate (None: torch's own), and a log line with the reason.

    Args:
        capability: of the GPU, from `torch.cuda.get_device_capability`.
        listed: names that torch can activate.
        importable: whether a package is installed.
    """
    fitting = [best for best in KNOWN if capability[0] in best.majors]
    if not fitting:
        version_text = f"{capability[0]}.{capability[1]}"
        return (
            None,
            f"attention: {BUILT_IN} of torch; no faster implementation is known for compute capability {version_text}",
        )
    best = fitting[0]
    if best.name not in listed:
        return None, f"attention: {BUILT_IN} of torch; {best.spoken} requires torch 2.10 or newer"
    if not importable(best.package):
        return (
            None,
            f"attention: {BUILT_IN} of torch; {best.spoken} would be faster here but is not installed ({best.package})",
        )
    return best, f"attention: {best.spoken}"


def activate() -> str:
    """Activates the fastest implementation; returns the line to log. Requires a GPU."""
    import torch
    import torch.nn.attention as attention

    listed: Collection[str] = getattr(attention, "list_flash_attention_impls", list)()
    chosen, line = choose(torch.cuda.get_device_capability(), listed, importable)
    if chosen is None:
        return line
    try:
        attention.activate_flash_attention_impl(chosen.name)
    except Exception as error:  # a package built for another torch, or for another GPU
        return f"attention: {BUILT_IN} of torch; {chosen.spoken} cannot be used ({in_words(error)})"
    return line


def importable(package: str) -> bool:
    """Whether a package, or a module inside one, is installed."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
