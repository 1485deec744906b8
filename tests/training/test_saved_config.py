"""A saved checkpoint says what the recipe says, not what the training loop needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kormo_plugins.architecture.checkpoint import generation_config
from kormo_plugins.architecture.files import NOTE
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.training.checkpoints.saved_config import restore

from .harness import model

SPECIAL = {"bos": 1, "eos": 2, "pad": 0}
GENERATION = {"do_sample": True, "temperature": 0.7}


def test_what_a_trainer_overwrote_is_put_right(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    made = model()
    made.config.use_cache = False
    made.config.eos_token_id = made.config.pad_token_id = 5
    made.generation_config.update(eos_token_id=5, pad_token_id=5, do_sample=True, temperature=0.1, top_k=3)
    made.save_pretrained(tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    assert before["use_cache"] is False and before["eos_token_id"] == 5

    restore(tmp_path, SPECIAL, GENERATION)
    first = [(tmp_path / name).read_bytes() for name in ("config.json", "generation_config.json")]
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    fields = json.loads(first[0])
    base = before["rope_parameters"]["rope_theta"]
    both = {"rope_theta": base, "rope_scaling": None, "torch_dtype": before["dtype"]}
    assert fields == {**before, **ids, **both, "use_cache": True, **({} if "how_to_open" not in fields else NOTE)}
    settings = AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    assert settings.eos_token_id == 2 and settings.temperature == 0.7 and settings.top_k is None
    restore(tmp_path, SPECIAL, GENERATION)
    assert [(tmp_path / name).read_bytes() for name in ("config.json", "generation_config.json")] == first


def test_what_leaked_from_loading_goes_and_everybody_may_read(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend", "is_local": true}')
    (tmp_path / "model.safetensors").touch(mode=0o600)
    restore(tmp_path, SPECIAL, {"do_sample": True, "temperature": None})
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast"
    }
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert "temperature" not in json.loads((tmp_path / "generation_config.json").read_text())


RECIPES = Path(__file__).parents[2] / "recipes"


CHATS = sorted({*RECIPES.rglob("sft*.yml"), *RECIPES.rglob("dpo*.yml")} - {*RECIPES.glob("ablations/*.yml")})


@pytest.mark.parametrize("path", CHATS, ids=lambda p: p.stem)
def test_sampling_of_every_chat_recipe_reaches_a_server_without_nulls(path: Path, tmp_path: Path) -> None:
    settings = load_recipe(path).block.generation
    wanted = {key: value for key, value in settings.items() if value is not None}
    assert wanted, "a server would sample with its own defaults"
    restore(tmp_path, SPECIAL, settings)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert wanted.items() <= saved.items() and None not in saved.values()
    initial = generation_config(settings, {"eos_token_id": 2})
    assert None not in initial.values() and initial.get("temperature") == wanted.get("temperature")
