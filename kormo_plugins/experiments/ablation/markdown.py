"""An ablation's record as Markdown: one table per measure, and every cell below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kormo_plugins.reporting.ablation import HOW


def markdown(record: Mapping[str, Any]) -> str:
    """The page.

    Args:
        record: what `Ablation.record` gives.
    """
    lines = [f"# {record['question']}", "", f"`{record['ablation']}`, against `{record['baseline']}`.", ""]
    for variant, changes in record["variants"].items():
        told = ", ".join(f"`{key}: {value}`" for key, value in changes.items()) or "the base as it is"
        lines.append(f"- **{variant}**: {told}")
    for name, table in record["table"].items():
        better = record["measures"][name]["better"]
        lines += ["", f"## {name} ({better} is better)", ""]
        lines += [
            "| variant | mean | sd | seeds | difference | 95% interval | p | p (Holm) |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {variant} | {_row(row)} |" for variant, row in table.items()]
    lines += [
        "",
        HOW,
        "",
        "## Cells",
        "",
        "| variant | seed | state | seconds | " + " | ".join(record["measures"]) + " |",
        "|---" * (4 + len(record["measures"])) + "|",
    ]
    for cell in record["cells"]:
        numbers = " | ".join(number(cell["measures"].get(name)) for name in record["measures"])
        lines.append(f"| {cell['variant']} | {cell['seed']} | {cell['state']} | {cell['seconds']:.0f} | {numbers} |")
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """Four significant digits; a dash for what is not there."""
    return "–" if value is None else f"{value:.4g}"


def _row(row: Mapping[str, Any]) -> str:
    cells = [number(row["mean"]), number(row["sd"]), str(row["n"])]
    against = row.get("against")
    if against is None:
        return " | ".join([*cells, "", "", "", ""])
    interval = "–" if against["low"] is None else f"{number(against['low'])} to {number(against['high'])}"
    difference = f"{against['difference']:+.4g}"
    return " | ".join([*cells, difference, interval, number(against["p"]), number(against["p_holm"])])
