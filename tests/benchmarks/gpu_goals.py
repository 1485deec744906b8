"""What the parts of `gpu.py` are to reach on one H100 with rows of 4,096 tokens, and whether they did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Values = Mapping[str, Mapping[str, Any]]
MINUTES = 10.0


@dataclasses.dataclass(frozen=True)
class Goal:
    """A value of the parts, and the bounds that it is to lie in.

    Args:
        name: what is asked.
        value: of the parts by name; a KeyError: one of them is missing, or failed.
        least, most: the bounds, both included.
        parts: names of the parts that it looks at.
    """

    name: str
    value: Callable[[Values], float]
    parts: tuple[str, ...]
    least: float = float("-inf")
    most: float = float("inf")

    def judged(self, values: Values) -> dict[str, Any]:
        """The goal as a line of the JSON; without a value, `reached` is None."""
        bounds = {"least": self.least, "most": self.most}
        line: dict[str, Any] = {"goal": self.name, **{k: v for k, v in bounds.items() if abs(v) != float("inf")}}
        try:
            value = self.value(values)
        except KeyError:
            return {**line, "value": None, "reached": None}
        return {**line, "value": value, "reached": self.least <= value <= self.most}


def faster(name: str, part: str, than: str, least: float = 1.0, most: float = float("inf")) -> Goal:
    """How many times as fast a part is."""
    return Goal(name, lambda v: v[than]["seconds"] / v[part]["seconds"], (part, than), least, most)


def utilization(size: str, least: float) -> Goal:
    """Model FLOPs utilization of the faster of the precisions that keep float32 weights or masters."""
    names = (f"{size}: ours", f"{size}: ours, float32 masters")
    return Goal(f"{size}: MFU", lambda v: max(v[name]["mfu"] for name in names), names, least)


def _of_size(size: str) -> list[Goal]:
    ours, plain = f"{size}: ours", f"{size}: plain Axolotl"
    return [
        faster(f"{size}: times the bare loop", ours, f"{size}: bare loop"),
        faster(f"{size}: times plain Axolotl", ours, plain, 1.1),
        faster(f"{size}: times plain Axolotl, both bfloat16", f"{ours}, bfloat16 alone", f"{plain}, bfloat16", 1.1),
    ]


def _memory(values: Values) -> list[float]:
    ratios = [
        v["predicted_gb"] / v["reserved_gb"] for v in values.values() if {"predicted_gb", "reserved_gb"} <= set(v)
    ]
    if not ratios:
        raise KeyError("predicted_gb")
    return ratios


MASTERS = "slice: ours, float32 masters"
COMPILED = f"{MASTERS}, torch_compile"
FLOAT8 = f"{COMPILED}, float8"

GOALS = (
    utilization("slice", 0.50),
    utilization("1b", 0.42),
    *_of_size("slice"),
    *_of_size("1b"),
    faster("slice: ZeRO-3 on one rank, times the same without", "slice: ours, ZeRO-3", MASTERS, 0.95),
    faster("slice: float8, times bfloat16", FLOAT8, COMPILED, 1.3),
    Goal("slice: float8, relative difference of the loss", lambda v: abs(v[FLOAT8]["loss"] / v[COMPILED]["loss"] - 1),
         (FLOAT8, COMPILED), most=0.01),
    faster("1b: torch_compile, times the same without", "1b: ours, float32 masters, torch_compile",
           "1b: ours, float32 masters"),
    faster("1b: a log at no step, times one at each", "1b: ours, logged at no step", "1b: ours", 0.0, 1.005),
    faster("1b: AdamW fused, times not", "1b: ours", "1b: ours, AdamW not fused"),
    faster("1b: clipping in the step, times a pass", "1b: ours", "1b: ours, clipping in a pass of its own"),
    faster("1b: masters, times autocast", "1b: ours, float32 masters", "1b: ours"),
    Goal("1b: DPO packed, times padded", lambda v: v["1b: DPO, packed beside padded"]["ratio"],
         ("1b: DPO, packed beside padded",), 1.5),
    Goal("memory: least of predicted by reserved", lambda v: min(_memory(v)), (), 1.0),
    Goal("memory: most of predicted by reserved", lambda v: max(_memory(v)), (), most=1.05),
)  # fmt: skip


def judged(results: Sequence[Mapping[str, Any]], minutes: float) -> list[dict[str, Any]]:
    """Every goal with its value.

    Args:
        results: of the parts; those that failed have `failed`.
        minutes: that all took.
    """
    values = {part["name"]: part for part in results if "failed" not in part}
    whole = Goal("minutes of the whole", lambda _: minutes, (), most=MINUTES)
    return [goal.judged(values) for goal in (*GOALS, whole)]


def shown(goal: Mapping[str, Any]) -> str:
    """A line of the table."""
    bounds = [f"at {word} {goal[word]:g}" for word in ("least", "most") if word in goal]
    said = {True: "reached", False: "NOT reached", None: "not measured"}[goal["reached"]]
    value = "" if goal["value"] is None else f" {goal['value']:.4g},"
    return f"{goal['goal']}:{value} {said} (asked: {' and '.join(bounds)})"
