"""`kormo data convert`: converts tokens to and from the formats of other training stacks."""

from __future__ import annotations

from pathlib import Path

import click

from kormo_plugins.cli.support.output import json_option, print_json
from kormo_plugins.console.progress import Progress
from kormo_plugins.errors import KormoError, writing
from kormo_plugins.shards.external.adopt import Origin, adopt
from kormo_plugins.shards.external.formats import export, token_files
from kormo_plugins.shards.external.token_file import ReadOptions
from kormo_plugins.shards.reader import Shards
from kormo_plugins.store.lease import new_folder

WHERE = "kormo data convert"


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to", "target", metavar="FORMAT", help="Write the shards in SOURCE as datatrove, megatron or olmo_core."
)
@click.option("--from", "origin", metavar="FORMAT", help="Create shards from the files of this format in SOURCE.")
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="With --from: folder of the tokenizer that made them."
)
@click.option("--dtype", help="With --from olmo_core: type of the ids (uint16, uint32).")
@click.option("--end-id", type=int, help="With --from olmo_core: id of the token that ends a document.")
@json_option
def convert(
    source: Path,
    out: Path,
    target: str | None,
    origin: str | None,
    tokenizer: Path | None,
    dtype: str | None,
    end_id: int | None,
    as_json: bool,
) -> None:
    """Convert tokens: a folder of shards into files of FORMAT, or files of FORMAT into a folder of shards.

    Shards created from other formats link to the original ids, which must not be moved. OUT must be new or empty.
    """
    _refuse(target, origin, tokenizer, out)
    with writing(out), new_folder(out) as partial, Progress(f"tokens of {source.name}", unit="tokens") as progress:
        if target is not None:
            found = _to(source, target, partial, progress)
        else:
            assert origin is not None and tokenizer is not None
            found = _from(source, origin, tokenizer, partial, (dtype, end_id), progress)
    if as_json:
        return print_json({"path": out, **found})
    click.echo(f"{out}: {found['documents']:,} documents, {found['tokens']:,} tokens in {found['files']:,} files")


def _refuse(target: str | None, origin: str | None, tokenizer: Path | None, out: Path) -> None:
    """Raises KormoError for an ambiguous direction, and for a folder that is not empty."""
    if (target is None) == (origin is None) or (origin is not None and tokenizer is None):
        raise KormoError(
            where=WHERE,
            found=f"--to {target}, --from {origin}, --tokenizer {tokenizer}",
            why="a conversion has one direction, and foreign shards need the tokenizer that made their ids",
            do="give --to FORMAT, or --from FORMAT and --tokenizer DIR",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KormoError(
            where=f"{WHERE}: OUT",
            found=f"{out}, which is not empty",
            why="files would be mixed up",
            do="name a new folder",
        )


def _to(source: Path, name: str, out: Path, progress: Progress) -> dict[str, object]:
    shards = Shards(source)
    files = export(source, name, out, progress)
    return {"documents": shards.documents, "tokens": shards.tokens, "files": len(files)}


def _from(
    source: Path, name: str, tokenizer: Path, out: Path, how: tuple[str | None, int | None], progress: Progress
) -> dict[str, object]:
    files = token_files(source, name, ReadOptions(*how), f"{WHERE}: --from")
    manifest = adopt(files, tokenizer, out, Origin(source.stem, name, None, how[1]), progress)
    return {"documents": manifest["documents"], "tokens": manifest["tokens"], "files": len(files)}
