"""The next stage takes the model of the one before: checked, and with another vocabulary if asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.training.checkpoint import mark_complete
from kormo_plugins.workspace.build import Built, build_all

from ..integration.conftest import RECIPE, merged


def quiet(line: str) -> None:
    """No progress in tests."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("continued")


def _build(room: Path, name: str, **kormo: Any) -> Built:
    values = merged(RECIPE, {"output_dir": str(room / "out"), "kormo": {"workspace": str(room / "artifacts"), **kormo}})
    path = room / f"{name}.yml"
    path.write_text(yaml.safe_dump(values))
    return build_all(load_recipe(path), log=quiet)


@pytest.fixture(scope="module")
def finished(room: Path) -> Path:
    """A folder as a finished stage leaves it."""
    first = _build(room, "first")
    assert first.base_model is not None
    folder = room / "finished"
    shutil.copytree(first.base_model, folder)
    (folder / "manifest.json").unlink()
    mark_complete(folder, 8)
    return folder


def test_the_model_of_the_stage_before(room: Path, finished: Path) -> None:
    built = _build(room, "second", from_run=str(finished), tokenizer=None, architecture=None)
    assert built.base_model == finished and built.tokenizer == finished and built.init is None


def test_another_tokenizer_remakes_the_embeddings_and_nothing_else(room: Path, finished: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    for size in (700, 420):  # it may grow or shrink
        tokenizer = {"train": {"name": "kormo_bpe", "vocab_size": size, "megabytes": 0.2}}
        built = _build(room, f"swap{size}", from_run=str(finished), tokenizer=tokenizer)
        assert built.base_model is not None and built.base_model != finished
        old, new = (load_file(folder / "model.safetensors") for folder in (finished, built.base_model))
        assert new["model.embed_tokens.weight"].shape[0] == -(-(size + 41) // 64) * 64
        for name in old:
            if "embed_tokens" not in name and "lm_head" not in name:
                assert torch.equal(old[name], new[name]), name
        model = AutoModelForCausalLM.from_pretrained(built.base_model)
        assert model.config.eos_token_id == size + 31 and model.config.model_type == "kormo"
        assert model(torch.tensor([[1, 2, 3]]), use_cache=False).logits.isfinite().all()


def test_a_run_that_is_not_finished_is_refused(room: Path, finished: Path) -> None:
    with pytest.raises(KormoError, match="no such folder"):
        _build(room, "nowhere", from_run=str(room / "nowhere"), tokenizer=None, architecture=None)
    half = room / "half"
    shutil.copytree(finished, half)
    (half / "complete.json").unlink()
    with pytest.raises(KormoError, match="not a finished model"):
        _build(room, "half", from_run=str(half), tokenizer=None, architecture=None)
    mark_complete(half, 8)
    (half / "config.json").write_text(json.dumps({**json.loads((half / "config.json").read_text()), "x": 1}))
    with pytest.raises(KormoError, match=r"config\.json has"):
        _build(room, "changed", from_run=str(half), tokenizer=None, architecture=None)


def test_a_model_of_another_shape_is_refused(room: Path, finished: Path) -> None:
    with pytest.raises(KormoError) as error:
        _build(room, "shape", from_run=str(finished), architecture={"num_hidden_layers": 3})
    assert "num_hidden_layers 2" in error.value.what and "3" in error.value.why
