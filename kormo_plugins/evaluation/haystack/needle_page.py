"""Heat map of the needle scores over lengths and depths, as one self-contained HTML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kormo_plugins.measures.scores import NeedleRecord
from kormo_plugins.reporting.charts import drawn
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import text as escape

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NAMES = {"ko": "Korean", "en": "English"}
SCORES: dict[Literal["choice", "generated"], str] = {
    "choice": "right number most likely of ten",
    "generated": "right number written",
}


def figure(found: NeedleRecord) -> Figure:
    """A plotly figure: a row of heat maps per scoring method, a column per language."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    lengths, depths = [f"{one:,}" for one in found["lengths"]], [f"{one}%" for one in found["depths"]]
    titles = [f"{NAMES[language]}: {title}" for title in SCORES.values() for language in NAMES]
    plot = make_subplots(rows=2, cols=2, subplot_titles=titles, vertical_spacing=0.16, horizontal_spacing=0.1)
    cells = {(one["language"], one["length"], one["depth"]): one for one in found["cells"]}
    for row, score in enumerate(SCORES, 1):
        for column, language in enumerate(NAMES, 1):
            share = [
                [100 * cells[language, length, depth][score] for length in found["lengths"]]
                for depth in found["depths"]
            ]
            plot.add_trace(
                go.Heatmap(
                    x=lengths,
                    y=depths,
                    z=share,
                    zmin=0,
                    zmax=100,
                    coloraxis="coloraxis",
                    xgap=2,
                    ygap=2,
                    texttemplate="%{z:.0f}",
                    hovertemplate="%{x} tokens, depth %{y}: %{z:.0f}%<extra></extra>",
                ),
                row=row,
                col=column,
            )
    plot.update_xaxes(title_text="tokens", type="category")
    plot.update_yaxes(autorange="reversed", type="category")
    plot.update_yaxes(title_text="depth of the needle", col=1)
    plot.update_layout(
        height=840,
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
        coloraxis={"colorscale": "RdYlBu", "cmin": 0, "cmax": 100, "colorbar": {"ticksuffix": "%"}},
    )
    return plot


def write(found: NeedleRecord, path: Path) -> None:
    """Writes the page atomically; it loads nothing from the network."""
    plots = drawn("needles", "Needles found", "in percent", json.loads(figure(found).to_json()))
    caption = (
        f"Haystack: {escape(found['haystack'])}. {found['tries']} needles in each cell; a guess finds "
        f"{100 * found['chance']:.0f}% by choice.{escape(_published(found))}"
    )
    write_page("Needle in a haystack", f"<p>{caption}</p><div class=scroll>{plots}</div>", path)


def _published(found: NeedleRecord) -> str:
    """Published scores of KORMo-10B, if the record has them."""
    scores = ", ".join(f"{NAMES[language]} {score}%" for language, score in found["published"].items())
    return f" Published for KORMo-10B: {scores}; Korean falls after about 13K tokens." if scores else ""
