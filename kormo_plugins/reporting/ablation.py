"""The page of an ablation: question, results per seed, learning curves and statistics.

For each measure: a table with mean, spread and the paired comparison, every cell as a dot beside its variant's mean
(the dots of one seed have the same offset in each column, which shows the pairs), and the learning curves of all cells.
Then the sections of a page on runs, in part with only one cell per variant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.experiments import AblationRecord, CellRecord
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.reporting import sections
from kormo_plugins.reporting.charts import BASE, COLOURS, DASHES, HEIGHT, drawn, legend
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import duration, number, parts_with_links, shown, table, text
from kormo_plugins.reporting.needle import needles
from kormo_plugins.reporting.run import RECORD, Run, read_run
from kormo_plugins.store.json_file import seal_fault

ABLATION = "ablation.json"
KEYS = {"question", "baseline", "measures", "variants", "cells", "table"}
AXIS = {"gridcolor": "#e9edf4", "zeroline": False, "automargin": True}
HOW = (
    "A difference is the variant's minus the baseline's, paired by seed; p is that of a two-sided paired t-test, "
    "without and with Holm's correction for several variants. Each measure is tested separately: among many, some p "
    "are small by chance. A large p does not show that there is no effect."
)


def read_ablation(folder: Path) -> AblationRecord:
    """Reads `ablation.json`.

    Raises:
        KormoError: not a record of `kormo ablate`.
    """
    why = "it is damaged, or another program wrote it"
    try:
        record: AblationRecord = json.loads((folder / ABLATION).read_text(encoding="utf-8"))
        if isinstance(record, dict) and set(record) >= KEYS:
            why = seal_fault(record, unnamed=True)
            if not why:
                return record
    except (OSError, ValueError, RecursionError):
        pass
    raise KormoError(
        where=str(folder / ABLATION),
        found="no record of an ablation",
        why=why,
        do="run `kormo ablate` again: finished cells are not trained again",
    )


def write_ablation(
    record: AblationRecord, out: Path, folder: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> Path:
    """Writes the page and returns its path.

    Args:
        record: `ablation.json`: `question`, `base`, `baseline`, `measures`, `variants`, `cells`, `table`.
        out: the file.
        folder: of the ablation, beside which moved cells are searched; None: that of `out`.
        tell: called with each warning on the page.
    """
    cells_with_runs = _runs(record, folder or out.parent)
    cells = [run for _, run in cells_with_runs]
    for line in sections.warning_lines(cells):
        tell(line)
    one_each = list({cell["variant"]: run for cell, run in reversed(cells_with_runs)}.values())[::-1]  # the first seed
    base = f" Every cell extends {record['base']}." if record.get("base") else ""
    head = f"<p class=soft>{text(record['ablation'])}, against <b>{text(record['baseline'])}</b>.{text(base)}</p>"
    changes = [(text(name), text(shown(own) if own else "nothing")) for name, own in record["variants"].items()]
    parts = {name: _measure(record, name, index, cells_with_runs) for index, name in enumerate(record["measures"])}
    parts |= {
        "Variants": table(("variant", "changed keys"), changes, "-v"),
        "Cells": _cells(record),
        "Curves": sections.curves(one_each),
        "Evaluation": sections.evaluations(cells),
        "Long context": needles(one_each),
        "Samples": sections.samples(one_each),
        "Mixture": sections.mixtures(one_each),
        "Recipe": sections.recipes(one_each) if one_each else "",
        "Hardware and versions": sections.machines(one_each),
        "Hashes": sections.hashes(cells),
    }
    explanation = f"<p class=soft>{text(HOW)}</p>"
    warnings = sections.warnings(cells, record.get("warnings", []))
    return write_page(record["question"], head + explanation + warnings + parts_with_links(parts), out)


def _runs(record: AblationRecord, folder: Path) -> list[tuple[CellRecord, Run]]:
    """The cells with a result and their runs, named by variant and seed."""
    cells_with_runs = []
    for cell in record["cells"]:
        place = _place(cell, folder)
        if cell["measures"] and place is not None:
            run = read_run(place)
            run.name, run.in_tokens = f"{cell['variant']}, seed {cell['seed']}", False
            cells_with_runs.append((cell, run))
    return cells_with_runs


def _place(cell: CellRecord, folder: Path) -> Path | None:
    """Folder of a cell's run: as recorded, or beside the ablation if it was moved."""
    recorded = Path(cell["folder"])
    places = (recorded, folder.parent / "cells" / recorded.name)
    return next((one for one in places if (one / RECORD).is_file() or (one / METRICS).is_file()), None)


