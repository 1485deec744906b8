"""The tokenizer of a run: trained on its documents, from a folder, from the hub, or that of the previous stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.pipeline.artifacts.initial_model import finished_model
from kormo_plugins.pipeline.built import ArtifactProvider, BuiltTokenizer, dumped
from kormo_plugins.recipe.projections import TokenizerPlan
from kormo_plugins.store.artifact import Artifact, Spec
from kormo_plugins.store.corpus_files import part_files, read_corpus
from kormo_plugins.tokenizer.layout import SPECIAL_TOKENS, read_layout, tokenizer_hash, write_role
from kormo_plugins.tokenizer.params import named


def build_tokenizer(
    plan: TokenizerPlan, corpora: Mapping[str, Artifact], get: ArtifactProvider
) -> BuiltTokenizer | None:
    """The tokenizer for the role of the plan; None if Axolotl loads that of the base model.

    Raises:
        KormoError: a tokenizer is to be trained without documents, or the hub does not provide it.
    """
    path = _source(plan, corpora, get)
    if path is None:
        return None
    digest = tokenizer_hash(path)
    return BuiltTokenizer(_in_role(plan, path, digest, get), digest)


def given_tokenizer(plan: TokenizerPlan) -> Path | None:
    """The folder of the tokenizer, if it is there before any document is: named by its path, or of an earlier stage."""
    if plan.choice is None:
        return finished_model(plan.before) if plan.before is not None else None
    return plan.choice.path


def _source(plan: TokenizerPlan, corpora: Mapping[str, Artifact], get: ArtifactProvider) -> Path | None:
    choice = plan.choice
    if choice is None or choice.path is not None:
        return given_tokenizer(plan)
    if choice.hub is not None:
        return _from_hub(plan, choice.hub, choice.revision, get)
    assert choice.train is not None
    return _trained(plan, corpora, dict(choice.train), get).path


def _in_role(plan: TokenizerPlan, tokenizer: Path, digest: str, get: ArtifactProvider) -> Path:
    """The same tokenizer with the end token of the role; ids do not change, only which of them is `eos`."""
    end = dict(SPECIAL_TOKENS)["eot" if plan.role == "chat" else "eos"]
    config = tokenizer / "tokenizer_config.json"
    if config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("eos_token") == end:
        return tokenizer
    spec = Spec("tokenizer", plan.role, {"tokenizer": digest, "role": plan.role})

    def make(out: Path) -> Mapping[str, object]:
        """Writes the tokenizer with the end token and the template of its role into `out`; it has no statistics."""
        write_role(tokenizer, out, plan.role)
        return {}

    return get(plan.workspace, spec, make).path


def special_ids(tokenizer: Path | None, role: str) -> dict[str, int]:
    """Ids of `bos`, `eos` and `pad` for a role: a base model ends its text, a chat model its turn."""
    if tokenizer is None:
        return {}
    layout = read_layout(tokenizer)
    return {"bos": layout.bos, "eos": layout.eot if role == "chat" else layout.eos, "pad": layout.pad}


def _trained(
    plan: TokenizerPlan, corpora: Mapping[str, Artifact], values: dict[str, Any], get: ArtifactProvider
) -> Artifact:
    where = f"{plan.path}: kormo.tokenizer.train"
    name = values.pop("name", "kormo_bpe")
    params = plan.components.params("tokenizer", name, values, where)
    train = plan.components.load("tokenizer", name, where)
    if not corpora:
        raise KormoError(
            where=where,
            found="no kormo.data",
            why="a tokenizer is trained on the documents of kormo.data",
            do="add kormo.data, or name an existing tokenizer with kormo.tokenizer.path",
        )
    digests = {source: artifact.digest for source, artifact in corpora.items()}
    spec = Spec("tokenizer", name, {"name": name, "params": dumped(params), "corpora": digests})

    def texts() -> Iterator[Document]:
        """The documents of all sources, in the order of the recipe; read again at each call."""
        for artifact in corpora.values():
            yield from read_corpus(artifact.path)

    def make(out: Path) -> Mapping[str, object]:
        """Trains the tokenizer into `out`; the statistics for the manifest."""
        for artifact in corpora.values():  # a training sample may end in the middle of a file, before it is verified
            for part, record in part_files(artifact.path).items():
                record.check(part)
        try:
            return train(texts, params, out) or {}
        except KormoError as error:
            raise named(error, where, plan.files) from None

    return get(plan.workspace, spec, make)


def _from_hub(plan: TokenizerPlan, hub: str, revision: str | None, get: ArtifactProvider) -> Path:
    spec = Spec("tokenizer", hub, {"hub": hub, "revision": revision})

    def make(out: Path) -> Mapping[str, object]:
        """Writes the tokenizer of the hub, at the revision that the recipe pins, into `out`.

        Raises:
            KormoError: the hub cannot be reached, or has no such tokenizer.
        """
        from transformers import AutoTokenizer

        try:
            AutoTokenizer.from_pretrained(hub, revision=revision).save_pretrained(out)
        except (OSError, ValueError) as error:
            raise KormoError(
                where=f"{plan.path}: kormo.tokenizer.hub",
                found=f"{hub} at {revision}",
                why=f"it cannot be loaded: {in_words(error)}",
                do="check the id and the network, or copy it and use kormo.tokenizer.path",
            ) from error
        return {}

    return get(plan.workspace, spec, make).path
