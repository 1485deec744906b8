"""Shards of conversations: token ids and loss mask from the chat template, for a model with the role `chat`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kormo_plugins.console.progress import Progress
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.built import ArtifactProvider
from kormo_plugins.pipeline.rejects import READ, log_rejects
from kormo_plugins.recipe.checks.rules import base_with_turns
from kormo_plugins.recipe.projections import RowPlan
from kormo_plugins.shards.tokenize import tokenize_source
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.store.corpus_files import part_files
from kormo_plugins.tokenizer.chat.conversations import ChatEncoder

VERSION = 3
"""Raised when the same inputs would give other bytes."""


def chat_shards(
    plan: RowPlan, corpus: Artifact, tokenizer: Path, name: str, get: ArtifactProvider, log: Callable[[str], None]
) -> Artifact:
    """The shards of a source of conversations; those with malformed turns are reported to `log`.

    Raises:
        KormoError: `kormo.role` is `base`, or the source also contains texts.
    """
    if plan.base_role is not None:
        raise base_with_turns(plan.base_role, name)
    texts = corpus.stats["documents"] - corpus.stats["conversations"]
    if texts:
        raise KormoError(
            where=f"{plan.path}: sources.{name}",
            found=f"{corpus.stats['conversations']:,} conversations and {texts:,} texts",
            why="a source holds one kind: texts train on every token, conversations only on the answers",
            do="split it into two sources",
        )
    log_rejects(corpus, name, "conversations", (READ,), log)
    encode = ChatEncoder(tokenizer)
    inputs = {"version": VERSION, "corpus": corpus.digest, "conversations": encode.identity}

    def make(out: Path) -> Mapping[str, object]:
        """Writes the shards and their loss masks into `out`; the statistics for the manifest."""
        parts = part_files(corpus.path)
        with Progress(f"tokens of {name}", total=corpus.stats["documents"], unit="documents") as progress:
            return tokenize_source(
                sorted(parts),
                tokenizer,
                out,
                recorded=parts,
                source=name,
                conversations=encode,
                workers=plan.corpus.workers,
                progress=lambda shard: progress(shard["documents"]),
            )

    return get(plan.workspace, Spec("shards", name, inputs), make)


def tell_too_long(rows: Artifact, name: str, row_length: int, log: Callable[[str], None]) -> None:
    """Logs how many conversations were left out because they are longer than a row.

    Raises:
        KormoError: all of them were left out.
    """
    dropped, documents = rows.stats["documents_dropped"], rows.stats["documents"]
    if dropped and not rows.stats["rows"]:
        raise KormoError(
            where=f"sources.{name}",
            found=f"{dropped:,} of {documents:,} conversations rejected",
            why=f"all are longer than a row of {row_length:,} tokens",
            do="raise sequence_len, or set kormo.data.too_long: cut",
        )
    if dropped:
        log(f"{name}: {dropped:,} of {documents:,} conversations are longer than a row: omitted (too_long: reject)")
