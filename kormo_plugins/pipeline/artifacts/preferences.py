"""What a preference run reads: pairs instead of rows.

    documents (per source) → pairs (per source, by the tokenizer's chat template) → a mixture of pairs

A recipe with `rl: dpo` and `kormo.data` is such a run. Axolotl would tokenize, truncate, drop and shuffle pairs itself;
it gets a finished dataset instead, of exactly steps × global batch pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.pipeline.built import ArtifactProvider, Built, BuiltTokenizer, say
from kormo_plugins.pipeline.rejects import READ, log_rejects
from kormo_plugins.posttraining.preference_pairs import build_pairs
from kormo_plugins.recipe.projections import PairPlan, StreamPlan
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.store.corpus_files import read_corpus
from kormo_plugins.tokenizer.layout import read_layout

if TYPE_CHECKING:
    from kormo_plugins.mixture.pairs import PairDataset

PAIR_STEP = "preference_pair"
"""The corpus step that makes pairs of columns."""
VERSION = 2
"""Raised when the same inputs would give other bytes."""


def build_preferences(
    plan: PairPlan, corpora: Mapping[str, Artifact], tokenizer: BuiltTokenizer, get: ArtifactProvider
) -> dict[str, Artifact]:
    """The pairs of each source, tokenized.

    Raises:
        KormoError: a document is no pair, the tokenizer has no end of a turn, or a source has no usable pair.
    """
    read_layout(tokenizer.path)  # refuses one that has no token for the end of a turn
    made: dict[str, Artifact] = {}
    for name in plan.sources:
        log_rejects(corpora[name], name, "pairs", (READ, PAIR_STEP), say)
        made[name] = artifact = _preferences(plan, name, corpora[name], tokenizer, get)
        stats = artifact.stats
        if stats["unused"]:
            reasons = "; ".join(f"{reason} ({count:,})" for reason, count in stats["unused"].items())
            total = stats["pairs"] + sum(stats["unused"].values())
            say(f"{name}: {stats['pairs']:,} of {total:,} pairs are used; the others are in rejects.jsonl: {reasons}")
    return made


def _preferences(
    plan: PairPlan, name: str, corpus: Artifact, tokenizer: BuiltTokenizer, get: ArtifactProvider
) -> Artifact:
    inputs = {
        "version": VERSION,
        "corpus": corpus.digest,
        "tokenizer": tokenizer.hash,
        "template": _template_hash(tokenizer.path),
        "length": plan.length,
    }

    def make(out: Path) -> Mapping[str, object]:
        """Writes the tokenized pairs into `out`; the statistics for the manifest."""
        return build_pairs(
            read_corpus(corpus.path),
            tokenizer.path,
            out,
            source=name,
            length=plan.length,
            tokenizer_hash=tokenizer.hash,
        )

    return get(plan.workspace, Spec("preferences", name, inputs), make)


def _template_hash(tokenizer: Path) -> str:
    path = tokenizer / "chat_template.jinja"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""


def open_preferences(plan: StreamPlan, built: Built) -> PairDataset:
    """The mixture as a map-style dataset of exactly steps × global batch pairs."""
    from kormo_plugins.mixture.pairs import open_pairs

    return open_pairs(
        {name: artifact.path for name, artifact in built.preferences.items()},
        plan.mixture,
        seed=plan.seed,
        steps=plan.steps,
        global_batch=plan.global_batch,
        plugins=plan.components,
    )
