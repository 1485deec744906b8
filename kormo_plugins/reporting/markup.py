"""HTML helpers: escaping, numbers and tables. Text of documents, recipes and models is always escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from kormo_plugins.errors import printable


def text(value: object) -> str:
    """Any value as escaped HTML text; control characters, including those of text direction, become visible escapes."""
    return html.escape(printable(str(value)))


def markdown(value: object) -> str:
    """Any value as one line of Markdown text: markup, HTML, table separators and control characters are escaped."""
    line = printable(" ".join(str(value).split()))
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(line, quote=False))


def code(value: object) -> str:
    """Any value as a Markdown code span, outside of tables; its fence is longer than any in the text."""
    line = printable(" ".join(str(value).split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " * (line[:1] == "`" or line[-1:] == "`")
    return f"{fence}{space}{line}{space}{fence}"


_MARKDOWN = re.compile(r"[\\`*_{}\[\]|~#!]")


def number(value: float | int | None, digits: int = 4) -> str:
    """Formats a number with `digits` significant digits and grouped thousands."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return f"{value:.{digits - 1}g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def short(value: float | None) -> str:
    """Formats a large count with three digits: 655K, 10.8B."""
    if value is None:
        return "–"
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return number(value)


def percent(value: float | None, places: int = 1) -> str:
    """A share."""
    return "–" if value is None else f"{100 * value:.{places}f}%"


def duration(seconds: float) -> str:
    """Seconds as `2 h 05 min`, `3 min 20 s` or `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def shown(value: object) -> str:
    """A value of a recipe in YAML notation."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kinds: str = "") -> str:
    """A table of HTML cells; `kinds` has a letter per column: n number, k key, v value, - text."""
    names = {"n": " class=n", "k": " class=key", "v": " class=value"}
    classes = [names.get(kind, "") for kind in kinds.ljust(len(head), "-")]
    top = "".join(f"<th{c if 'n' in c[-1:] else ''}>{text(n)}</th>" for n, c in zip(head, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{c}>{cell}</td>" for c, cell in zip(classes, row, strict=True)) + "</tr>" for row in rows
    )
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def section(title: str, body: str) -> str:
    """A section of the page; empty if `body` is empty."""
    return f"<section id={anchor(title)}><h2>{text(title)}</h2>{body}</section>" if body else ""


def parts_with_links(parts: Mapping[str, str]) -> str:
    """The non-empty sections, title -> HTML, after a line of links to them."""
    links = "".join(f"<a href='#{anchor(name)}'>{text(name)}</a>" for name, body in parts.items() if body)
    return f"<nav>{links}</nav>" + "".join(section(name, body) for name, body in parts.items())


def anchor(title: str) -> str:
    """The anchor of a section."""
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def folded(title: str, body: str) -> str:
    """A collapsed section."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"
