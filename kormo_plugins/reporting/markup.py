"""The page's own HTML: escaping, numbers, tables, one style. What a document, recipe or model wrote is always text."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STYLE = """
:root{--ink:#1d2433;--soft:#5b6475;--line:#e3e8f0;--fill:#f5f7fb;--blue:#3566c9}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,"Noto Sans KR","NanumGothic",sans-serif;max-width:76rem;margin:1.5rem auto 4rem;
padding:0 1rem;color:var(--ink)}
h1{margin:0 0 .2rem;overflow-wrap:anywhere}
h2{margin:2.4rem 0 .8rem;padding-bottom:.2rem;border-bottom:1px solid #d5dbe6}
h3{margin:1.2rem 0 .4rem;font-size:1rem}p{margin:.4rem 0}small,.soft{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.6rem 0 1.2rem;font-size:.92rem}nav a{color:var(--blue);
text-decoration:none}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem}
.cards div{background:var(--fill);border-radius:6px;padding:.55rem .8rem}.cards b{display:block;font-size:1.2rem;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}.cards small{font-size:.8rem}
.plots{margin-top:.8rem;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));
gap:1.2rem 1.6rem}
figure{margin:0;min-width:0}figcaption{font-weight:600}figcaption small{font-weight:400}
.legend{display:flex;flex-wrap:wrap;gap:.1rem .9rem;font-size:.82rem;margin:.25rem 0 0}
.legend button{all:unset;cursor:pointer;display:flex;align-items:center;gap:.35rem;max-width:100%;
overflow-wrap:anywhere}
.legend button:focus-visible{outline:2px solid var(--blue)}.legend button.off{opacity:.35}
.legend i{width:.9rem;border-top:3px solid;flex:none}
.wide{overflow-x:auto;max-width:100%}table{border-collapse:collapse;width:100%;font-size:.92rem}
td,th{padding:.25rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;background:var(--fill)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.key{font-family:ui-monospace,monospace;font-size:.85rem;overflow-wrap:anywhere;min-width:12rem}
td.value{font-family:ui-monospace,monospace;font-size:.82rem;overflow-wrap:anywhere;min-width:7.5rem;max-width:26rem}
.warn{background:#fff4e8;border-left:4px solid #d9822b;padding:.5rem .9rem;border-radius:3px;margin:1rem 0}
.warn ul{margin:.2rem 0;padding-left:1.2rem}
.samples{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.7rem 1.2rem}
blockquote{margin:0;padding:.5rem .8rem;background:var(--fill);border-left:3px solid #c6cfdf;white-space:pre-wrap;
overflow-wrap:anywhere;font-size:.9rem;max-height:15rem;overflow-y:auto}blockquote b{color:var(--blue)}
details{margin:.8rem 0}summary{cursor:pointer;color:var(--blue)}
pre{background:var(--fill);padding:.8rem;overflow-x:auto;font-size:.8rem;max-height:34rem}
@media(max-width:30rem){body{font-size:14px;padding:0 .7rem}td,th{padding:.2rem .4rem}h1{font-size:1.5rem}}
"""


def text(value: object) -> str:
    """Anything as HTML text."""
    return html.escape(str(value))


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


def shown(value: Any) -> str:
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
