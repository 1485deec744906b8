"""Sources whose tokens already exist: token files of other training stacks, adopted as shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kormo_plugins.console.progress import Progress
from kormo_plugins.corpus.params import Tokens
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.built import ArtifactProvider, BuiltTokenizer
from kormo_plugins.recipe.projections import RowPlan
from kormo_plugins.shards.external.adopt import Origin, adopt
from kormo_plugins.shards.external.formats import FORMATS, token_files
from kormo_plugins.shards.external.token_file import ReadOptions, find
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.store.fingerprint import bytes_checksum, identity
from kormo_plugins.tokenizer.layout import read_layout

VERSION = 1
"""Raised when the same files would give other shards."""
LOOK = 1 << 20
"""Bytes sampled at the beginning, middle and end of a file, which identify it before it is read."""


def token_shards(
    plan: RowPlan, name: str, tokens: Tokens, tokenizer: BuiltTokenizer, get: ArtifactProvider
) -> Artifact:
    """The shards of a source of token files.

    Raises:
        KormoError: a file is missing, damaged or of another format, or another tokenizer made the tokens.
    """
    where = f"{plan.path}: sources.{name}.tokens"
    if tokens.tokenizer is not None and tokens.tokenizer != tokenizer.hash:
        raise KormoError(
            where=f"{where}.tokenizer",
            found=tokens.tokenizer,
            why=f"the recipe's tokenizer has the hash {tokenizer.hash}",
            do="train with the tokenizer that made the tokens (kormo.tokenizer.path), or correct the hash",
        )
    layout = read_layout(tokenizer.path)
    inputs = {"version": VERSION, "tokens": token_inputs(tokens), "tokenizer": tokenizer.hash}

    def make(out: Path) -> Mapping[str, object]:
        """Writes the foreign tokens into `out` as shards of ours; the statistics for the manifest."""
        end = tokens.end_id if tokens.end_id is not None else layout.eos
        files = token_files(tokens.path, tokens.format, ReadOptions(tokens.dtype, end), f"{where}.format")
        with Progress(f"tokens of {name}", sum(file.tokens for file in files), "tokens") as progress:
            return adopt(files, tokenizer.path, out, Origin(name, tokens.format, layout.bos, layout.eos), progress)

    return get(plan.workspace, Spec("shards", name, inputs), make)


def refuse_tokens(sources: Mapping[str, Tokens], where: str, why: str) -> None:
    """Raises KormoError for a source of tokens where documents are needed."""
    for name in sources:
        raise KormoError(
            where=f"{where}: sources.{name}.tokens",
            found="a source of tokens",
            why=why,
            do="read the documents instead (reader)",
        )


def token_inputs(tokens: Tokens) -> dict[str, object]:
    """What the tokens of a source depend on, without reading all of them: names, sizes and samples of the files.

    Changes elsewhere in a file are detected by `kormo data verify`, by the checksum from when the file was linked.
    """
    files = find(tokens.path, FORMATS[tokens.format].SUFFIX)
    beside = {other for file in files for other in file.parent.glob(f"{file.stem}.*") if other.is_file()}
    return {
        **tokens.model_dump(mode="json", exclude={"path"}),
        "files": [[file.name, file.stat().st_size, _sample(file)] for file in sorted(beside | set(files))],
    }


def token_identities(sources: Mapping[str, Tokens]) -> dict[str, str]:
    """The identity of the files of each source."""
    return {name: identity(token_inputs(tokens)) for name, tokens in sources.items()}


def _sample(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = []
        for place in (0, size // 2, max(0, size - LOOK)):
            file.seek(place)
            parts.append(file.read(LOOK))
    return bytes_checksum(b"".join(parts))
