"""From a recipe to everything that a training run reads: the stages, in order, each an artifact.

    documents (per source) → tokenizer → shards (per source) → row plan (per source)
                                   └───→ initial checkpoint

Each stage's hash is taken over its own parameters and the hashes of the stages that it reads, so that a changed
tokenizer rebuilds the shards and leaves the documents alone. What is built already is found by its name, without
looking into it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kormo_plugins.console.progress import Progress
from kormo_plugins.documents.document import Document, read_corpus
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline import initial_model
from kormo_plugins.pipeline import preferences as preference
from kormo_plugins.pipeline.built import ArtifactProvider, Built, say
from kormo_plugins.pipeline.conversations import chat_shards, tell_too_long
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.recipe.schema.dataset import DataRecipe
from kormo_plugins.store.artifact import Artifact, Spec, build

CORPUS_VERSION = 1
SHARDS_VERSION = 2
ROWS_VERSION = 1
"""Raised when the same inputs would give other bytes."""


def build_all(recipe: Recipe, log: Callable[[str], None] = say) -> Built:
    """Builds what is missing, in this process or by waiting for the one that builds it.

    Raises:
        KormoError: whatever is wrong with the recipe's data, tokenizer or model; nothing half made is left.
    """
    get = partial(build, log=log)
    built = build_data(recipe, get)
    build_model(recipe, built, get)
    if recipe.block.architecture is not None:
        recipe.registry.load("architecture", recipe.block.architecture.name).register()
    return built


def build_data(recipe: Recipe, get: ArtifactProvider) -> Built:
    """Documents, tokenizer, shards and row plans: all but the initial checkpoint.

    Args:
        recipe: the checked recipe.
        get: `build`, or `lookup_only` to build nothing.
    """
    built = Built()
    if recipe.data is not None:
        built.corpora = build_corpora(recipe.data, recipe.registry, recipe.block.workspace, recipe.path, get)
    if recipe.unseen is not None:
        built.unseen = build_corpora(recipe.unseen, recipe.registry, recipe.block.workspace, recipe.path, get)
    _tokenizer(recipe, built, get)
    if recipe.data is not None:
        if built.tokenizer is None:
            raise KormoError(
                where=f"{recipe.path}: kormo.tokenizer",
                found="nothing",
                why="without a tokenizer kormo.data cannot become tokens",
                do="set kormo.tokenizer (train, path or hub) or kormo.from_run",
            )
        if preference.of_pairs(recipe):
            built.preferences = preference.build_preferences(recipe, built, get)
            return built
        for name in recipe.data.corpus.sources:
            built.shards[name] = _shards(recipe, built, name, get)
            built.rows[name] = _rows(recipe, built, name, get)
    return built


def build_corpora(
    data: DataRecipe, components: Registry, workspace: Path, path: Path, get: ArtifactProvider
) -> dict[str, Artifact]:
    """The documents of each source; `path` is the recipe's, for messages."""
    corpora: dict[str, Artifact] = {}
    for name in data.corpus.in_order():
        corpora[name] = _corpus(data, components, name, workspace, get, corpora)
    corpora = {name: corpora[name] for name in data.corpus.sources}
    _refuse_empty(path, corpora)
    return corpora


def _corpus(
    data: DataRecipe,
    components: Registry,
    name: str,
    workspace: Path,
    get: ArtifactProvider,
    before: Mapping[str, Artifact],
) -> Artifact:
    """The documents of a source; `before` holds those that it is deduplicated against."""
    from kormo_plugins.corpus.build import build_source, funnel, source_inputs

    source = data.corpus.sources[name]
    inputs = source_inputs(name, source, data.corpus, components)
    others = {other: before[other] for other in source.deduplicate_against}
    if others:
        inputs["against"] = {other: artifact.hash for other, artifact in others.items()}
    spec = Spec("corpus", name, {"version": CORPUS_VERSION, **inputs})

    def make(out: Path) -> Mapping[str, Any]:
        stats = build_source(
            name,
            source,
            data.corpus,
            components,
            out,
            workers=data.corpus.workers,
            watch=lambda label: Progress(label, unit="documents"),
            against=[artifact.path for artifact in others.values()],
        )
        say(funnel(name, stats))
        return stats

    return get(workspace, spec, make)


def _refuse_empty(path: Path, corpora: Mapping[str, Artifact]) -> None:
    empty = [name for name, artifact in corpora.items() if not artifact.stats["documents"]]
    if empty:
        raise KormoError(
            where=f"{path}: sources.{empty[0]}",
            found="no usable document",
            why="every document was rejected or the input holds none; a source without text cannot be mixed",
            do=f"see the reasons in {corpora[empty[0]].path / 'rejects'}, or remove the source",
        )


