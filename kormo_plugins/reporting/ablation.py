"""The page of an ablation: what was asked, what came out per seed, how it came about, and how sure one can be.

For each measure: a table with mean, spread and the paired comparison, every cell as a dot beside its variant's mean
(the dots of one seed share a place in each column, so that pairs are seen), and the learning curves of all cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.reporting.charts import BASE, COLOURS, DASHES, HEIGHT, SCRIPT, drawn, legend
from kormo_plugins.reporting.markup import duration, number, section, shown, table, text
from kormo_plugins.reporting.page import document
from kormo_plugins.reporting.run import read_run

AXIS = {"gridcolor": "#e9edf4", "zeroline": False, "automargin": True}
HOW = (
    "A difference is the variant's minus the baseline's, paired by seed; p is of a two-sided paired t-test, also after "
    "Holm's correction for several variants. Each measure is a test of its own: of many, some come out small by "
    "chance. A large p does not show that there is no effect."
)


def write_ablation(record: Mapping[str, Any], out: Path) -> Path:
    """Writes the page and returns its path.

    Args:
        record: `ablation.json`: `question`, `baseline`, `measures`, `variants`, `cells`, `table`.
    """
    body = "".join(section(name, _measure(record, name, index)) for index, name in enumerate(record["measures"]))
    head = f"<p class=soft>{text(record['ablation'])}, against <b>{text(record['baseline'])}</b>. {text(HOW)}</p>"
    changes = [(text(name), text(shown(own) if own else "nothing")) for name, own in record["variants"].items()]
    variants = section("Variants", table(("variant", "what it changes"), changes, "-v"))
    page = document(record["question"], head + body + variants + section("Cells", _cells(record)), SCRIPT)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(out)
    return out


def _measure(record: Mapping[str, Any], name: str, index: int) -> str:
    better = record["measures"][name]["better"]
    rows = []
    for variant, row in record["table"][name].items():
        against = row.get("against") or {}
        low, high = against.get("low"), against.get("high")
        interval = "" if low is None else f"{number(low)} to {number(high)}"
        rows.append((
            text(variant), number(row["mean"]), number(row["sd"]), str(row["n"]),
            f"{against['difference']:+.4g}" if against else "", interval,
            number(against["p"], 2) if against.get("p") is not None else "",
            number(against["p_holm"], 2) if against.get("p_holm") is not None else "",
        ))  # fmt: skip
    head = ("variant", "mean", "sd", "seeds", "difference", "95% interval", "p", "p (Holm)")
    figures = _dots(record, name, f"d{index}") + _curves(record, name, f"l{index}")
    plots = f'<div class=plots style="margin-top:.8em">{figures}</div>'
    return f"<p class=soft>{better} is better</p>{table(head, rows, '-nnnnnnn')}{plots}"


def _dots(record: Mapping[str, Any], name: str, key: str) -> str:
    """Every cell as a dot, every variant's mean as a line."""
    variants, seeds = list(record["variants"]), sorted({cell["seed"] for cell in record["cells"]})
    data: list[dict[str, Any]] = []
    for place, variant in enumerate(variants):
        colour = COLOURS[place % len(COLOURS)]
        points = [(c["seed"], c["measures"][name]) for c in record["cells"]
                  if c["variant"] == variant and name in c["measures"]]  # fmt: skip
        spread = 0.5 / max(len(seeds), 1)
        data.append({
            "type": "scatter", "mode": "markers", "marker": {"size": 9, "color": colour},
            "x": [place + (seeds.index(seed) - (len(seeds) - 1) / 2) * spread for seed, _ in points],
            "y": [value for _, value in points], "text": [f"{text(variant)}, seed {seed}" for seed, _ in points],
            "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
        })  # fmt: skip
        mean = record["table"][name][variant]["mean"]
        if mean is not None:
            data.append({"type": "scatter", "mode": "lines", "x": [place - 0.35, place + 0.35], "y": [mean, mean],
                         "line": {"color": colour, "width": 2}, "hoverinfo": "skip"})  # fmt: skip
    layout = {
        **BASE, "height": HEIGHT, "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {**AXIS, "tickvals": list(range(len(variants))), "range": [-0.6, len(variants) - 0.4],
                  # one word below the other: on a telephone plotly would turn them, and leave some out
                  "ticktext": [text(v).replace(" ", "<br>") for v in variants], "tickangle": 0},
        "yaxis": {**AXIS, "exponentformat": "power"},
    }  # fmt: skip
    return drawn(key, "At the end", "a dot is a seed, a line the mean", {"data": data, "layout": layout})


def _curves(record: Mapping[str, Any], name: str, key: str) -> str:
    """The measure's metric along every cell's run: colour is the variant, dash the seed."""
    metric, variants = record["measures"][name]["metric"], list(record["variants"])
    seeds = sorted({cell["seed"] for cell in record["cells"]})
    data: list[dict[str, Any]] = []
    for cell in record["cells"]:
        folder = Path(cell["folder"])
        points = _by_step(folder, metric) if cell["measures"] and folder.is_dir() else []
        if points:
            data.append({
                "type": "scatter", "mode": "lines", "name": f"{text(cell['variant'])}, seed {cell['seed']}",
                "x": [x for x, _ in points], "y": [y for _, y in points], "hovertemplate": "%{y:.4g}",
                "line": {"color": COLOURS[variants.index(cell["variant"]) % len(COLOURS)], "width": 1.8,
                         "dash": DASHES[seeds.index(cell["seed"]) % len(DASHES)]},
            })  # fmt: skip
    if not data:
        return ""
    layout = {
        **BASE, "height": HEIGHT, "hovermode": "x unified", "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {**AXIS, "title": {"text": "steps", "font": {"size": 12}}, "nticks": 6},
        "yaxis": {**AXIS, "exponentformat": "power"},
    }  # fmt: skip
    return drawn(key, "On the way", metric, {"data": data, "layout": layout}, legend(data))


def _by_step(folder: Path, metric: str) -> list[tuple[float, float]]:
    run = read_run(folder)
    run.in_tokens = False
    return run.curve(metric)


def _cells(record: Mapping[str, Any]) -> str:
    names: Sequence[str] = list(record["measures"])
    rows = [
        (text(c["variant"]), str(c["seed"]), text(c["state"] + (f": {c['reason']}" if c["reason"] else "")),
         duration(c["seconds"]), *(number(c["measures"].get(n)) for n in names), text(c["folder"]))
        for c in record["cells"]
    ]  # fmt: skip
    head = ("variant", "seed", "state", "time", *names, "folder")
    return table(head, rows, "-n-n" + "n" * len(names) + "k")
