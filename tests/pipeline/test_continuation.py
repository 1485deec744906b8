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
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.pipeline.built import Built
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.training.checkpoints.complete import mark_complete

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


def test_a_longer_context_and_another_rope_base_reach_the_model_over_the_same_weights(
    room: Path, finished: Path
) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    given = {"from_run": str(finished), "tokenizer": None}
    same = _build(room, "same", **given)
    assert same.base_model == finished and same.init is None  # the recipe says what the model has
    longer = {"max_position_embeddings": 2048, "rope_theta": 4e6}
    built = _build(room, "longer", **given, architecture=longer)
    assert built.base_model is not None and built.init is not None and built.weights_hash == built.init.hash
    assert built.weights_hash != same.weights_hash
    old, new = (load_file(folder / "model.safetensors") for folder in (finished, built.base_model))
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
    model = AutoModelForCausalLM.from_pretrained(built.base_model)
    assert model.config.max_position_embeddings == 2048 and model.config.rope_parameters["rope_theta"] == 4e6
    head = model.config.head_dim
    expected = 4e6 ** -(torch.arange(0, head, 2) / head)
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, expected)
    before = AutoModelForCausalLM.from_pretrained(finished)
    ids = torch.arange(40)[None]
    assert not torch.equal(model(ids, use_cache=False).logits, before(ids, use_cache=False).logits)
    stats = built.init.stats["config"]
    assert stats["rope_theta"] == {"before": 500000.0, "now": 4e6} and set(stats) == set(longer)


def test_values_of_an_earlier_stage_do_not_undo_the_stages_between(room: Path, finished: Path) -> None:
    longer = _build(room, "first", from_run=str(finished), tokenizer=None, architecture={"rope_theta": 2e6})
    assert longer.base_model is not None
    folder = room / "longer"
    shutil.copytree(longer.base_model, folder)
    (folder / "manifest.json").unlink()
    mark_complete(folder, 8)
    with pytest.raises(KormoError, match="architecture: null") as error:
        _build(room, "undone", from_run=str(folder), tokenizer=None)  # RECIPE says 500,000
    assert error.value.where.endswith("kormo.architecture.rope_theta") and "2000000.0" in error.value.why
    kept = _build(room, "kept", from_run=str(folder), tokenizer=None, architecture=None)
    assert kept.base_model == folder


def test_another_tokenizer_and_a_longer_context_at_once(room: Path, finished: Path) -> None:
    tokenizer = {"train": {"name": "kormo_bpe", "vocab_size": 600, "megabytes": 0.2}}
    built = _build(room, "both", from_run=str(finished), tokenizer=tokenizer, architecture={"rope_theta": 1e6})
    assert built.base_model is not None
    config = json.loads((built.base_model / "config.json").read_text())
    assert config["rope_parameters"]["rope_theta"] == 1e6 and config["vocab_size"] == -(-641 // 64) * 64


def test_rows_longer_than_the_declared_context_are_refused(room: Path, finished: Path) -> None:
    with pytest.raises(KormoError, match="max_position_embeddings: 64"):
        _build(room, "short", from_run=str(finished), tokenizer=None, architecture={"max_position_embeddings": 64})


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
    assert "num_hidden_layers 2" in error.value.found and "3" in error.value.why


MOE = {"name": "kormo_moe", "num_local_experts": 3, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.01}


def test_another_architecture_is_upcycled_or_refused(room: Path, finished: Path) -> None:
    """From a dense model a mixture of experts is made once; what cannot be made of it was trained as a `kormo`."""
    from transformers import AutoModelForCausalLM

    given = {"from_run": str(finished), "tokenizer": None}
    built = _build(room, "moe", **given, architecture=MOE)
    assert built.base_model is not None and built.init is not None
    again = _build(room, "moe2", **given, architecture=MOE)
    assert again.base_model == built.base_model
    model, dense = (AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (built.base_model, finished))
    assert model.config.model_type == "kormo_moe"
    ids = torch.arange(20)[None]
    found, expected = (each(input_ids=ids, use_cache=False).logits for each in (model, dense))
    assert torch.allclose(found, expected, atol=1e-6)
    assert built.base_model is not None
    moe = room / "finished-moe"
    shutil.copytree(built.base_model, moe)
    (moe / "manifest.json").unlink()
    mark_complete(moe, 8)
    on = {"from_run": str(moe), "tokenizer": None}
    changed = _build(room, "moe-changed", **on, architecture={**MOE, "router_aux_loss_coef": 0.1})
    assert changed.base_model is not None
    assert json.loads((changed.base_model / "config.json").read_text())["router_aux_loss_coef"] == 0.1
    with pytest.raises(KormoError, match="num_local_experts 3"):
        _build(room, "moe-more", **on, architecture={**MOE, "num_local_experts": 5})
    norm = {"name": "kormo_qk_norm", "qk_norm": "head"}
    with pytest.raises(KormoError, match="is a kormo, from which kormo_qk_norm cannot be made"):
        _build(room, "qk", **given, architecture=norm)
    with pytest.raises(KormoError, match=r"another shape|intermediate_size"):
        _build(room, "shape", **given, architecture={**MOE, "intermediate_size": 96})
