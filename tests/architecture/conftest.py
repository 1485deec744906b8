"""A tiny KORMo and a tokenizer folder that fits it; nothing here is read from the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .tiny_kormo import GENERATION, IDS


@pytest.fixture(scope="session")
def values() -> dict[str, Any]:
    """A shape in which no two sizes that could be mixed up are equal."""
    return {
        "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "rope_theta": 500000.0,
        "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False, "vocab_multiple": 128,
    }  # fmt: skip


@pytest.fixture(scope="session")
def params(values: dict[str, Any]) -> Any:
    from kormo_plugins.architecture.shape import KormoArchitecture

    return KormoArchitecture(**values)


@pytest.fixture()
def config(params: Any) -> Any:
    """A fresh one for each test: a model's attention implementation is kept in its config."""
    from kormo_plugins.architecture.family import KORMO

    KORMO.register()
    return KORMO.config(params, vocab_size=300, **IDS)


@pytest.fixture()
def model(config: Any) -> Any:
    """fp32, with norms away from 1 so that one in the wrong place shows, and larger weights than at birth."""
    import torch

    from kormo_plugins.architecture.family import KORMO

    model = KORMO.initial(config, seed=7, dtype="float32")
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)
            else:
                weight *= 5
    return model.eval()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 single-character tokens and a chat template."""
    from tokenizers import Tokenizer, models

    folder = tmp_path_factory.mktemp("tokenizer")
    vocabulary = {chr(0xAC00 + i): i for i in range(300)}
    Tokenizer(models.BPE(vocab=vocabulary, merges=[])).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.fixture()
def checkpoint(tmp_path: Path, params: Any, tokenizer: Path) -> Path:
    """An initial checkpoint in several shards."""
    from kormo_plugins.architecture.checkpoint import write_initial

    out = tmp_path / "initial"
    out.mkdir()
    write_initial(
        out,
        params,
        tokenizer=tokenizer,
        seed=7,
        dtype="bfloat16",
        generation=GENERATION,
        shard_bytes=100_000,
        **IDS,
    )
    return out
