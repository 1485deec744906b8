"""A whole page: our style, the drawing library, and a body. One file that opens anywhere without a network."""

from __future__ import annotations

from pathlib import Path

from kormo_plugins.reporting.charts import SCRIPT
from kormo_plugins.reporting.markup import STYLE, text


def write_page(title: str, body: str, out: Path) -> Path:
    """Writes a page, whole or not at all, and returns its path.

    Args:
        title: as text.
        body: finished HTML.
    """
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{text(title)}</title><style>{STYLE}</style><script>{_plotly()}</script></head><body>"
        f"<h1>{text(title)}</h1>{body}<script>{SCRIPT}</script></body></html>\n"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(out)
    return out


def _plotly() -> str:
    """The drawing library, as its Python package ships it."""
    from importlib import resources

    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
