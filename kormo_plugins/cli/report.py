"""`kormo report`: a page on a run, a chain, an ablation, or several runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.errors import printable, writing
from kormo_plugins.reporting.page import write_report


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN…")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: report.html in the run's folder; for several runs, in the current folder]",
)
@json_option
def report(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Write a page on a run, a chain, an ablation, or several runs side by side.

    RUN is an output folder, or a chain's or an ablation's.
    """
    out = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    with writing(out):
        page = write_report(runs, out, lambda line: click.echo(printable(f"kormo: warning: {line}"), err=True))
    if as_json:
        return print_json({"page": page, "runs": runs, "bytes": page.stat().st_size})
    click.echo(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