def _tokenizer(recipe: Recipe, built: Built, get: ArtifactProvider) -> None:
    from kormo_plugins.tokenizer.layout import tokenizer_hash

    choice = recipe.block.tokenizer
    if choice is None:
        built.tokenizer = initial_model.finished_model(recipe) if recipe.block.from_run else None
    elif choice.path is not None:
        built.tokenizer = choice.path
    elif choice.hub is not None:
        built.tokenizer = _from_hub(recipe, choice.hub, choice.revision, get)
    else:
        assert choice.train is not None
        built.tokenizer = _trained(recipe, built, dict(choice.train), get).path
    if built.tokenizer is not None:
        built.tokenizer_hash = tokenizer_hash(built.tokenizer)
        _role(recipe, built, get)


def _role(recipe: Recipe, built: Built, get: ArtifactProvider) -> None:
    """The same tokenizer with the end token of the recipe's role: ids do not change, what `eos` means does."""
    from kormo_plugins.tokenizer.layout import SPECIAL_TOKENS, write_role

    tokenizer = built.tokenizer
    assert tokenizer is not None
    end = dict(SPECIAL_TOKENS)["eot" if recipe.block.role == "chat" else "eos"]
    config = tokenizer / "tokenizer_config.json"
    if config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("eos_token") == end:
        return
    spec = Spec("tokenizer", recipe.block.role, {"tokenizer": built.tokenizer_hash, "role": recipe.block.role})

    def make(out: Path) -> Mapping[str, Any]:
        write_role(tokenizer, out, recipe.block.role)
        return {}

    built.tokenizer = get(recipe.block.workspace, spec, make).path


def special_ids(recipe: Recipe, built: Built) -> dict[str, int]:
    """Ids of `bos`, `eos` and `pad` for the recipe's role: a base model ends its text, a chat model its turn."""
    from kormo_plugins.tokenizer.layout import read_layout

    if built.tokenizer is None:
        return {}
    layout = read_layout(built.tokenizer)
    return {"bos": layout.bos, "eos": layout.eot if recipe.block.role == "chat" else layout.eos, "pad": layout.pad}


def _trained(recipe: Recipe, built: Built, values: dict[str, Any], get: ArtifactProvider) -> Artifact:
    where = f"{recipe.path}: kormo.tokenizer.train"
    name = values.pop("name", "kormo_bpe")
    params = recipe.registry.params("tokenizer", name, values, where)
    train = recipe.registry.load("tokenizer", name, where)
    if not built.corpora:
        raise KormoError(
            where=where,
            found="no kormo.data",
            why="a tokenizer is trained on the recipe's own documents",
            do="add kormo.data, or name a finished tokenizer with kormo.tokenizer.path",
        )
    corpora = {source: artifact.hash for source, artifact in built.corpora.items()}
    spec = Spec("tokenizer", name, {"name": name, "params": dumped(params), "corpora": corpora})

    def texts() -> Iterator[Document]:
        for artifact in built.corpora.values():
            yield from read_corpus(artifact.path)

    return get(recipe.block.workspace, spec, lambda out: train(texts, params, out) or {})


def _from_hub(recipe: Recipe, hub: str, revision: str | None, get: ArtifactProvider) -> Path:
    spec = Spec("tokenizer", hub, {"hub": hub, "revision": revision})

    def make(out: Path) -> Mapping[str, Any]:
        from transformers import AutoTokenizer

        try:
            AutoTokenizer.from_pretrained(hub, revision=revision).save_pretrained(out)
        except (OSError, ValueError) as error:
            raise KormoError(
                where=f"{recipe.path}: kormo.tokenizer.hub",
                found=f"{hub} at {revision}",
                why=f"it cannot be loaded: {error}",
                do="check the id and the network, or copy it and use kormo.tokenizer.path",
            ) from error
        return {}

    return get(recipe.block.workspace, spec, make).path


def _shards(recipe: Recipe, built: Built, name: str, get: ArtifactProvider) -> Artifact:
    from kormo_plugins.shards.tokenize import tokenize_source
    from kormo_plugins.tokenizer.layout import read_layout

    corpus, tokenizer = built.corpora[name], built.tokenizer
    assert tokenizer is not None
    if corpus.stats.get("conversations"):
        return chat_shards(recipe, corpus, tokenizer, name, get, say)
    layout = read_layout(tokenizer)
    inputs = {
        "version": SHARDS_VERSION,
        "corpus": corpus.hash,
        "tokenizer": built.tokenizer_hash,
        "bos": layout.bos,
        "eos": layout.eos,
    }
    control = recipe.data.corpus.sources[name].control_tokens if recipe.data else ()
    if control:
        inputs["control_tokens"] = sorted(control)

    def make(out: Path) -> Mapping[str, Any]:
        with Progress(f"tokens of {name}", total=corpus.stats["documents"], unit="documents") as progress:
            return tokenize_source(
                sorted(corpus.path.glob("part-*.jsonl.zst")),
                tokenizer,
                out,
                source=name,
                bos_id=layout.bos,
                eos_id=layout.eos,
                control_tokens=control,
                workers=recipe.data.corpus.workers if recipe.data else 1,
                engine=recipe.block.tokenizer.engine if recipe.block.tokenizer else "auto",
                progress=lambda shard: progress(shard["documents"]),
            )

    return get(recipe.block.workspace, Spec("shards", name, inputs), make)


