"""The page's own HTML: escaping, numbers and tables. What a document, recipe or model wrote is always text."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from kormo_plugins.errors import printable


def text(value: object) -> str:
    """Anything as HTML text; controls, those of direction among them, become escapes that can be read."""
    return html.escape(printable(str(value)))


def markdown(value: object) -> str:
    """Anything as Markdown text on one line: no markup, no HTML, no cell of a table, no control character."""
    line = printable(" ".join(str(value).split()))
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(line, quote=False))


def code(value: object) -> str:
    """Anything as a code span of Markdown, outside of tables; its fence is longer than any in the text."""
    line = printable(" ".join(str(value).split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " * (line[:1] == "`" or line[-1:] == "`")
    return f"{fence}{space}{line}{space}{fence}"


_MARKDOWN = re.compile(r"[\\`*_{}\[\]|~#!]")


def number(value: float | int | None, digits: int = 4) -> str:
    """A number as people read it: `digits` significant ones, thousands grouped, no 15 places."""
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
    """A large count in three digits: 655K, 10.8B."""
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
    """A value of a recipe, as YAML spells it."""
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
    """A table of finished cells; `kinds` has a letter for each column: n number, k key, v value, - text."""
    names = {"n": " class=n", "k": " class=key", "v": " class=value"}
    classes = [names.get(kind, "") for kind in kinds.ljust(len(head), "-")]
    top = "".join(f"<th{c if 'n' in c[-1:] else ''}>{text(n)}</th>" for n, c in zip(head, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{c}>{cell}</td>" for c, cell in zip(classes, row, strict=True)) + "</tr>" for row in rows
    )
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def section(title: str, body: str) -> str:
    """A part of the page, or nothing where there is nothing to show."""
    return f"<section id={anchor(title)}><h2>{text(title)}</h2>{body}</section>" if body else ""


def parts_with_links(parts: Mapping[str, str]) -> str:
    """The parts that have something to show, title -> HTML, behind a line of links to them."""
    links = "".join(f"<a href='#{anchor(name)}'>{text(name)}</a>" for name, body in parts.items() if body)
    return f"<nav>{links}</nav>" + "".join(section(name, body) for name, body in parts.items())


def anchor(title: str) -> str:
    """The name under which a section is linked."""
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def folded(title: str, body: str) -> str:
    """What is there for those who look for it."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"
