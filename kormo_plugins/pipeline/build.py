"""From a recipe to everything that a training run reads: the stages, in order, each an artifact.

    documents (per source) → tokenizer → shards (per source) → row plan (per source)
                                   └───→ initial checkpoint

Each stage's hash is taken over its own parameters and the hashes of the stages that it reads, so that a changed
tokenizer rebuilds the shards and leaves the documents alone. What is built already is found by its name, without
looking into it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.built import ArtifactProvider, Built, BuiltTokenizer, say
from kormo_plugins.pipeline.corpora import build_corpora
from kormo_plugins.pipeline.model import build_model
from kormo_plugins.pipeline.preferences import build_preferences
from kormo_plugins.pipeline.rows import build_row_plan, build_shards
from kormo_plugins.pipeline.token_source import refuse_tokens
from kormo_plugins.pipeline.tokenizers import build_tokenizer
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.store.artifact import build


def build_all(recipe: Recipe, log: Callable[[str], None] = say) -> Built:
    """Builds what is missing, in this process or by waiting for the one that builds it.

    Raises:
        KormoError: whatever is wrong with the recipe's data, tokenizer or model; nothing half made is left.
    """
    get = partial(build, log=log)
    built = build_data(recipe, get)
    add_model(recipe, built, get)
    if recipe.block.architecture is not None:
        recipe.registry.load("architecture", recipe.block.architecture.name).register()
    return built


def build_data(recipe: Recipe, get: ArtifactProvider) -> Built:
    """Documents, tokenizer, shards and row plans: all but the initial checkpoint.

    Args:
        recipe: the checked recipe.
        get: `build`, or `lookup_only` to build nothing.
    """
    built, workspace = Built(), recipe.block.workspace
    if recipe.data is not None:
        built.corpora = build_corpora(recipe.data, recipe.registry, workspace, recipe.path, get)
    if recipe.external_eval is not None:
        refuse_tokens(
            recipe.external_eval.corpus.tokens_of,
            f"{recipe.path}: kormo.monitor.external_eval",
            "held-out text is read as text",
        )
        built.external_eval = build_corpora(recipe.external_eval, recipe.registry, workspace, recipe.path, get)
    built.made_tokenizer = build_tokenizer(recipe.tokenizer_plan(), built.corpora, get)
    if recipe.data is None:
        return built
    tokenizer = _needed(built.made_tokenizer, recipe)
    if recipe.of_pairs:
        refuse_tokens(recipe.data.corpus.tokens_of, str(recipe.path), "a preference pair is made of its texts")
        built.preferences = build_preferences(recipe.pair_plan(), built.corpora, tokenizer, get)
        return built
    plan = recipe.row_plan()
    for name in recipe.data.corpus.sources:
        corpus = built.corpora.get(name)  # none where its tokens exist already
        built.shards[name] = build_shards(plan, name, corpus, tokenizer, get)
        built.rows[name] = build_row_plan(plan, name, corpus, built.shards[name], get)
    return built


def add_model(recipe: Recipe, built: Built, get: ArtifactProvider) -> None:
    """Adds the initial checkpoint to what is built."""
    built.model = build_model(recipe.model_plan(), built.made_tokenizer, get)


def _needed(tokenizer: BuiltTokenizer | None, recipe: Recipe) -> BuiltTokenizer:
    if tokenizer is None:
        raise KormoError(
            where=f"{recipe.path}: kormo.tokenizer",
            found="nothing",
            why="without a tokenizer kormo.data cannot become tokens",
            do="set kormo.tokenizer (train, path or hub) or kormo.from_run",
        )
    return tokenizer
