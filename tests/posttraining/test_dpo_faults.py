"""What can be wrong with a preference run ends in one message, before a model is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.axolotl_keys import axolotl_values
from kormo_plugins.pipeline.build import build_data
from kormo_plugins.pipeline.built import Built
from kormo_plugins.pipeline.open import open_dataset
from kormo_plugins.recipe.checks.preference_rules import LOSSES
from kormo_plugins.recipe.load import load_recipe

from .made_pairs import chat_tokenizer

__all__ = ["chat_tokenizer"]

ROWS = [{"prompt": f"{n} 더하기 1은?", "chosen": f"{n + 1}입니다.", "rejected": f"{n}입니다."} for n in range(12)]


class Bench:
    """Writes a preference recipe over JSONL rows, and builds it in this process."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self.folder, self.tokenizer = folder, tokenizer

    def recipe(self, rows: list[dict[str, Any]] = ROWS, **change: Any) -> Path:
        data = self.folder / "pairs.jsonl"
        data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        columns = {"text": "chosen", "keep": ["prompt", "chosen", "rejected"]}
        kormo = {
            "tokenizer": {"path": str(self.tokenizer)},
            "role": "chat",
            "global_batch": 4,
            "workspace": str(self.folder / "artifacts"),
            "precision": {"weights": "float32", "compute": "float32", "optimizer": "float32"},
            "data": {
                "sources": {"a": {"reader": {"name": "jsonl", "path": str(data), "columns": columns}}},
                "steps": [{"name": "preference_pair"}],
                "mixture": {"name": "weighted", "weights": {"a": 1}},
            },
        }
        values = {
            "plugins": ["kormo_plugins.KormoPlugin"],
            "base_model": "some/model",
            "rl": "dpo",
            "max_steps": 3,
            "sequence_len": 256,
            "micro_batch_size": 2,
            "optimizer": "adamw_torch",
            "learning_rate": 1e-4,
            "output_dir": str(self.folder / "out"),
            "kormo": {**kormo, **change.pop("kormo", {})},
            **change,
        }
        path = self.folder / "recipe.yml"
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        return path

    def build(self, **given: Any) -> tuple[Any, Built]:
        from kormo_plugins.store.artifact import build

        recipe = load_recipe(self.recipe(**given))
        return recipe, build_data(recipe, build)


@pytest.fixture
def bench(tmp_path: Path, chat_tokenizer: Path) -> Bench:
    return Bench(tmp_path, chat_tokenizer)


def test_a_sound_recipe_gives_exactly_its_steps(bench: Bench) -> None:
    recipe, built = bench.build()
    data = open_dataset(recipe.stream_plan(), built)
    assert len(data) == 12 and not built.rows and not built.shards
    assert {data.number(index) for index in range(12)} == set(range(12))
    values = axolotl_values(recipe.axolotl_plan(), built)
    assert values["gradient_accumulation_steps"] == 2 and values["trainer_cls"].endswith("PreferenceTrainer")
    again = build_data(recipe, _found)
    assert again.preferences["a"].hash == built.preferences["a"].hash


def _found(workspace: Path, spec: Any, make: Any) -> Any:
    from kormo_plugins.store.artifact import find

    found = find(workspace, spec)
    assert found is not None
    return found


def test_pairs_that_are_the_same_are_counted(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    same = [{**row, "rejected": row["chosen"]} if n < 5 else row for n, row in enumerate(ROWS)]
    _, built = bench.build(rows=same)
    assert built.preferences["a"].stats["pairs"] == 7 and built.corpora["a"].stats["rejected"] == 5
    told = capsys.readouterr().err
    assert f"a: 5 of 12 pairs cannot be used; they are kept in {built.corpora['a'].path / 'rejects'}: " in told
    assert "the two sides are the same (5)" in told and (built.corpora["a"].path / "rejects").is_dir()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rows": [{**row, "rejected": row["chosen"]} for row in ROWS]}, "the two sides are the same"),
        ({"rows": [{k: v for k, v in row.items() if k != "rejected"} for row in ROWS]}, "no column 'rejected'"),
        ({"sequence_len": 8}, "its prompt fills sequence_len"),
        ({"kormo": {"role": "base"}}, "end with <|EOT|>"),
        ({"rl": "kto"}, "for dpo and ipo only"),
        ({"dpo_loss_type": ["apo_zer"]}, "apo_zero"),
        ({"dpo_padding_free": True}, "ignores it with a warning"),
        ({"pad_to_multiple_of": 8}, "older TRL"),
        ({"dpo_use_liger_kernel": True, "precompute_ref_log_probs": True}, "saves the second model"),
        ({"max_steps": None, "kormo": {"tokens": 4096}}, "counted in pairs"),
    ],
)
def test_faults(bench: Bench, given: dict[str, Any], says: str) -> None:
    with pytest.raises(KormoError) as told:
        bench.build(**given)
    assert says in told.value.render(), told.value.render()


def test_a_tokenizer_without_the_end_of_a_turn(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(bench.tokenizer, folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<|EOT|>", "<|END|>"), encoding="utf-8")
    bench.tokenizer = folder
    with pytest.raises(KormoError) as told:
        bench.build()
    assert "no token '<|EOT|>'" in told.value.found


def test_a_tokenizer_without_a_chat_template(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(bench.tokenizer, folder)
    (folder / "chat_template.jinja").unlink()
    bench.tokenizer = folder
    with pytest.raises(KormoError) as told:
        bench.build()
    assert "without chat_template.jinja" in told.value.found


def test_the_losses_are_those_of_trl() -> None:
    import inspect

    from trl import DPOTrainer

    source = inspect.getsource(DPOTrainer._compute_loss)
    assert [name for name in LOSSES if f'loss_type == "{name}"' not in source] == []
    assert source.count('loss_type == "') == len(LOSSES)
