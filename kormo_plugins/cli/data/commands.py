"""`kormo data`: builds, inspects and verifies the data of a recipe.

`build` creates documents, tokenizer, shards and row plans; all other commands only read them, and name the command that
builds a missing one. Sample i of a run is a pure function of the recipe, so `batch` works for any step, past or future,
without a trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kormo_plugins.cli.data.artifacts import (
    looked_up,
    opened,
    provide,
    refuse_unready,
    verify_folders,
    verify_recipe,
)
from kormo_plugins.cli.data.convert import convert
from kormo_plugins.cli.data.mixture_tree import print_tree, tree, write_page
from kormo_plugins.cli.data.peek import peek
from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.console.progress import Progress
from kormo_plugins.corpus.reports.report import dataset_card, write_report
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError, printable
from kormo_plugins.pipeline.built import say
from kormo_plugins.pipeline.rejects import log_unread
from kormo_plugins.pipeline.transfer import fetch_artifact
from kormo_plugins.runs.publishing.publish_data import publish_documents
from kormo_plugins.store.artifact import build as make
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.sums import SUMS
from kormo_plugins.store.sums import write_sums as publish_sums

if TYPE_CHECKING:
    from kormo_plugins.pipeline.built import Built
    from kormo_plugins.store.artifact import Artifact, Make, Spec

LEDGER = ("documents", "tokens", "tokens_placed", "tokens_dropped", "rows", "fill", "weight", "share")
"""Keys of each source in `stats --json`; `weight` is the requested share of tokens, `share` the actual one."""
recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))
workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("artifacts"),
    show_default=True,
    help="Folder of all artifacts, for a dataset recipe.",
)


@click.group()
def data() -> None:
    """Build, inspect and verify the data of a recipe."""


data.add_command(peek)
data.add_command(convert)


@data.command()
@recipe_argument
@workspace_option
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes that clean and tokenize. [default: kormo.data.workers, or 1]",
)
@json_option
def build(recipe: Path, workspace: Path, workers: int | None, as_json: bool) -> None:
    """Build the documents, tokenizer, shards and row plans of RECIPE; existing artifacts are reused.

    For a dataset recipe, only the documents are built.
    """
    had: list[tuple[Artifact, str]] = []

    def get(folder: Path, spec: Spec, write: Make) -> Artifact:
        """Builds or finds an artifact, and records which of the two."""
        state = "found"

        def noted(out: Path) -> Mapping[str, object]:
            """Writes the artifact; only called if it has to be built."""
            nonlocal state
            state = "built"
            return write(out)

        artifact = make(folder, spec, noted, say)
        had.append((artifact, state))
        return artifact

    loaded = refuse_unready(recipe, workspace)
    try:
        provide(recipe, workspace, get, workers, loaded)
    except KormoError:  # a file in another encoding is often why the tokenizer finds too little text
        _tell_unread(had)
        raise
    rows = [_summary(artifact, state) for artifact, state in had]
    if as_json:
        print_json(rows)
    else:
        header = ("kind", "name", "documents", "tokens", "seconds", "state", "path")
        print_table([name.upper() for name in header], [[_cell(row[name]) for name in header] for row in rows])
    _tell_unread(had)


def _tell_unread(had: Sequence[tuple[Artifact, str]]) -> None:
    log_unread({name: artifact for artifact, _ in had if (name := _source(artifact))}, say)


@data.command()
@recipe_argument
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page of plots.")
@json_option
def stats(recipe: Path, page: Path | None, as_json: bool) -> None:
    """The mixture of RECIPE: tokens, documents, requested and actual share, epochs and fill of each source."""
    from kormo_plugins.mixture.report import stats as measure

    loaded, _, dataset = opened(recipe)
    found = measure(dataset)
    assert loaded.data is not None
    lines = tree(loaded.data.corpus.name, loaded.data.mixture.mixture.get("weights"), found)
    if page is not None:
        if not page.parent.is_dir():
            raise KormoError(
                where="kormo data stats: --html",
                found=f"{page}",
                why=f"there is no folder {page.parent}",
                do="create it",
            )
        write_page(lines, found, page)
        click.echo(f"{page}: written", err=True)
    if as_json:
        return print_json(_stats_json(found))
    click.echo(f"{recipe}: {found['tokens']:,} tokens in {found['steps']:,} steps of {dataset.global_batch} rows")
    print_tree(lines)
    for stage in found["stages"][1:]:
        shares = ", ".join(f"{name} {share:.2%}" for name, share in stage["shares"].items())
        click.echo(f"from step {stage['from_step']:,}: {shares}")


@data.command()
@recipe_argument
@click.option("--step", type=int, required=True, help="Optimizer step, counted from 0; it need not have been trained.")
@click.option("--rank", type=int, default=0, show_default=True, help="Show the rows of this rank, counted from 0.")
@click.option("--world-size", type=int, default=1, show_default=True, help="Number of ranks.")
@click.option("--text", is_flag=True, help="Show the text of each document.")
@json_option
def batch(recipe: Path, step: int, rank: int, world_size: int, text: bool, as_json: bool) -> None:
    """The documents, sources and offsets of a step of RECIPE."""
    from kormo_plugins.mixture.report import batch as describe

    loaded, built, dataset = opened(recipe)
    micro = int(loaded.get("micro_batch_size", 1))
    decode = _decoder(built) if text else None
    found = describe(dataset, step, rank=rank, world_size=world_size, micro_batch=micro, decode=decode)
    if as_json:
        keys = ("index", "source", "row", "documents")
        samples = [{key: sample[key] for key in keys} for sample in found["samples"]]
        return print_json({**found, "samples": samples})
    of = f", rank {rank} of {world_size}" if world_size > 1 else ""
    click.echo(f"step {step} of {dataset.steps:,}{of}: {len(found['samples'])} rows")
    for sample in found["samples"]:
        place = f"sample {sample['index']:,}  {sample['source']}  row {sample['row']:,}  epoch {sample['epoch']}"
        click.echo(printable(f"\n{place}"))
        for document in sample["documents"]:
            click.echo(printable(f"  {document['id']}  [{document['start']:,}:{document['end']:,}]"))
            for line in document.get("text", "").splitlines():
                click.echo(printable(f"    {line}"))


@data.command()
@click.argument("what", type=click.Path(path_type=Path), metavar="RECIPE|FOLDER")
@workspace_option
@click.option("--write-sums", is_flag=True, help="Write SHA256SUMS into an intact FOLDER, for `kormo data fetch`.")
@json_option
def verify(what: Path, workspace: Path, write_sums: bool, as_json: bool) -> None:
    """Read every file of the artifacts of RECIPE, or of FOLDER, and compare checksums.

    FOLDER is an artifact, a folder of shards or rows, or a whole workspace. The exit status is 2 if a file is damaged.
    """
    if write_sums and not what.is_dir():
        raise KormoError(
            where="kormo data verify --write-sums",
            found=f"{what}, a recipe",
            why="SHA256SUMS is written into one folder",
            do="name the folder of an artifact (`kormo data build --json` prints them)",
        )
    checked = verify_folders(what) if what.is_dir() else verify_recipe(what, workspace)
    damaged = [error for one in checked for error in one.damaged]
    for error in damaged:
        click.echo(error.render(), err=True)
    if as_json:
        print_json(
            {
                "folders": [
                    {"path": one.folder, "files": one.files, "bytes": one.bytes, "whole": not one.damaged}
                    for one in checked
                ],
                "damaged": [{"path": error.where, "found": error.found, "why": error.why} for error in damaged],
            }
        )
    else:
        files, size = sum(one.files for one in checked), sum(one.bytes for one in checked)
        click.echo(f"{files:,} files in {len(checked)} folders, {size / 1e6:,.1f} MB: {len(damaged)} damaged")
    if damaged:
        raise click.exceptions.Exit(EXIT_BAD_INPUT)
    if write_sums:
        click.echo(
            f"{what / SUMS}: its SHA-256 is {publish_sums(what)}; publish it where the folder is not", err=as_json
        )


@data.command()
@recipe_argument
@workspace_option
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write into.  [default: reports/NAME]")
@json_option
def report(recipe: Path, workspace: Path, out: Path | None, as_json: bool) -> None:
    """Write report.html (counts of documents and rejects per step) and README.md (a dataset card) for RECIPE.

    RECIPE may be a dataset recipe.
    """
    described, had = looked_up(recipe, workspace)
    corpora = had["corpus"]
    counted = {name: artifact.stats for name, artifact in corpora.items()}
    safe = "".join(c if c.isalnum() or c in "_-" else "_" for c in described.corpus.name)
    out = out or Path("reports") / safe
    documents = described.corpus.model_copy(update={"sources": described.corpus.documents_of})
    page = write_report(
        documents,
        {name: artifact.path for name, artifact in corpora.items()},
        counted,
        out,
        tokens={name: artifact.stats["tokens"] for name, artifact in had["shards"].items() if name in corpora},
        weights=described.mixture.mixture.get("weights"),
    )
    card = out / "README.md"
    write_text(card, dataset_card(documents, counted))
    if as_json:
        return print_json({"page": page, "card": card, "sources": counted})
    click.echo(f"{page}: the report\n{card}: the dataset card")


@data.command("publish")
@recipe_argument
@click.argument("repository", metavar="OWNER/NAME")
@workspace_option
@click.option("--public", is_flag=True, help="Make a new repository public; by default it is private.")
@json_option
def publish_data(recipe: Path, repository: str, workspace: Path, public: bool, as_json: bool) -> None:
    """Upload the cleaned documents of RECIPE to a hub, with a configuration per source and a dataset card.

    Documents keep their source and licence; whether these permit publication is your responsibility.
    """
    described, had = looked_up(recipe, workspace)
    documents = described.corpus.model_copy(update={"sources": described.corpus.documents_of})
    corpora = had["corpus"]
    card = dataset_card(documents, {name: artifact.stats for name, artifact in corpora.items()})
    places = {name: artifact.path for name, artifact in corpora.items()}
    files = publish_documents(repository, card, places, private=not public)
    if as_json:
        return print_json({"repository": repository, "sources": list(places), "files": files})
    click.echo(f"{repository}: {files} files of {', '.join(places)}")


@data.command()
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--sha256", "identity", metavar="HEX", help="SHA-256 of its SHA256SUMS, as published by its author.")
@json_option
def fetch(url: str, folder: Path, identity: str | None, as_json: bool) -> None:
    """Copy an artifact, or a folder of shards or rows, from URL (s3://…, a path) into DIR, and verify it.

    Damage is detected with its manifest; its origin is verified with SHA256SUMS, if it has one.
    """
    with Progress(f"bytes of {url}", unit="bytes") as progress:

        def show(done: int, total: int) -> None:
            """Updates the bar to `done` of `total` bytes."""
            progress.total = total
            progress(done - progress.done)

        found = fetch_artifact(url, folder, progress=show, identity=identity)
    if as_json:
        return print_json({"url": url, "path": folder, **found})
    click.echo(f"{folder}: {found['files']:,} files, {found['bytes']:,} bytes whole, {found['copied']:,} copied now")
    if identity is not None:
        click.echo("every file is the one that its author published (SHA-256)")
    elif found["sha256"]:
        click.echo(f"every file is as {SUMS} beside it says; --sha256 compares that with what its author published")
    else:
        click.echo(f"compared by XXH3, which detects damage but not forgery: there is no {SUMS} at {url}")


def _decoder(built: Built) -> Callable[[Any], str]:
    from tokenizers import Tokenizer

    assert built.tokenizer is not None
    tokenizer = Tokenizer.from_file(str(built.tokenizer / "tokenizer.json"))
    decode = partial(tokenizer.decode, skip_special_tokens=False)
    return lambda ids: str(decode(ids.tolist()))


def _stats_json(found: Mapping[str, Any]) -> dict[str, object]:
    sources = {name: {key: one[key] for key in LEDGER} for name, one in found["sources"].items()}
    others = {
        name: {key: value for key, value in one.items() if key not in LEDGER} for name, one in found["sources"].items()
    }
    return {**found, "sources": sources, "drawn": others}


def _summary(artifact: Artifact, state: str) -> dict[str, object]:
    manifest, counted = artifact.manifest, artifact.stats
    return {
        "kind": manifest["kind"],
        "name": manifest["name"],
        "documents": counted.get("documents"),
        "tokens": counted.get("tokens"),
        "seconds": manifest["seconds"],
        "state": state,
        "path": artifact.path,
    }


def _source(artifact: Artifact) -> str:
    """The source of a corpus artifact; "" for any other."""
    manifest = artifact.manifest
    return str(manifest["name"]) if manifest["kind"] == "corpus" else ""


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
