"""Curves and the mixture as plotly figures (plain mappings), drawn by the script in the page.

A figure is `{"data": [...], "layout": {...}}`. The legend is HTML beside it, not plotly's: it wraps on a narrow page
and never covers a curve. Names come from recipes, so they are escaped; plotly would interpret them as markup.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kormo_plugins.errors import printable
from kormo_plugins.reporting.markup import text
from kormo_plugins.reporting.run import Run

COLOURS = (
    "#3566c9",
    "#d1495b",
    "#2e8b57",
    "#b8860b",
    "#7a4fb0",
    "#17879c",
    "#8c564b",
    "#555555",
    "#e07b39",
    "#5b8fd9",
    "#9c2f6b",
    "#6b8e23",
)
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
MOST_POINTS = 1500
"""Maximum points of a curve; a longer one is downsampled to every k-th point and the last."""
HEIGHT = 290
"""Pixels."""


@dataclass(frozen=True)
class Chart:
    """A chart and the metrics on it.

    Args:
        title: what is shown.
        unit: of the vertical axis.
        pattern: regular expression of the metrics' keys; the last matching group names the series.
        note: how to read it.
        logarithmic: logarithmic vertical axis if the values span more than a factor of 20.
        share: the values are shares, so the axis ends at 1.
    """

    title: str
    unit: str
    pattern: str
    note: str = ""
    logarithmic: bool = False
    share: bool = False


CHARTS: tuple[Chart, ...] = (
    Chart(
        "Loss",
        "nats per token",
        r"(loss|held_out/loss|external_eval/loss)",
        "of training, held-out and external text",
    ),
    Chart("Loss by language", "nats per token", r"loss/language/(.+)", "of the training batches"),
    Chart("Loss by source", "nats per token", r"loss/source/(.+)", "of the training batches"),
    Chart(
        "Auxiliary losses",
        "",
        r"loss/(load_balance|future_\d+)",
        "unweighted, of the training batches",
    ),
    Chart(
        "Bits per byte by language",
        "bits per byte",
        r"held_out/bits_per_byte/([^/]+)",
        "held-out documents; comparable between tokenizers",
    ),
    Chart("Bits per byte by source", "bits per byte", r"held_out/bits_per_byte/source/(.+)", "held-out documents"),
    Chart("Bits per byte by domain", "bits per byte", r"held_out/bits_per_byte/domain/(.+)", "held-out documents"),
    Chart(
        "Bits per byte on external text",
        "bits per byte",
        r"external_eval/bits_per_byte/source/(.+)",
        "authors and generators that are not in the training data",
    ),
    Chart(
        "Bits per byte on external text, by language",
        "bits per byte",
        r"external_eval/bits_per_byte/([^/]+)",
        "authors and generators that are not in the training data",
    ),
    Chart("Mini suite", "", r"mini/acc(?:/(ko|en))?", "accuracy; random guessing gives 0.25", share=True),
    Chart(
        "Mini suite by family",
        "",
        r"mini/acc/(choice|cloze|reading|arithmetic)",
        "accuracy; random guessing gives 0.25",
        share=True,
    ),
    Chart("Learning rate", "", r"(learning_rate)"),
    Chart("Gradient norm", "", r"(grad_norm)", "before clipping", True),
    Chart("Tokens per second", "", r"(tokens_per_second)"),
    Chart("MFU", "", r"(mfu)", "share of the device's peak"),
    Chart(
        "Distinct n-grams of 2 and 4 words",
        "",
        r"collapse/distinct_([24]/.+)",
        "falls when the model repeats itself",
        share=True,
    ),
    Chart("Self-BLEU", "", r"collapse/self_bleu/(.+)", "rises when continuations become alike", share=True),
    Chart(
        "Repetition", "", r"collapse/repetition/(.+)", "4-grams of tokens that occurred earlier in the text", share=True
    ),
    Chart("Entropy of generation", "bits", r"collapse/entropy/(.+)", "of the next-token distribution"),
    Chart(
        "Share of letters in the prompt's script",
        "",
        r"collapse/right_script/(.+)",
        "Hangul after Korean, Latin after English",
        share=True,
    ),
    Chart("Length of continuations", "tokens", r"collapse/length/(.+)"),
    Chart("Continuations that end", "", r"collapse/ended/(.+)", "share with an end token", share=True),
)
"""In the order of the page. A metric without a matching pattern is in the table of last values."""


def curves(runs: Sequence[Run]) -> list[str]:
    """The charts of all runs, overlaid, as HTML; charts without points are omitted."""
    figures: list[str] = []
    for chart in CHARTS:
        series = _series(chart, runs)
        if series:
            figures.append(_curve_figure(f"c{len(figures)}", chart, series, runs))
    return figures


def charted(key: str) -> bool:
    """Whether a metric is on one of the charts."""
    return any(re.fullmatch(chart.pattern, key) for chart in CHARTS)


def _series(chart: Chart, runs: Sequence[Run]) -> list[dict[str, object]]:
    """Traces: for one run, colour is the series; for several, colour is the run and dash the series."""
    keys = list(dict.fromkeys(key for run in runs for key in run.keys() if re.fullmatch(chart.pattern, key)))  # noqa: SIM118
    keys.sort(key=lambda key: "/" in key)  # metrics of training first
    traces: list[dict[str, object]] = []
    for number, run in enumerate(runs):
        for place, key in enumerate(keys):
            points = downsample(run.curve(key))
            if not points:
                continue
            series = _name(chart, key)
            colour = COLOURS[(number if len(runs) > 1 else place) % len(COLOURS)]
            dash = DASHES[place % len(DASHES)] if len(runs) > 1 else "solid"
            name = series if len(runs) == 1 else run.name if len(keys) == 1 else f"{run.name}: {series}"
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(points) <= 40 else "lines",
                    "x": [x for x, _ in points],
                    "y": [y if math.isfinite(y) else None for _, y in points],
                    "name": text(name),
                    "meta": [text(run.name), text(series)],
                    "marker": {"size": 4},
                    "line": {"color": colour, "width": 1.8, "dash": dash},
                    "hovertemplate": "%{y:.4g}",
                }
            )
    return traces


def _name(chart: Chart, key: str) -> str:
    match = re.fullmatch(chart.pattern, key)
    name = match.group(1) if match and match.group(1) else key
    known = {"loss": "training", "held_out/loss": "held out", "external_eval/loss": "external", "mini/acc": "all"}
    return known.get(name, name.replace("_", " ").replace("/", " "))


def downsample(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about `MOST_POINTS` points, including the first and the last."""
    step = -(-len(points) // MOST_POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _curve_figure(name: str, chart: Chart, series: list[dict[str, Any]], runs: Sequence[Run]) -> str:
    axis = {"gridcolor": "#e9edf4", "zeroline": False, "automargin": True}
    unit = "tokens" if runs[0].in_tokens else "steps"
    values = [y for one in series for y in one["y"] if y is not None]
    vertical: dict[str, object] = {"title": {"text": chart.unit, "font": {"size": 12}}}
    if values and chart.share and max(values) > 0.9:  # shares cannot exceed 1
        vertical["range"] = [0 if min(values) < 0.5 else min(values) - 0.05, 1.02]
    elif values and min(values) == max(values):  # centres a flat line
        vertical["range"] = [min(0, 2 * values[0]), max(2 * values[0], 1 if values[0] <= 0 else 0)]
    elif chart.logarithmic and values and min(values) > 0 and max(values) > 20 * min(values):
        vertical |= {"type": "log", "dtick": 1}
    layout = {
        **BASE,
        "height": HEIGHT,
        "hovermode": "x unified",
        "margin": {"l": 8, "r": 10, "t": 10, "b": 8},
        "xaxis": {**axis, "title": {"text": unit, "font": {"size": 12}}, "nticks": 6},
        "yaxis": {**axis, **vertical, "exponentformat": "power"},
    }
    return drawn(name, chart.title, chart.note, {"data": series, "layout": layout}, legend(series))


BASE: dict[str, object] = {
    "font": {"family": "system-ui, 'Noto Sans KR', NanumGothic, sans-serif", "size": 12, "color": "#1d2433"},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "showlegend": False,
    "autosize": True,
}


MOST_NAMES = 6
"""Maximum names of a legend; beyond it, colours name the runs and dashes the series."""


def legend(series: Sequence[Mapping[str, Any]]) -> str:
    """Legend with the names of the series; a click hides one. Empty for a single unnamed series."""
    if len(series) < 2:
        return ""
    runs, parts = ({one["meta"][place]: one["line"] for one in series if "meta" in one} for place in (0, 1))
    if len(series) <= MOST_NAMES or len(runs) < 2 or len(parts) < 2:
        return _names((one["name"], one["line"]["color"], one["line"]["dash"], [i]) for i, one in enumerate(series))
    traces = [
        {n: [i for i, one in enumerate(series) if one["meta"][place] == n] for n in names}
        for place, names in enumerate((runs, parts))
    ]
    entries = _names((name, line["color"], "solid", traces[0][name]) for name, line in runs.items())
    return entries + _names((name, "#5b6475", line["dash"], traces[1][name]) for name, line in parts.items())


def _names(named: Iterable[tuple[str, str, str, list[int]]]) -> str:
    """Buttons: name, colour, dash, and the traces that a click hides."""
    styles = {"solid": "solid", "dot": "dotted"}
    items = [
        f"<button type=button data-traces='{','.join(map(str, traces))}'><i style='border-color:{colour};"
        f"border-top-style:{styles.get(dash, 'dashed')}'></i>{name}</button>"
        for name, colour, dash, traces in named
    ]
    return f"<div class=legend>{''.join(items)}</div>"


def drawn(name: str, title: str, note: str, figure: Mapping[str, Any], below: str = "") -> str:
    """HTML of a figure: caption, and the data for the page's script."""
    caption_note = f" <small>{text(note)}</small>" if note else ""
    return (
        f"<figure><figcaption>{text(title)}{caption_note}</figcaption><div class=plot id={name} "
        f"style='height:{figure['layout']['height']}px'></div>{below}"
        f"<script type='application/json' data-for={name}>{safe_json(_plain(figure))}</script></figure>"
    )


def safe_json(value: object) -> str:
    """JSON that is safe inside a script element: it cannot close or open a tag."""
    made = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return made.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


_TAG = re.compile(r"<(?!/?(?:b|i|br|sup|sub|extra)>)")
"""Matches the start of any tag except text formatting: plotly renders links in labels."""


def _plain(value: object) -> object:
    """The value with every string escaped for display in plotly."""
    if isinstance(value, str):
        return printable(_TAG.sub("&lt;", value))
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def sunburst(name: str, nodes: Sequence[tuple[str, str, str, float]]) -> str:
    """The mixture as a sunburst chart.

    Args:
        nodes: key, name, key of the parent ("" for the root), share of the run's tokens.
    """
    # Integers add up exactly: plotly does not draw a ring whose parts exceed the whole by a rounding error.
    leaves = {key for key, *_ in nodes} - {parent for _, _, parent, _ in nodes}
    sizes = {key: round(share * 1e9) if key in leaves else 0 for key, _, _, share in nodes}
    for key, _, parent, _ in reversed(nodes):
        if parent:
            sizes[parent] += sizes[key]
    trace = {
        "type": "sunburst",
        "branchvalues": "total",
        "ids": [key for key, *_ in nodes],
        "labels": [text(label) for _, label, _, _ in nodes],
        "parents": [parent for _, _, parent, _ in nodes],
        "values": [sizes[key] for key, *_ in nodes],
        "textinfo": "label+percent root",
        "hovertemplate": "%{label}: %{percentRoot:.2%}<extra></extra>",
        "insidetextorientation": "auto",
    }
    layout = {**BASE, "height": 400, "margin": {"l": 0, "r": 0, "t": 6, "b": 0}, "colorway": list(COLOURS)}
    return drawn(name, "Mixture by source", "share of the run's tokens", {"data": [trace], "layout": layout})


SCRIPT = """
for(const data of document.querySelectorAll('script[data-for]')){
  const box=document.getElementById(data.dataset.for),figure=JSON.parse(data.textContent);
  Plotly.newPlot(box,figure.data,figure.layout,{responsive:true,displayModeBar:false});
}
for(const button of document.querySelectorAll('.legend button'))button.onclick=()=>{
  const off=button.classList.toggle('off'),box=button.closest('figure').querySelector('.plot');
  Plotly.restyle(box,{visible:!off},button.dataset.traces.split(',').map(Number));
};
"""
"""Draws every figure of the page; a click on a name hides its curve."""
