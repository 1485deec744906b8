"""Renders a self-contained page: one template, one stylesheet, and plotly if there are figures.

The content security policy of a page allows no external resources, and only the scripts of this package, by their
digests. So even hostile text that reached a page unescaped would not run.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from kormo_plugins.errors import printable
from kormo_plugins.reporting.charts import SCRIPT
from kormo_plugins.store.atomic import write_text

FIGURE = "<script type='application/json' data-for="
"""Start of a figure's data, as written by `charts.drawn`."""


def write_page(title: str, body: str, out: Path) -> Path:
    """Writes a page atomically and returns its path.

    Args:
        title: plain text.
        body: HTML, with figures from `charts.drawn`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, render_page(title, body))
    return out


def render_page(title: str, body: str) -> str:
    """The page as a string; arguments as for `write_page`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    head, foot = ([_plotly()], [SCRIPT]) if FIGURE in body else ([], [])
    environment = Environment(
        loader=PackageLoader("kormo_plugins.reporting"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html.j2").render(
        title=printable(title),
        policy=_policy([*head, *foot]),
        style=Markup(_resource("style.css")),
        head=[Markup(script) for script in head],
        body=Markup(body),
        foot=[Markup(script) for script in foot],
    )


def _policy(scripts: list[str]) -> str:
    """Content security policy: inline styles, since plotly writes some, and scripts with these digests."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"


def _resource(name: str) -> str:
    return (resources.files("kormo_plugins.reporting") / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _plotly() -> str:
    """plotly.js, from the Python package."""
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
