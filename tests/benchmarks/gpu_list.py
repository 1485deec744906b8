"""What `gpu.py` measures, in the order in which a time that runs out takes it away: the most telling first."""

from __future__ import annotations

from typing import Any

Part = tuple[str, dict[str, Any]]

HEADLINE: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours, float32 masters": {"precision": "masters"},
    "plain Axolotl": {"ours": False},
    "plain Axolotl, bfloat16": {"ours": False, "precision": "pure"},
    "bare loop": {"bare": True},
    "ours, bfloat16 alone": {"precision": "pure"},
}
"""Ours beside plain Axolotl of the same precision, and the bare loop."""

ZERO3 = {"ours, ZeRO-3": {"precision": "masters", "zero": True}}

COMPILED: dict[str, dict[str, Any]] = {
    "ours, float32 masters, torch_compile": {"precision": "masters", "compiled": True},
    "ours, float32 masters, torch_compile, float8": {"precision": "masters", "compiled": True, "float8": True},
    "bare loop, bfloat16, compiled layers": {"bare": True, "precision": "pure", "compiled": True},
}
"""On a card alone: compiling takes minutes of a CPU."""

OPTIONS: dict[str, dict[str, Any]] = {
    "ours, loss not in one pass": {"one": False},
    "ours, logged at no step": {"logging": 1000},
    "ours, borders looked for in each layer": {"borders": False},
    "ours, AdamW not fused": {"optimizer": "adamw_torch"},
    "ours, clipping in a pass of its own": {"clipped_in_step": False},
    "ours, Muon": {"optimizer": "muon"},
    "ours, half of the layers checkpointed": {"checkpointed": -2},
    "ours, all layers checkpointed": {"checkpointed": -1},
}
"""With and without each thing, against `ours`."""

CARD_ONLY: dict[str, dict[str, Any]] = {
    "ours, 8-bit AdamW of torchao": {"optimizer": "adamw_torch_8bit"},
    "ours, 8-bit AdamW of bitsandbytes": {"optimizer": "adamw_8bit"},
    "ours, FlexAttention": {"attention": "flex_attention"},
    "ours, FlashAttention-2 of torch": {"newest_flash": False},
}


def parts(tiny: bool, device: str) -> list[Part]:
    """Names of the parts and what is asked of each, in order."""
    card = device == "cuda"
    small, large = ("tiny", "tiny") if tiny else ("1b", "slice")
    found: list[Part] = [
        ("ceilings", {"kind": "ceilings"}),
        ("checks", {"kind": "checks", "size": "tiny" if not card or tiny else "check"}),
        *_trainings(small, HEADLINE),
    ]
    if large != small:
        found += _trainings(large, HEADLINE)
    found += _trainings(large, ZERO3)
    found += [
        (f"{small}: SFT, a third of the tokens predicted", _training(small, answers=True)),
        (f"{small}: SFT, plain Axolotl", _training(small, answers=True, ours=False)),
        (f"{small}: DPO, packed beside padded", {"kind": "pairs", "size": small}),
        (f"{small}: evaluation and generation", {"kind": "evaluation", "size": small}),
    ]
    found += _trainings(small, COMPILED) if card else []
    found += _trainings(small, OPTIONS)
    if card and large != small:
        found += _trainings(large, COMPILED)
    return found + (_trainings(small, CARD_ONLY) if card else [])


def _trainings(size: str, named: dict[str, dict[str, Any]]) -> list[Part]:
    return [(f"{size}: {name}", _training(size, **how)) for name, how in named.items()]


def _training(size: str, **how: Any) -> dict[str, Any]:
    return {"kind": "training", "size": size, **how}
