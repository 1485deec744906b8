"""Sources whose tokens exist already: other stacks' files as shards, in place of documents and a tokenizer run."""

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
"""Bytes at the beginning, in the middle and at the end of a file by which it is known before it is read."""


def token_shards(
    plan: RowPlan, name: str, tokens: Tokens, tokenizer: BuiltTokenizer, get: ArtifactProvider
) -> Artifact:
    """The shards of a source of token files.

    Raises:
        KormoError: files that are missing, damaged or of another format, or a tokenizer that did not make them.
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
        end = tokens.end_id if tokens.end_id is not None else layout.eos
        files = token_files(tokens.path, tokens.format, ReadOptions(tokens.dtype, end), f"{where}.format")
        with Progress(f"tokens of {name}", sum(file.tokens for file in files), "tokens") as progress:
            return adopt(files, tokenizer.path, out, Origin(name, tokens.format, layout.bos, layout.eos), progress)

    return get(plan.workspace, Spec("shards", name, inputs), make)


def refuse_tokens(sources: Mapping[str, Tokens], where: str, why: str) -> None:
    """Raises KormoError where a source of tokens stands and only documents will do."""
    for name in sources:
        raise KormoError(
            where=f"{where}: sources.{name}.tokens",
            found="tokens",
            why=why,
            do="name the documents that they were made of (reader)",
        )


def token_inputs(tokens: Tokens) -> dict[str, object]:
    """What the tokens of a source depend on, without reading all of them: names, sizes and samples of the files.

    A change elsewhere in a file is found by `kormo data verify`, from the checksum that was taken when it was linked.
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