def _rows(recipe: Recipe, built: Built, name: str, get: ArtifactProvider) -> Artifact:
    from kormo_plugins.mixture.rows import build_rows, packing_of

    assert recipe.data is not None
    shards, row_length = built.shards[name], recipe.sequence_len
    chat = bool(built.corpora[name].stats.get("conversations"))
    policy, params = packing_of(recipe.data.mixture, recipe.registry, name, conversations=chat)
    inputs = {
        "version": ROWS_VERSION,
        "shards": shards.hash,
        "row_length": row_length,
        "packing": policy,
        "params": params,
    }

    def make(out: Path) -> Mapping[str, Any]:
        with Progress(f"rows of {name}", total=shards.stats["documents"], unit="documents") as progress:
            return build_rows(
                shards.path,
                row_length,
                policy,
                params,
                out,
                plugins=recipe.registry,
                progress=lambda done, total: progress(done - progress.done),
            )

    rows = get(recipe.block.workspace, Spec("rows", name, inputs), make)
    if chat:
        tell_too_long(rows, name, row_length, say)
    return rows


def build_model(recipe: Recipe, built: Built, get: ArtifactProvider) -> None:
    """The initial checkpoint; sets `init` and `base_model`."""
    choice = recipe.block.architecture
    if recipe.block.from_run is not None:
        return _continued(recipe, built, get)
    if choice is None:
        return
    assert built.tokenizer is not None
    tokenizer = built.tokenizer
    where = f"{recipe.path}: kormo.architecture"
    params = recipe.registry.params("architecture", choice.name, choice.values, where)
    family = recipe.registry.load("architecture", choice.name, where)
    ids = {f"{role}_token_id": number for role, number in special_ids(recipe, built).items()}
    inputs = {
        "architecture": choice.name,
        "params": dumped(params),
        "tokenizer": built.tokenizer_hash,
        "seed": recipe.seed,
        "dtype": recipe.block.precision.weights,
        "generation": recipe.block.generation,
        **ids,
    }

    def make(out: Path) -> Mapping[str, Any]:
        family.register()
        stats: Mapping[str, Any] = family.write_initial(
            out,
            params,
            tokenizer=tokenizer,
            seed=recipe.seed,
            dtype=recipe.block.precision.weights,
            generation=recipe.block.generation,
            **ids,
        )
        return stats

    built.init = get(recipe.block.workspace, Spec("init", choice.name, inputs), make)
    built.base_model = built.init.path
    built.weights_hash = built.init.hash


def _continued(recipe: Recipe, built: Built, get: ArtifactProvider) -> None:
    """The model of the stage before, under the recipe's own tokenizer and config where it names others."""
    from kormo_plugins.tokenizer.layout import tokenizer_hash

    folder = initial_model.finished_model(recipe)
    for name in recipe.registry.names("architecture"):
        recipe.registry.load("architecture", name).register()
    built.base_model, built.weights_hash = folder, initial_model.weights_hash(folder)
    if built.tokenizer is not None and built.tokenizer_hash != tokenizer_hash(folder):
        _swapped(recipe, built, folder, get)
    before = built.base_model
    if changes := initial_model.config_changes(recipe, before):
        spec = initial_model.changed_spec(folder.name, built.weights_hash, changes)
        make = partial(initial_model.change_config, before, changes)
        built.init = get(recipe.block.workspace, spec, make)
        built.base_model, built.weights_hash = built.init.path, built.init.hash


def _swapped(recipe: Recipe, built: Built, folder: Path, get: ArtifactProvider) -> None:
    from kormo_plugins.tokenizer.layout import read_layout

    assert built.tokenizer is not None
    tokenizer, layout = built.tokenizer, read_layout(built.tokenizer)
    ids = {f"{role}_token_id": number for role, number in special_ids(recipe, built).items()}
    choice = recipe.block.architecture
    multiple = choice.values.get("vocab_multiple", initial_model.ROW_MULTIPLE) if choice else initial_model.ROW_MULTIPLE
    rows = layout.rows(int(multiple))
    spec = initial_model.swap_spec(folder, built.tokenizer_hash, rows, ids)
    built.init = get(
        recipe.block.workspace, spec, lambda out: initial_model.swap_vocabulary(folder, tokenizer, rows, ids, out)
    )
    built.base_model, built.weights_hash = built.init.path, built.init.hash


def dumped(params: Any) -> dict[str, Any]:
    """A component's parameters as JSON values; nothing for a component that takes none."""
    return dict(params.model_dump(mode="json")) if params is not None else {}
