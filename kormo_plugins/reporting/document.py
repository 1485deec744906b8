"""A whole page: one template, one stylesheet, the drawing library where there are figures. It opens without a network.

What a page may load or run is fixed by its content security policy: nothing from elsewhere, and no script but those of
this package, each named by its digest. Should hostile text ever reach a page unescaped, it still does not run.
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
"""What `charts.drawn` puts beside each figure: its data, which the page's script draws."""


def write_page(title: str, body: str, out: Path) -> Path:
    """Writes a page, whole or not at all, and returns its path.

    Args:
        title: as text.
        body: finished HTML, with figures as `charts.drawn` makes them.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, render_page(title, body))
    return out


def render_page(title: str, body: str) -> str:
    """The page as one string; arguments as for `write_page`."""
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
    """Styles may stand in the page, since plotly writes some; scripts only if their digest is listed here."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"


def _resource(name: str) -> str:
    return (resources.files("kormo_plugins.reporting") / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _plotly() -> str:
    """The drawing library, as its Python package ships it."""
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
