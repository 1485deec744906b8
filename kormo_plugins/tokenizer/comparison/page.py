"""The tokenizer report: a table for the terminal, and an HTML page with plots that works offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kormo_plugins.console.table import aligned
from kormo_plugins.reporting.charts import drawn
from kormo_plugins.reporting.document import write_page as write_html
from kormo_plugins.reporting.markup import text as escape

MEASURES = {
    "bytes_per_token": "bytes per token",
    "characters_per_token": "characters per token",
    "tokens_per_eojeol": "tokens per eojeol (space-separated word)",
    "single_byte_share": "share of single-byte tokens",
    "entropy_bits": "entropy in bits per token",
}


def table(result: dict[str, Any]) -> str:
    """The measures by tokenizer and language, as aligned text."""
    head = ["tokenizer", "ids", "text", "byte/tok", "char/tok", "tok/eojeol", "1-byte %", "bits", "unused %"]
    rows: list[list[str]] = []
    for name, report in result["tokenizers"].items():
        for group, measures in {**report["languages"], "all": report["all"]}.items():
            rows.append(
                [
                    name,
                    f"{report['size']:,}",
                    group,
                    f"{measures['bytes_per_token']:.3f}",
                    f"{measures['characters_per_token']:.3f}",
                    f"{measures['tokens_per_eojeol']:.2f}",
                    f"{100 * measures['single_byte_share']:.2f}",
                    f"{measures['entropy_bits']:.2f}",
                    f"{100 * report['unused_share']:.1f}" if group == "all" else "",
                ]
            )
    return aligned(head, rows, numbers=[column for column in range(len(head)) if column not in (0, 2)])


def write_page(result: dict[str, Any], path: Path) -> None:
    """Writes a self-contained HTML file: bars of each measure by language and by source, and the longest tokens."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = [f"{title}, by {by}" for title in MEASURES.values() for by in ("language", "source")]
    figure = make_subplots(rows=len(MEASURES), cols=2, subplot_titles=titles, vertical_spacing=0.05)
    colours = ["#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB"]
    for number, (name, report) in enumerate(result["tokenizers"].items()):
        for row, measure in enumerate(MEASURES, 1):
            for column, by in enumerate(("languages", "sources"), 1):
                groups = report[by]
                figure.add_trace(
                    go.Bar(
                        x=list(groups),
                        y=[group[measure] for group in groups.values()],
                        name=f"{name} ({report['size']:,} ids)",
                        legendgroup=name,
                        showlegend=row == column == 1,
                        marker_color=colours[number % len(colours)],
                    ),
                    row=row,
                    col=column,
                )
    figure.update_layout(height=340 * len(MEASURES), barmode="group", legend={"orientation": "h", "y": 1.06})
    plots = drawn("measures", "Measures by language and source", "", json.loads(figure.to_json()))
    body = f"<pre>{escape(table(result))}</pre>{plots}{''.join(map(_lists, result['tokenizers'].items()))}"
    write_html(f"Tokenizers on {result['documents']:,} documents, {result['bytes'] / 1e6:,.1f} MB", body, path)


def _lists(item: tuple[str, dict[str, Any]]) -> str:
    name, result = item
    words = ", ".join(f"<code>{escape(repr(word))}</code>" for word in result["longest"])
    terms = "".join(
        f"<li>{escape(term)}: {counts['tokens']:,} tokens, {counts['uses']:,} occurrences</li>"
        for term, counts in result["terms"].items()
    )
    return (
        f"<h2>{escape(name)}</h2><p>{result['unused']:,} of {result['size']:,} ids unused.</p>"
        f"<p>Longest tokens: {words}</p>" + (f"<ul>{terms}</ul>" if terms else "")
    )
