"""Preference pairs for the tests: a small tokenizer, pairs of the embedded generator, and a tiny model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.documents.document import Document
from kormo_plugins.embedded.conversations.preferences import PreferenceParams, generate
from kormo_plugins.mixture.pairs import PairDataset, open_pairs
from kormo_plugins.mixture.params import MixtureRecipe


@lru_cache(maxsize=4)
def pairs(count: int = 24, **params: Any) -> tuple[Document, ...]:
    """Documents of the embedded generator."""
    return tuple(generate(PreferenceParams(pairs=count, **params)))


@pytest.fixture(scope="session")
def chat_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of a chat model, learned from the pairs themselves."""
    from kormo_plugins.tokenizer.layout import write_role
    from kormo_plugins.tokenizer.params import TokenizerParams
    from kormo_plugins.tokenizer.training.train import train

    base, chat = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("chat")
    train(lambda: iter(pairs(400)), TokenizerParams(vocab_size=400, megabytes=0.2), base)
    write_role(base, chat, "chat")
    return chat


def model(vocabulary: int, seed: int = 0) -> Any:
    """A Llama of some thousand parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, use_cache=False, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def built(folder: Path, tokenizer: Path, name: str, documents: tuple[Document, ...], length: int = 512) -> Path:
    """The pairs of one source, tokenized."""
    from kormo_plugins.posttraining.preference_pairs import build_pairs

    out = folder / name
    build_pairs(documents, tokenizer, out, source=name, length=length, tokenizer_hash="t")
    return out


def dataset(folders: dict[str, Path], steps: int, batch: int, weights: dict[str, float] | None = None) -> PairDataset:
    """The mixture of sources of pairs."""
    mixture: dict[str, Any] = {"name": "weighted"} | ({"weights": weights} if weights else {})
    return open_pairs(folders, MixtureRecipe(mixture=mixture), seed=5, steps=steps, global_batch=batch)
