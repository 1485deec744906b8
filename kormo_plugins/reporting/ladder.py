"""The page of a ladder: its limits, predictions and outcomes, the fitted law, and all points.

A law is recorded with centred logarithms, so that curves are drawn with exactly the fitted numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from kormo_plugins.measures.experiments import LadderRecord, LawRecord, PredictionLine, RungRecord
from kormo_plugins.reporting.charts import BASE, COLOURS, drawn, legend
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import duration, number, parts_with_links, percent, short, table, text

AXIS = {"gridcolor": "#e9edf4", "zeroline": False, "automargin": True}
LIMITS = (
    "What this cannot show: a law through a few small sizes predicts the loss at the next size, with this recipe and "
    "on this held-out text, and no further. It says nothing about abilities, models a thousand times as large, many "
    "times as many tokens, or another mixture. In models of a few million parameters most parameters are embeddings, "
    "and all runs are far from the floor E, which is therefore poorly determined. The intervals cover the uncertainty "
    "of the fitted law and the variation between runs; they do not cover a wrong form of the law."
)
MEANING = {
    "E": "floor: the loss of an unlimited model on unlimited text",
    "A": "size of the term in parameters",
    "alpha": "exponent of the parameters",
    "B": "size of the term in tokens",
    "beta": "exponent of the tokens",
    "eta": "human tokens that one synthetic token is worth",
}
STEPS = 60


def write_ladder(record: LadderRecord, out: Path) -> Path:
    """Writes the page and returns its path.

    Args:
        record: `ladder.json`: `question`, `base`, `metric`, `law`, `predictions`, `runs`.
    """
    head = f"<p class=soft>{text(record['ladder'])}; every run extends {text(record['base'])}.</p>"
    parts = {
        "Prediction and outcome": _predictions(record),
        "The law": _law(record),
        "Curves": _figure(record),
        "Runs": _runs(record),
        "Record": _lines(record),
    }
    return write_page(record["question"], head + f"<p class=soft>{text(LIMITS)}</p>" + parts_with_links(parts), out)


def _predictions(record: LadderRecord) -> str:
    """For each predicted size, its last prediction at each evaluation, and the outcome."""
    rows = []
    runs = {run["hash"]: run for run in record["runs"]}
    for line in _newest(record["predictions"]):
        run = runs.get(line["target"])
        outcomes = dict(run["points"]) if run is not None else {}
        for place in line["at"]:
            outcome = outcomes.get(place["tokens"])
            inside = "" if outcome is None else "yes" if place["low"] <= outcome <= place["high"] else "no"
            off = "" if outcome is None else f"{100 * (outcome / place['loss'] - 1):+.1f}%"
            rows.append(
                (
                    text(line["size"]) + ("" if line["before"] else " (predicted afterwards)"),
                    short(place["tokens"]),
                    number(place["loss"]),
                    f"{number(place['low'])} to {number(place['high'])}",
                    number(outcome),
                    off,
                    inside,
                )
            )
    if not rows:
        return "<p>There is no prediction yet: one is made when all smaller sizes are trained.</p>"
    head = ("size", "tokens", "predicted", "95% interval", "outcome", "error", "inside")
    return f"<p class=soft>{text(record['metric'])}</p>" + table(head, rows, "-nnnnn-")


def _newest(predictions: Sequence[PredictionLine]) -> list[PredictionLine]:
    """For each size, the last prediction made before its run; else its last."""
    chosen: dict[str, PredictionLine] = {}
    for line in predictions:
        known = chosen.get(line["target"])
        if known is None or line["before"] or not known["before"]:
            chosen[line["target"]] = line
    return list(chosen.values())


def _law(record: LadderRecord) -> str:
    if record["law"] is None:
        return "<p>Not fitted yet.</p>"
    rows = [
        (text(name), number(value), f"{number(low)} to {number(high)}", text(MEANING[name]))
        for name, (value, low, high) in record["law"]["values"].items()
    ]
    formula = "L = E + A / N^α + B / (D · (1 − s + η·s))^β, N parameters, D tokens, s share of synthetic text"
    return f"<p class=soft>{text(formula)}</p>" + table(("", "fitted", "95% interval", "meaning"), rows, "knn-")


def _figure(record: LadderRecord) -> str:
    """Plots the points of every run, the law, and the predictions with their intervals."""
    data: list[dict[str, object]] = []  # named traces first: the legend uses their indices
    curves: list[dict[str, object]] = []
    sizes = list(dict.fromkeys(run["size"] for run in record["runs"]))
    shares = sorted({run["synthetic"] for run in record["runs"]})
    drawn_curves: set[tuple[str, float]] = set()
    for run in record["runs"]:
        colour, points = COLOURS[sizes.index(run["size"]) % len(COLOURS)], run["points"]
        if not points:
            continue
        symbol = ("circle", "square", "triangle-up", "cross", "x")[shares.index(run["synthetic"]) % 5]
        data.append(_evaluations(run, colour, symbol))
        key = (run["size"], run["synthetic"])
        if record["law"] is not None and key not in drawn_curves:
            drawn_curves.add(key)
            low, high = points[0][0], points[-1][0]
            across = [low * (high / low) ** (step / STEPS) for step in range(STEPS + 1)]
            curve = [law_loss(record["law"], run["parameters"], tokens, run["synthetic"]) for tokens in across]
            line = {"color": colour, "width": 1.4, "dash": "dash" if run["target"] else "solid"}
            curves.append(
                {"type": "scatter", "mode": "lines", "x": across, "y": curve, "line": line, "hoverinfo": "skip"}
            )
    data += [_diamonds(predicted) for predicted in _newest(record["predictions"])]
    if not data:
        return ""
    layout = {
        **BASE,
        "height": 420,
        "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {**AXIS, "type": "log", "title": {"text": "tokens", "font": {"size": 12}}, "exponentformat": "SI"},
        "yaxis": {**AXIS, "type": "log", "title": {"text": text(record["metric"]), "font": {"size": 12}}},
    }
    note = "dots are evaluations, lines the fitted law, diamonds predictions with their intervals"
    return drawn("ladder", "Loss against tokens", note, {"data": data + curves, "layout": layout}, legend(data))


def _evaluations(run: RungRecord, colour: str, symbol: str) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(f"{run['name']}, seed {run['seed']}"),
        "marker": {"size": 8, "color": colour, "symbol": symbol},
        "line": {"color": colour, "dash": "solid"},
        "x": [tokens for tokens, _ in run["points"]],
        "y": [loss for _, loss in run["points"]],
        "hovertemplate": "%{y:.4g}",
    }


def _diamonds(predicted: PredictionLine) -> dict[str, object]:
    places = predicted["at"]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(f"{predicted['size']}, predicted"),
        "marker": {"size": 9, "color": "#111111", "symbol": "diamond-open"},
        "line": {"color": "#111111", "dash": "dot"},
        "x": [place["tokens"] for place in places],
        "y": [place["loss"] for place in places],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [place["high"] - place["loss"] for place in places],
            "arrayminus": [place["loss"] - place["low"] for place in places],
            "thickness": 1.2,
        },
        "hovertemplate": "%{y:.4g}",
    }


def law_loss(law: LawRecord, parameters: float, tokens: float, synthetic: float) -> float:
    """The loss of a recorded law."""
    e, a, alpha, b, beta, eta = (-math.inf if value is None else value for value in law["theta"])
    n, d = law["centre"]
    effective = math.log(tokens * (1 - synthetic + math.exp(eta) * synthetic))
    return math.exp(e) + math.exp(a - alpha * (math.log(parameters) - n)) + math.exp(b - beta * (effective - d))


def _runs(record: LadderRecord) -> str:
    rows = [
        (
            text(run["name"]),
            short(run["parameters"]),
            percent(run["synthetic"], 0),
            str(run["seed"]),
            text(run["state"] + (f": {run['reason']}" if run["reason"] else "")),
            duration(run["seconds"]),
            number(run["points"][-1][1]) if run["points"] else "–",
            text(run["folder"]),
        )
        for run in record["runs"]
    ]
    head = ("size", "parameters", "synthetic", "seed", "state", "time", record["metric"], "folder")
    return table(head, rows, "-nnn-nnk")


def _lines(record: LadderRecord) -> str:
    """Every written prediction, with its hash."""
    if not record["predictions"]:
        return ""
    rows = [
        (text(line["time"]), text(line["size"]), "yes" if line["before"] else "no", text(line["sha256"]))
        for line in record["predictions"]
    ]
    return table(("written", "size", "before its run", "sha256 of the line"), rows, "---k")
