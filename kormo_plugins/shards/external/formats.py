"""Registry of the formats, and conversion of a folder of shards."""

from __future__ import annotations

from pathlib import Path

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.shards.external import datatrove, megatron, olmo_core
from kormo_plugins.shards.external.token_file import Format, Progress, ReadOptions, TokenFile, find
from kormo_plugins.shards.reader import Shards

FORMATS: dict[str, Format] = {"datatrove": datatrove, "megatron": megatron, "olmo_core": olmo_core}
"""Name in recipes and commands -> format; nanotron uses datatrove's."""


def format_named(name: str, where: str) -> Format:
    """The format with that name.

    Raises:
        KormoError: there is none.
    """
    if name not in FORMATS:
        raise KormoError(
            where=where,
            found=repr(name),
            why=f"the formats are: {', '.join(FORMATS)}",
            do=closest(name, FORMATS, "name one of them"),
        )
    return FORMATS[name]


def token_files(path: Path, name: str, options: ReadOptions, where: str) -> list[TokenFile]:
    """All token files of one format in a folder, sorted by name; or the one at `path`."""
    chosen = format_named(name, where)
    return [chosen.read(file, options) for file in find(path, chosen.SUFFIX)]


def export(folder: Path, name: str, out: Path, progress: Progress) -> list[Path]:
    """Writes a folder of shards in another format, one file per shard; returns the files with the ids.

    Args:
        progress: called with the number of tokens of each finished shard.
    """
    chosen, shards = format_named(name, "--to"), Shards(folder)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, shard in enumerate(shards.names):
        path = out / f"{shard}{chosen.SUFFIX}"
        chosen.write(shards, number, path)
        written.append(path)
        progress(int(shards.first_token[number + 1] - shards.first_token[number]))
    return written
