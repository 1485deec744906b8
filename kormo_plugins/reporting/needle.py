"""Needle-in-a-haystack heat maps over length and depth, one per language and scoring method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kormo_plugins.measures.scores import NeedleRecord
from kormo_plugins.reporting.charts import BASE, drawn
from kormo_plugins.reporting.markup import number, text
from kormo_plugins.reporting.run import Run

LANGUAGES = {"ko": "Korean", "en": "English"}
SCORES: dict[Literal["choice", "generated"], str] = {
    "choice": "the right number is the most likely of ten",
    "generated": "the right number is written",
}
SCALE = [[0.0, "#b2182b"], [0.25, "#ef8a62"], [0.5, "#fddbc7"], [0.75, "#92c5de"], [1.0, "#2166ac"]]
"""Red to blue: distinguishable with red-green colour blindness."""


def needles(runs: Sequence[Run]) -> str:
    """Heat maps of all runs with needle results, in percent, and the published scores."""
    parts = []
    for place, run in enumerate(runs):
        record = run.evaluation.get("needle")
        if record is not None and record.get("cells"):
            title = f"<h3>{text(run.name)}</h3>" if len(runs) > 1 else ""
            parts.append(title + _told(record) + f"<div class=plots>{_maps(f'n{place}', record)}</div>")
    return "".join(parts)


def _told(found: NeedleRecord) -> str:
    caption = f"{number(found.get('tries'))} needles in each cell, in the text of: {text(found.get('haystack'))}. "
    caption += f"A guess is right in {100 * float(found.get('chance') or 0):.0f}% by choice."
    published = found.get("published")
    if published:
        scores = ", ".join(f"{LANGUAGES.get(k, k)} {number(v)}" for k, v in published.items())
        caption += f" Published for KORMo-10B, in percent: {text(scores)}; Korean falls after about 13K tokens."
    return f"<p class=soft>{caption}</p>"


def _maps(key: str, found: NeedleRecord) -> str:
    cells = found["cells"]
    lengths, depths = sorted({one["length"] for one in cells}), sorted({one["depth"] for one in cells})
    drawings = []
    for score, title in SCORES.items():
        for language in dict.fromkeys(one["language"] for one in cells):
            known = {(one["length"], one["depth"]): one[score] for one in cells if one["language"] == language}
            shares = [[known.get((n, d)) for n in lengths] for d in depths]
            drawings.append(
                _map(
                    f"{key}{score}{language}",
                    LANGUAGES.get(language, language),
                    title,
                    lengths,
                    depths,
                    [[None if v is None else 100 * v for v in row] for row in shares],
                )
            )
    return "".join(drawings)


def _map(
    key: str, language: str, title: str, lengths: Sequence[int], depths: Sequence[int], shares: list[list[float | None]]
) -> str:
    trace = {
        "type": "heatmap",
        "x": [_short(n) for n in lengths],
        "y": [f"{d}%" for d in depths],
        "z": shares,
        "zmin": 0,
        "zmax": 100,
        "colorscale": SCALE,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "texttemplate": "%{z:.0f}",
        "hovertemplate": "%{x} tokens, depth %{y}: %{z:.0f}%<extra></extra>",
    }
    axis = {"type": "category", "automargin": True}
    layout = {
        **BASE,
        "height": 120 + 36 * len(depths),
        "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {**axis, "title": {"text": "tokens", "font": {"size": 12}}, "tickangle": 0, "tickfont": {"size": 10}},
        "yaxis": {**axis, "title": {"text": "depth of the needle", "font": {"size": 12}}, "autorange": "reversed"},
    }
    return drawn(key, f"Needle, {language}", title, {"data": [trace], "layout": layout})


def _short(tokens: int) -> str:
    """131072 as 128K: eleven lengths must fit on a narrow screen."""
    return f"{tokens // 1024}K" if tokens >= 1024 and tokens % 1024 == 0 else str(tokens)
