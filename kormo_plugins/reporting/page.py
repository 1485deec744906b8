"""`report.html`: one run, a chain, or several runs side by side, as one file that opens anywhere without a network.

The drawing library stands in the page itself (plotly, 4.8 MB); what it draws are plain mappings beside it. Whatever a
recipe, a document or a model wrote is shown as text and never as markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.reporting import sections
from kormo_plugins.reporting.charts import SCRIPT
from kormo_plugins.reporting.markup import STYLE, anchor, section, text
from kormo_plugins.reporting.run import Run, read_runs


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Writes the page of the runs in `folders` and returns its path.

    Args:
        folders: output folders of runs, or the one folder of a chain.
        out: the file.
    Raises:
        KormoError: a folder without a run.
    """
    runs, chain = read_runs([Path(folder) for folder in folders])
    title = str(chain.get("chain") or Path(folders[0]).name) if chain is not None else " / ".join(r.name for r in runs)
    page = render(runs, title, chain)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(out)
    return out


def render(runs: Sequence[Run], title: str, chain: Mapping[str, Any] | None = None) -> str:
    """The page as text."""
    parts = {
        "Chain": sections.chain(chain),
        "Curves": sections.curves(runs),
        "Evaluation": sections.evaluations(runs),
        "Samples": sections.samples(runs),
        "Mixture": sections.mixtures(runs),
        "Recipe": sections.recipes(runs),
        "What it ran on": sections.machines(runs),
        "Hashes": sections.hashes(runs),
    }
    links = "".join(f"<a href='#{anchor(name)}'>{text(name)}</a>" for name, body in parts.items() if body)
    body = "".join(section(name, body) for name, body in parts.items())
    return document(title, f"{sections.warnings(runs)}{sections.summary(runs)}<nav>{links}</nav>{body}", SCRIPT)


def document(title: str, body: str, script: str) -> str:
    """A whole page with our style and the drawing library in it.

    Args:
        title: as text.
        body: finished HTML.
        script: run at the end.
    """
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{text(title)}</title><style>{STYLE}</style><script>{_plotly()}</script></head><body>"
        f"<h1>{text(title)}</h1>{body}<script>{script}</script></body></html>\n"
    )


def _plotly() -> str:
    """The drawing library, as its Python package ships it."""
    from importlib import resources

    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
