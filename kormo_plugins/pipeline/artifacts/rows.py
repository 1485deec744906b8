"""Tokens and rows of each source: its shards, and the plan that assigns documents to rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kormo_plugins.console.progress import Progress
from kormo_plugins.mixture.row_plans.policy import packing_of
from kormo_plugins.pipeline.artifacts.conversations import chat_shards, tell_too_long
from kormo_plugins.pipeline.artifacts.token_source import token_shards
from kormo_plugins.pipeline.built import ArtifactProvider, BuiltTokenizer, say
from kormo_plugins.recipe.projections import RowPlan
from kormo_plugins.shards.tokenize import open_in_this_process, tokenize_source
from kormo_plugins.shards.verify import verify_lengths
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.store.corpus_files import part_files
from kormo_plugins.tokenizer.layout import read_layout, tokenizer_hash

SHARDS_VERSION = 3
ROWS_VERSION = 2
"""Raised when the same inputs would give other bytes."""


def build_shards(
    plan: RowPlan, name: str, corpus: Artifact | None, tokenizer: BuiltTokenizer, get: ArtifactProvider
) -> Artifact:
    """The tokens of a source; `corpus` is None if they already exist, in files of another training stack."""
    tokens = plan.corpus.sources[name].tokens
    if tokens is not None:
        return token_shards(plan, name, tokens, tokenizer, get)
    assert corpus is not None
    if corpus.stats.get("conversations"):
        return chat_shards(plan, corpus, tokenizer.path, name, get, say)
    layout = read_layout(tokenizer.path)
    inputs = {
        "version": SHARDS_VERSION,
        "corpus": corpus.digest,
        "tokenizer": tokenizer.hash,
        "bos": layout.bos,
        "eos": layout.eos,
    }
    control = plan.corpus.sources[name].control_tokens
    if control:
        inputs["control_tokens"] = sorted(control)

    def make(out: Path) -> Mapping[str, object]:
        """Writes the shards into `out`; the statistics for the manifest."""
        parts = part_files(corpus.path)
        with Progress(f"tokens of {name}", total=corpus.stats["documents"], unit="documents") as progress:
            return tokenize_source(
                sorted(parts),
                tokenizer.path,
                out,
                recorded=parts,
                source=name,
                bos_id=layout.bos,
                eos_id=layout.eos,
                control_tokens=control,
                workers=plan.corpus.workers,
                engine=plan.engine,
                progress=lambda shard: progress(shard["documents"]),
            )

    return get(plan.workspace, Spec("shards", name, inputs), make)


def open_encoder(plan: RowPlan, tokenizer: Path) -> None:
    """Opens the encoder of the first source of text, which takes a second, so that `build_shards` has it."""
    for source in plan.corpus.sources.values():
        if source.tokens is None:
            tokenizer_hash(tokenizer)
            return open_in_this_process(tokenizer, source.control_tokens, plan.engine)
    return None


def build_row_plan(
    plan: RowPlan, name: str, corpus: Artifact | None, shards: Artifact, get: ArtifactProvider
) -> Artifact:
    """The row plan of a source: which span of which document goes into which row."""
    row_length = plan.row_length
    chat = corpus is not None and bool(corpus.stats.get("conversations"))
    policy, params = packing_of(plan.mixture, plan.components, name, conversations=chat)
    inputs = {
        "version": ROWS_VERSION,
        "shards": shards.digest,
        "row_length": row_length,
        "packing": policy,
        "params": params,
    }

    def make(out: Path) -> Mapping[str, object]:
        """Writes the row plan into `out`; the statistics for the manifest."""
        from kormo_plugins.mixture.row_plans.rows import build_rows

        verify_lengths(shards.path)
        with Progress(f"rows of {name}", total=shards.stats["documents"], unit="documents") as progress:
            return build_rows(
                shards.path,
                row_length,
                policy,
                params,
                out,
                plugins=plan.components,
                progress=lambda done, total: progress(done - progress.done),
            )

    rows = get(plan.workspace, Spec("rows", name, inputs), make)
    if chat:
        tell_too_long(rows, name, row_length, say)
    return rows
