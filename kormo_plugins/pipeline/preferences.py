"""What a preference run reads: pairs instead of rows.

    documents (per source) → pairs (per source, by the tokenizer's chat template) → a mixture of pairs

A recipe that says `rl: dpo` and `kormo.data` is one. Axolotl would tokenize, cut, drop and shuffle pairs by itself; it
is given a finished dataset instead, of exactly steps × global batch pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.pipeline.rejects import READ, log_rejects
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.store.corpus_files import read_corpus

if TYPE_CHECKING:
    from kormo_plugins.pipeline.built import ArtifactProvider, Built

PAIR_STEP = "preference_pair"
"""The corpus step that makes pairs of columns."""
VERSION = 2
"""Raised when the same inputs would give other bytes."""
TRAINER = "kormo_plugins.posttraining.preference_trainer.PreferenceTrainer"


def of_pairs(recipe: Recipe) -> bool:
    """Whether the recipe is trained on preference pairs that we build."""
    return recipe.data is not None and bool(recipe.get("rl"))


def build_preferences(recipe: Recipe, built: Built, get: ArtifactProvider) -> dict[str, Artifact]:
    """The pairs of each source, tokenized.

    Raises:
        KormoError: documents that are no pairs, a tokenizer without turns, or a source with no usable pair.
    """
    from kormo_plugins.pipeline.built import say
    from kormo_plugins.tokenizer.layout import read_layout

    assert recipe.data is not None and built.tokenizer is not None
    read_layout(built.tokenizer)  # refuses one that has no token for the end of a turn
    made: dict[str, Artifact] = {}
    for name in recipe.data.corpus.sources:
        log_rejects(built.corpora[name], name, "pairs", (READ, PAIR_STEP), say)
        made[name] = artifact = _preferences(recipe, built, name, get)
        stats = artifact.stats
        if stats["unused"]:
            told = "; ".join(f"{reason} ({count:,})" for reason, count in stats["unused"].items())
            of = stats["pairs"] + sum(stats["unused"].values())
            say(f"{name}: {stats['pairs']:,} of {of:,} pairs are used; kept in rejects.jsonl: {told}")
    return made


def _preferences(recipe: Recipe, built: Built, name: str, get: ArtifactProvider) -> Artifact:
    from kormo_plugins.posttraining.preference_pairs import build_pairs

    corpus, tokenizer = built.corpora[name], built.tokenizer
    assert tokenizer is not None
    inputs = {
        "version": VERSION,
        "corpus": corpus.digest,
        "tokenizer": built.tokenizer_hash,
        "template": _template_hash(tokenizer),
        "length": recipe.sequence_len,
    }

    def make(out: Path) -> Mapping[str, Any]:
        return build_pairs(
            read_corpus(corpus.path),
            tokenizer,
            out,
            source=name,
            length=recipe.sequence_len,
            tokenizer_hash=built.tokenizer_hash,
        )

    return get(recipe.block.workspace, Spec("preferences", name, inputs), make)


def _template_hash(tokenizer: Path) -> str:
    path = tokenizer / "chat_template.jinja"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""


def open_preferences(recipe: Recipe, built: Built) -> Any:
    """The mixture as a map-style dataset of exactly steps × global batch pairs."""
    from kormo_plugins.mixture.pairs import open_pairs

    assert recipe.data is not None and recipe.steps is not None and recipe.block.global_batch is not None
    return open_pairs(
        {name: artifact.path for name, artifact in built.preferences.items()},
        recipe.data.mixture,
        seed=recipe.seed,
        steps=recipe.steps,
        global_batch=recipe.block.global_batch,
        plugins=recipe.registry,
    )


def preference_values(recipe: Recipe) -> dict[str, Any]:
    """Axolotl's keys of a preference run, beside those of any run over our data."""
    return {
        "trainer_cls": TRAINER,  # Axolotl hands a plugin's trainer class no model; by name it does
        "datasets": [{"path": "built/by/kormo", "type": "passthrough.default"}],  # named, never opened
        "skip_prepare_dataset": True,
    }
