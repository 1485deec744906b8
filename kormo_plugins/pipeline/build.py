"""Builds everything that a training run reads, step by step; each result is an artifact.

    documents (per source) → tokenizer → shards (per source) → row plan (per source)
                                   └───→ initial checkpoint

The hash of each artifact covers its parameters and the hashes of the artifacts that it is built from, so that a changed
tokenizer rebuilds the shards but not the documents. Existing artifacts are found by name, without reading them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts.corpora import build_corpora
from kormo_plugins.pipeline.artifacts.model import build_model
from kormo_plugins.pipeline.artifacts.preferences import build_preferences
from kormo_plugins.pipeline.artifacts.rows import build_row_plan, build_shards, open_encoder
from kormo_plugins.pipeline.artifacts.token_source import refuse_tokens
from kormo_plugins.pipeline.artifacts.tokenizers import build_tokenizer, given_tokenizer
from kormo_plugins.pipeline.built import ArtifactProvider, Built, BuiltTokenizer, say
from kormo_plugins.pipeline.rejects import log_unread
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.recipe.projections import BuildPlan
from kormo_plugins.store.artifact import build


def build_all(recipe: Recipe, log: Callable[[str], None] = say) -> Built:
    """`build_planned` of a recipe."""
    return build_planned(recipe.build_plan(), log)


def build_planned(plan: BuildPlan, log: Callable[[str], None] = say) -> Built:
    """Builds what is missing, or waits for another process that is building it.

    Raises:
        KormoError: an error in the recipe's data, tokenizer or model; no incomplete artifact is left.
    """
    get = partial(build, log=log)
    built = Built()
    try:
        _data(plan, get, built)
    finally:  # a file in another encoding is often why the tokenizer finds too little text
        log_unread({**built.external_eval, **built.corpora}, log)
    built.model = build_model(plan.model, built.made_tokenizer, get)
    if plan.model.architecture is not None:
        plan.model.components.load("architecture", plan.model.architecture.name).register()
    return built


def build_data(recipe: Recipe, get: ArtifactProvider) -> Built:
    """Documents, tokenizer, shards and row plans: everything but the initial checkpoint.

    Args:
        recipe: the checked recipe.
        get: `build`, or `lookup_only` to build nothing.
    """
    return _data(recipe.build_plan(), get, Built())


def add_model(recipe: Recipe, built: Built, get: ArtifactProvider) -> None:
    """Adds the initial checkpoint to `built`."""
    built.model = build_model(recipe.model_plan(), built.made_tokenizer, get)


def _data(plan: BuildPlan, get: ArtifactProvider, built: Built) -> Built:
    """Adds to `built` as it goes, so that what was made before an error is known."""
    if plan.corpora is not None:
        built.corpora = build_corpora(plan.corpora, get, partial(_prepare, plan))
    if plan.external is not None:
        where = f"{plan.path}: kormo.monitor.external_eval"
        refuse_tokens(plan.external.corpus.tokens_of, where, "external evaluation reads documents, not tokens")
        built.external_eval = build_corpora(plan.external, get)
    built.made_tokenizer = build_tokenizer(plan.tokenizer, built.corpora, get)
    if plan.corpora is None:
        return built
    tokenizer = _needed(built.made_tokenizer, plan.path)
    if plan.pairs is not None:
        refuse_tokens(
            plan.corpora.corpus.tokens_of, str(plan.path), "preference pairs are built from documents, not tokens"
        )
        built.preferences = build_preferences(plan.pairs, built.corpora, tokenizer, get)
    if plan.rows is not None:
        for name in plan.rows.corpus.sources:
            corpus = built.corpora.get(name)  # none where its tokens exist already
            built.shards[name] = build_shards(plan.rows, name, corpus, tokenizer, get)
            built.rows[name] = build_row_plan(plan.rows, name, corpus, built.shards[name], get)
    return built


def _prepare(plan: BuildPlan) -> None:
    """What can be opened for later while other processes clean documents."""
    tokenizer = given_tokenizer(plan.tokenizer)
    if tokenizer is not None and plan.rows is not None:
        open_encoder(plan.rows, tokenizer)


def _needed(tokenizer: BuiltTokenizer | None, path: Path) -> BuiltTokenizer:
    if tokenizer is None:
        raise KormoError(
            where=f"{path}: kormo.tokenizer",
            found="nothing",
            why="kormo.data cannot be tokenized without a tokenizer",
            do="set kormo.tokenizer (train, path or hub) or kormo.from_run",
        )
    return tokenizer
