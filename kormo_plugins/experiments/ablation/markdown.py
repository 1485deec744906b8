"""An ablation's record as Markdown: one table per measure, and every cell below."""

from __future__ import annotations

from kormo_plugins.measures.experiments import AblationRecord, Row
from kormo_plugins.reporting.ablation import HOW
from kormo_plugins.reporting.markup import code
from kormo_plugins.reporting.markup import markdown as plain


def markdown(record: AblationRecord) -> str:
    """The page.

    Args:
        record: from `Ablation.record`.
    """
    lines = [
        f"# {plain(record['question'])}",
        "",
        f"{code(record['ablation'])}, against {code(record['baseline'])}.",
        "",
    ]
    for variant, changes in record["variants"].items():
        description = ", ".join(code(f"{key}: {value}") for key, value in changes.items()) or "the base as it is"
        lines.append(f"- **{plain(variant)}**: {description}")
    lines += [f"- **Warning**: {plain(line)}" for line in record.get("warnings", [])]
    for name, table in record["table"].items():
        better = record["measures"][name]["better"]
        lines += ["", f"## {plain(name)} ({better} is better)", ""]
        lines += [
            "| variant | mean | sd | seeds | difference | 95% interval | p | p (Holm) |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {plain(variant)} | {_row(row)} |" for variant, row in table.items()]
    lines += [
        "",
        HOW,
        "",
        "## Cells",
        "",
        "| variant | seed | state | seconds | " + " | ".join(map(plain, record["measures"])) + " |",
        "|---" * (4 + len(record["measures"])) + "|",
    ]
    for cell in record["cells"]:
        numbers = " | ".join(number(cell["measures"].get(name)) for name in record["measures"])
        description = f"{plain(cell['variant'])} | {cell['seed']} | {cell['state']} | {cell['seconds']:.0f}"
        lines.append(f"| {description} | {numbers} |")
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """Four significant digits; a dash for None."""
    return "–" if value is None else f"{value:.4g}"


def _row(row: Row) -> str:
    cells = [number(row["mean"]), number(row["sd"]), str(row["n"])]
    against = row.get("against")
    if against is None:
        return " | ".join([*cells, "", "", "", ""])
    interval = "–" if against["low"] is None else f"{number(against['low'])} to {number(against['high'])}"
    difference = f"{against['difference']:+.4g}"
    return " | ".join([*cells, difference, interval, number(against["p"]), number(against["p_holm"])])
