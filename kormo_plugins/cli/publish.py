"""`kormo publish`: a finished run on a model hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.console.table import aligned
from kormo_plugins.runs.publishing.publish import publish as send
from kormo_plugins.runs.publishing.publish_plan import UNKNOWN, PublishPlan, publish_plan
from kormo_plugins.store.sums import SUMS
from kormo_plugins.training.telemetry import left_behind


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--public", is_flag=True, help="Make a new repository public; by default it is private.")
@click.option("--license", "licence", metavar="ID", help="Licence of the model by its hub id: apache-2.0, mit, …")
@click.option("--dry-run", is_flag=True, help="List the files that would be uploaded or held back; upload nothing.")
@json_option
def publish(run: Path, repository: str, public: bool, licence: str | None, dry_run: bool, as_json: bool) -> None:
    """Upload a finished run to a model hub, checkpoints as revisions.

    The plain model becomes main, its own layout and its checkpoints become revisions. Optimizer states, random states
    and pickles are not uploaded. A recipe with `hub_model_id` does this at the end of training.
    """
    if left_behind.changed_card(run):
        card = run / left_behind.CARD
        was, how = ("changed", "it is sent as it is") if card.is_file() else ("removed", "no revision has one")
        click.echo(f"kormo: {card} was {was} after the run had ended; {how}", err=True)
    if dry_run:
        plan = publish_plan(run, repository, licence)
        return print_json(_as_json(plan, public)) if as_json else click.echo(_as_text(plan, public))
    sent = send(run, repository, private=not public, licence=licence)
    if as_json:
        return print_json({"repository": repository, "revisions": sent})
    for name, identity in sent.items():
        click.echo(f"{repository}@{name}: {identity}")
    click.echo(f"(SHA-256 of each {SUMS}: publish them elsewhere too, for `kormo checkpoint fetch --sha256`)")


def _as_json(plan: PublishPlan, public: bool) -> dict[str, object]:
    """The plan as JSON values; `exists` is null, since a dry run does not contact the hub."""
    return {
        "repository": plan.repository,
        "private": not public,
        "exists": None,
        "revisions": [{**asdict(one), "folder": str(one.folder), "bytes": one.bytes} for one in plan.revisions],
        "held_back": [asdict(one) for one in plan.held_back],
    }


def _as_text(plan: PublishPlan, public: bool) -> str:
    """The plan as text: a table of files per revision, then the files held back, with reasons."""
    rows = [(one.name, file.name, f"{file.bytes:,}") for one in plan.revisions for file in one.files]
    total = sum(one.bytes for one in plan.revisions)
    lines = [
        f"A dry run: nothing is uploaded. {len(rows)} files, {total:,} bytes, would go to {plan.repository}, which is",
        f"created as a {'public' if public else 'private'} repository if it does not exist:",
        "",
        aligned(("revision", "file", "bytes"), rows, numbers={2}),
        "",
        *(f"{one.name} is {one.folder}" for one in plan.revisions),
    ]
    if plan.held_back:
        held = [(one.path, f"{one.bytes:,}", one.why) for one in plan.held_back]
        lines += ["", "Held back:", "", aligned(("of the run", "bytes", "why"), held, numbers={1})]
    return "\n".join([*lines, "", f"A dry run does not contact the hub: {UNKNOWN}."])
