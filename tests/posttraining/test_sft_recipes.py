"""The recipes of fine-tuning, and the faults that stop one before it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_all, build_data
from kormo_plugins.pipeline.built import lookup_only
from kormo_plugins.recipe.load import load_recipe

from ..integration.conftest import RECIPE, merged

ROOT = Path(__file__).parents[2]
RECIPES = ["sft", "sft_qlora", "1b/sft", "1b/sft_qlora", "10b/sft", "10b/sft_qlora"]
CHAT: dict[str, Any] = {
    "name": "tiny_chat",
    "sources": {"chat": {"generator": {"name": "embedded_chat", "conversations": 160, "turns": 1}}},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_sound_and_is_for_a_chat_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(Path("recipes") / f"{name}.yml")
    assert recipe.block.role == "chat" and recipe.block.architecture is None and recipe.block.tokenizer is None
    assert recipe.block.collator.name == "document_mask", "conversations of a row are kept apart"
    assert recipe.resolved.values["plugins"] == ["kormo_plugins.KormoPlugin"]
    size = name.rpartition("/")[0]
    assert str(recipe.block.from_run) == str(Path("outputs") / size / "midtrain_reasoning")
    assert recipe.data is not None and recipe.data.mixture.too_long == "reject"
    if "qlora" in name:
        assert recipe.get("adapter") == "qlora" and recipe.get("load_in_4bit") is True
        assert recipe.get("bnb_config_kwargs") == {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
        assert recipe.get("lora_alpha") == 2 * recipe.get("lora_r")


def written(folder: Path, **change: Any) -> Path:
    """A recipe of the tiny model on the tiny conversations."""
    base = merged(RECIPE, {"output_dir": str(folder / "out"), "kormo": {"workspace": str(folder / "artifacts")}})
    base["kormo"] |= {"data": CHAT, "role": "chat", **change.pop("kormo", {})}
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump({**base, **change}))
    return path


def test_a_base_model_is_refused_conversations(tmp_path: Path) -> None:
    with pytest.raises(KormoError) as caught:
        load_recipe(written(tmp_path, kormo={"role": "base"}))
    assert "kormo.role" in caught.value.where and "it would never stop" in caught.value.why
    reader = {"name": "jsonl", "path": "x.jsonl", "columns": {"messages": "c"}}
    with pytest.raises(KormoError, match="the conversations of talk"):
        load_recipe(written(tmp_path, kormo={"role": "base", "data": {"sources": {"talk": {"reader": reader}}}}))
    load_recipe(written(tmp_path))


def test_built_rows_are_conversations_and_too_long_ones_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kormo_plugins.pipeline.open import open_dataset

    recipe = load_recipe(written(tmp_path, sequence_len=96))
    built = build_all(recipe, log=lambda line: None)
    stats = built.rows["chat"].stats
    assert 0 < stats["documents_dropped"] < stats["documents"] and stats["tokens_dropped"] > 0
    told = f"{stats['documents_dropped']} of {stats['documents']} conversations are longer than a row"
    assert told in capsys.readouterr().err
    rows = open_dataset(recipe.stream_plan(), built).__getitems__([0, 1])
    assert rows.trained is not None and 0 < rows.trained.sum() < rows.filled.sum()
    again = build_data(recipe, lookup_only(recipe.path))
    assert again.rows["chat"].hash == built.rows["chat"].hash
    with pytest.raises(KormoError, match="all are longer than a row of 16 tokens"):
        build_all(load_recipe(written(tmp_path, sequence_len=16)), log=lambda line: None)


def test_broken_turns_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    def turns(*roles: str) -> str:
        return json.dumps({"c": [{"role": role, "content": f"what was said by {role}"} for role in roles]})

    lines = [turns("user", "assistant")] * 9 + [turns("user", "assistant", "assistant"), turns("assistant")]
    (tmp_path / "talk.jsonl").write_text("\n".join(lines))
    reader = {"name": "jsonl", "path": str(tmp_path / "talk.jsonl"), "columns": {"messages": "c"}}
    data = {"name": "talk", "sources": {**CHAT["sources"], "talk": {"language": "en", "reader": reader}}}
    built = build_all(load_recipe(written(tmp_path, kormo={"data": data})), log=lambda line: None)
    told = capsys.readouterr().err
    assert "talk: 2 of 11 conversations cannot be used" in told and str(built.corpora["talk"].path / "rejects") in told
    assert "two assistant turns in a row (1)" in told and "no user turn (1)" in told


def test_a_tokenizer_without_turns_is_named(tmp_path: Path) -> None:
    built = build_all(load_recipe(written(tmp_path)), log=lambda line: None)
    assert built.tokenizer is not None
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for file in built.tokenizer.iterdir():
        text = file.read_text(encoding="utf-8")
        (foreign / file.name).write_text(text.replace("<|BOT|>", "<|im_start|>"), encoding="utf-8")
    with pytest.raises(KormoError, match=r"<\|BOT\|>"):
        build_all(load_recipe(written(tmp_path, kormo={"tokenizer": {"path": str(foreign)}})), log=lambda line: None)