def _measure(record: AblationRecord, name: str, index: int, found: Sequence[tuple[CellRecord, Run]]) -> str:
    better = record["measures"][name]["better"]
    rows = []
    for variant, row in record["table"][name].items():
        against = row.get("against")
        low = against["low"] if against else None
        interval = f"{number(low)} to {number(against['high'])}" if against and low is not None else ""
        rows.append(
            (
                text(variant),
                number(row["mean"]),
                number(row["sd"]),
                str(row["n"]),
                f"{against['difference']:+.4g}" if against else "",
                interval,
                number(against["p"], 2) if against and against["p"] is not None else "",
                number(against["p_holm"], 2) if against and against["p_holm"] is not None else "",
            )
        )
    head = ("variant", "mean", "sd", "seeds", "difference", "95% interval", "p", "p (Holm)")
    figures = _dots(record, name, f"d{index}") + _curves(record, name, f"l{index}", found)
    plots = f'<div class=plots style="margin-top:.8em">{figures}</div>'
    return f"<p class=soft>{better} is better</p>{table(head, rows, '-nnnnnnn')}{plots}"


def _dots(record: AblationRecord, name: str, key: str) -> str:
    """Plots every cell as a dot and every variant's mean as a line."""
    variants, seeds = list(record["variants"]), sorted({cell["seed"] for cell in record["cells"]})
    data: list[dict[str, object]] = []
    for place, variant in enumerate(variants):
        colour = COLOURS[place % len(COLOURS)]
        points = [
            (c["seed"], c["measures"][name])
            for c in record["cells"]
            if c["variant"] == variant and name in c["measures"]
        ]
        spread = 0.5 / max(len(seeds), 1)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "marker": {"size": 9, "color": colour},
                "x": [place + (seeds.index(seed) - (len(seeds) - 1) / 2) * spread for seed, _ in points],
                "y": [value for _, value in points],
                "text": [f"{text(variant)}, seed {seed}" for seed, _ in points],
                "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
            }
        )
        mean = record["table"][name][variant]["mean"]
        if mean is not None:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [place - 0.35, place + 0.35],
                    "y": [mean, mean],
                    "line": {"color": colour, "width": 2},
                    "hoverinfo": "skip",
                }
            )
    layout = {
        **BASE,
        "height": HEIGHT,
        "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {
            **AXIS,
            "tickvals": list(range(len(variants))),
            "range": [-0.6, len(variants) - 0.4],
            # one word per line: on narrow screens plotly would rotate and omit labels
            "ticktext": [text(v).replace(" ", "<br>") for v in variants],
            "tickangle": 0,
        },
        "yaxis": {**AXIS, "exponentformat": "power"},
    }
    return drawn(key, "At the end", "a dot is a seed, a line the mean", {"data": data, "layout": layout})


def _curves(record: AblationRecord, name: str, key: str, found: Sequence[tuple[CellRecord, Run]]) -> str:
    """Learning curves of the measure's metric: colour is the variant, dash the seed."""
    metric, variants = record["measures"][name]["metric"], list(record["variants"])
    seeds = sorted({cell["seed"] for cell in record["cells"]})
    data: list[dict[str, object]] = []
    for cell, run in found:
        points = run.curve(metric)
        if points:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": text(run.name),
                    "x": [x for x, _ in points],
                    "y": [y for _, y in points],
                    "hovertemplate": "%{y:.4g}",
                    "line": {
                        "color": COLOURS[variants.index(cell["variant"]) % len(COLOURS)],
                        "width": 1.8,
                        "dash": DASHES[seeds.index(cell["seed"]) % len(DASHES)],
                    },
                }
            )
    if not data:
        return ""
    layout = {
        **BASE,
        "height": HEIGHT,
        "hovermode": "x unified",
        "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {**AXIS, "title": {"text": "steps", "font": {"size": 12}}, "nticks": 6},
        "yaxis": {**AXIS, "exponentformat": "power"},
    }
    return drawn(key, "During training", metric, {"data": data, "layout": layout}, legend(data))


def _cells(record: AblationRecord) -> str:
    names: Sequence[str] = list(record["measures"])
    rows = [
        (
            text(c["variant"]),
            str(c["seed"]),
            text(c["state"] + (f": {c['reason']}" if c["reason"] else "")),
            duration(c["seconds"]),
            *(number(c["measures"].get(n)) for n in names),
            text(c["folder"]),
        )
        for c in record["cells"]
    ]
    head = ("variant", "seed", "state", "time", *names, "folder")
    return table(head, rows, "-n-n" + "n" * len(names) + "k")
