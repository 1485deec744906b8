"""The mixture of a run as a tree: as text for a terminal, and as a self-contained page of plots.

A line of the tree is a source or a group of the recipe's weights; a group is the sum of its members. `target` and
`actual` are shares of the run's tokens, `epochs` is the number of passes over the rows in the whole run, `fill` is the
share of the rows that is not padding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.reporting.charts import drawn
from kormo_plugins.reporting.document import write_page as write_html
from kormo_plugins.reporting.markup import text as escape

SUMMED = ("documents", "tokens", "tokens_placed", "tokens_dropped", "rows", "rows_drawn")
BAR = 20
"""Characters of a bar for a share of 100%."""


@dataclass(frozen=True)
class Line:
    """One source, or one group of them.

    Args:
        name: as in the recipe.
        lead: branch characters before the name.
        key: path from the root, unique.
        parent: path of its group; "" for the root.
        counts: sums over its sources of `SUMMED`, `places` (positions of its rows, including padding), `weight`,
            `share`, and `billionths` (of the run's tokens).
    """

    name: str
    lead: str
    key: str
    parent: str
    counts: Mapping[str, float]

    @property
    def fill(self) -> float:
        """Tokens per position."""
        return self.counts["tokens_placed"] / self.counts["places"] if self.counts["places"] else 0.0

    @property
    def epochs(self) -> float:
        """Number of passes over its rows."""
        return self.counts["rows_drawn"] / self.counts["rows"] if self.counts["rows"] else 0.0


def tree(name: str, weights: Mapping[str, object] | None, stats: Mapping[str, Any]) -> list[Line]:
    """The lines of a mixture, root first.

    Args:
        name: of the dataset.
        weights: the recipe's tree (source -> number, or group -> {share, of}); None: a flat list.
        stats: from `mixture.report.stats`.
    """
    sources = {source: _counts(one) for source, one in stats["sources"].items()}
    shape = _shape(weights or {}, sources)
    ungrouped = {source: source for source in sources if source not in set(_leaves(shape))}
    return list(_lines(name, {**shape, **ungrouped}, sources, "", "", ""))


def print_tree(lines: list[Line]) -> None:
    """Prints the lines, one row each."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("mixture", no_wrap=True)
    for title in ("documents", "tokens", "dropped", "rows", "fill", "epochs", "target", "actual"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in lines:
        table.add_row(f"{line.lead}{line.name}", *_cells(line), "█" * round(BAR * line.counts["share"]))
    # Lines may be long: a pipe has no width, and truncation on a narrow terminal would hide numbers.
    Console(width=max(Console().width, 160), highlight=False, markup=False).print(table)


def write_page(lines: list[Line], stats: Mapping[str, object], path: Path) -> None:
    """Writes an HTML file: the mixture as a sunburst, requested and actual shares as bars, the tree as a table."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    leaves = [line for line in lines if not any(other.parent == line.key for other in lines)]
    figure = make_subplots(1, 2, specs=[[{"type": "domain"}, {"type": "xy"}]], column_widths=[0.45, 0.55])
    figure.add_trace(
        go.Sunburst(
            ids=[line.key for line in lines],
            labels=[line.name for line in lines],
            parents=[line.parent for line in lines],
            values=[line.counts["billionths"] for line in lines],
            branchvalues="total",
        ),
        1,
        1,
    )
    for title, key in (("target", "weight"), ("actual", "share")):
        shares = [line.counts[key] for line in leaves]
        figure.add_trace(go.Bar(x=[line.name for line in leaves], y=shares, name=title), 1, 2)
    figure.update_layout(height=520, barmode="group", yaxis_tickformat=".1%", legend={"orientation": "h"})
    titles = ("mixture", "documents", "tokens", "dropped", "rows", "fill", "epochs", "target", "actual")
    head = "".join(f"<th{' class=n' if place else ''}>{title}</th>" for place, title in enumerate(titles))
    rows = "".join(
        f"<tr><td class=tree>{escape(line.lead + line.name)}</td>"
        f"{''.join(f'<td class=n>{cell}</td>' for cell in _cells(line))}</tr>"
        for line in lines
    )
    plots = drawn("mixture", "The mixture", "target and actual share of tokens", json.loads(figure.to_json()))
    title = f"{lines[0].name}: {stats['tokens']:,} tokens in {stats['steps']:,} steps"
    write_html(title, f"<div class=wide><table><tr>{head}</tr>{rows}</table></div>{plots}", path)


def _counts(one: Mapping[str, Any]) -> dict[str, float]:
    places = one["tokens_placed"] / one["fill"] if one["fill"] else 0.0
    # Integers add up exactly: plotly does not draw a sunburst whose parts exceed the whole by a rounding error.
    shares = {"weight": one["weight"], "share": one["share"], "billionths": round(one["share"] * 1e9)}
    return {key: one[key] for key in SUMMED} | {"places": places} | shares


def _shape(weights: Mapping[str, object], sources: Mapping[str, object]) -> dict[str, object]:
    """The weights as nested names: group -> its members, source -> itself; without missing sources."""
    found: dict[str, object] = {}
    for name, node in weights.items():
        members = node.get("of") if isinstance(node, Mapping) else None
        if members is not None:
            found[name] = _shape(members, sources)
        elif name in sources:
            found[name] = name
    return found


def _leaves(shape: Mapping[str, object]) -> Iterator[str]:
    for name, node in shape.items():
        if isinstance(node, Mapping):
            yield from _leaves(node)
        else:
            yield name


def _lines(
    name: str, node: Any, sources: Mapping[str, Mapping[str, float]], lead: str, below: str, parent: str
) -> Iterator[Line]:
    """The lines of `node` and its members; `below` is the prefix of its members."""
    key = f"{parent}/{name}"
    members = list(node.items()) if isinstance(node, Mapping) else []
    inside = [sources[source] for source in _leaves(node)] if members else [sources[name]]
    yield Line(name, lead, key, parent, {field: sum(one[field] for one in inside) for field in inside[0]})
    for place, (member, inner) in enumerate(members):
        last = place == len(members) - 1
        corner, onward = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _lines(member, inner, sources, below + corner, below + onward, key)


def _cells(line: Line) -> list[str]:
    counts = line.counts
    return [
        f"{counts['documents']:,}",
        f"{counts['tokens']:,}",
        f"{counts['tokens_dropped']:,}",
        f"{counts['rows']:,}",
        f"{line.fill:.2%}",
        f"{line.epochs:.3f}",
        f"{counts['weight']:.2%}",
        f"{counts['share']:.2%}",
    ]
