"""`kormo publish`: a finished run on a model hub."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.runs.publishing.publish import publish as send
from kormo_plugins.runs.publishing.publish import revisions
from kormo_plugins.store.sums import SUMS
from kormo_plugins.training.telemetry import left_behind


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--public", is_flag=True, help="Of a repository that is made now; by default it is private.")
@click.option("--license", "licence", metavar="ID", help="Of the model, as the hub calls it: apache-2.0, mit, …")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@json_option
def publish(run: Path, repository: str, public: bool, licence: str | None, dry_run: bool, as_json: bool) -> None:
    """Send a finished run to a model hub, checkpoints as revisions.

    The plain model becomes main, its own layout and its checkpoints become revisions. Optimizer states, random states
    and pickles stay here. A recipe with `hub_model_id` does this at its end.
    """
    if left_behind.changed_card(run):
        click.echo(
            f"kormo: {run / left_behind.CARD} was changed after the run had ended; it is sent as it is", err=True
        )
    if dry_run:
        planned = {revision.name: [path.name for path in revision.files] for revision in revisions(run)}
        if as_json:
            return print_json(planned)
        for name, files in planned.items():
            click.echo(f"{name}: {', '.join(files)}")
        return
    sent = send(run, repository, private=not public, licence=licence)
    if as_json:
        return print_json({"repository": repository, "revisions": sent})
    for name, identity in sent.items():
        click.echo(f"{repository}@{name}: {identity}")
    click.echo(f"(SHA-256 of each {SUMS}: publish them elsewhere too, for `kormo checkpoint fetch --sha256`)")
