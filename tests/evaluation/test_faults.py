"""Model folders that cannot be scored, the command, and the end of a training."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation import after_training
from kormo_plugins.evaluation.after_training import command, evaluate_run
from kormo_plugins.evaluation.models.checkpoint import open_checkpoint
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.recipe.schema.kormo_block import Evaluate

from ..integration.conftest import RECIPE, merged


@pytest.fixture()
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_a_checkpoint_without_a_tokenizer(copy: Path, registry: Any) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(KormoError, match="no tokenizer"):
        open_checkpoint(copy, registry)


def test_a_checkpoint_without_weights(copy: Path, registry: Any) -> None:
    for path in copy.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(KormoError, match="no weights"):
        open_checkpoint(copy, registry)


def test_a_family_that_nobody_has(copy: Path, registry: Any) -> None:
    """Its code may lie beside it: it is not run."""
    config = json.loads((copy / "config.json").read_text()) | {
        "model_type": "martian",
        "auto_map": {"AutoConfig": "m.C"},
    }
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "m.py").write_text("raise SystemExit('code of a model folder was run')")
    with pytest.raises(KormoError, match="'martian'"):
        open_checkpoint(copy, registry)


def test_folders_that_are_no_model(tmp_path: Path, registry: Any) -> None:
    with pytest.raises(KormoError, match="no such folder"):
        open_checkpoint(tmp_path / "nowhere", registry)
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-12").mkdir()
    with pytest.raises(KormoError, match="checkpoint-12"):
        open_checkpoint(tmp_path, registry)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(KormoError, match="axolotl merge-lora"):
        open_checkpoint(tmp_path, registry)


def test_the_hash_is_of_weights_and_tokenizer(copy: Path, checkpoint: Path, registry: Any) -> None:
    before = open_checkpoint(checkpoint, registry)
    assert open_checkpoint(copy, registry).hash == before.hash
    (weights,) = copy.glob("*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert open_checkpoint(copy, registry).hash != before.hash


def test_base_and_chat_are_told_apart(checkpoint: Path, chat_checkpoint: Path, registry: Any) -> None:
    assert not open_checkpoint(checkpoint, registry).chat
    assert open_checkpoint(chat_checkpoint, registry).chat


def test_the_command(checkpoint: Path, tmp_path: Path) -> None:
    """JSON alone on stdout; the record where it was asked for; a table for people."""
    words = ["eval", str(checkpoint), "--limit", "2", "--out", str(tmp_path), "--tasks", "mini_cloze_ko"]
    done = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["results"][0]["task"] == "mini_cloze_ko"
    kept = json.loads((tmp_path / "evaluation.json").read_text())
    assert kept["results"] == told["results"] and kept["model"]["family"] == "kormo"
    table = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    assert table.splitlines()[0].split() == ["task", "metric", "shots", "items", "score", "±", "chance"]
    assert "mini_cloze_ko" in table and "25.00" in table


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--suite", "mimi"], "'mini'"),
        (["--tasks", "mini_chioce_ko"], "'mini_choice_ko'"),
        (["--lengths", "128"], "--needle"),
        (["--tasks", "arc_easy", "--data", "nowhere"], "no such folder"),
        (["--device", "cuda:99"], "cuda:99"),  # the harness would take the CPU
        (["--suite", "mini", "--needle", "--lengths", "20"], "alone fill this length"),  # not after the suite
        (["--suite", "mini", "--needle", "--haystack", "nowhere"], "contains no .txt"),
    ],
)
def test_bad_words(words: list[str], told: str, checkpoint: Path) -> None:
    done = CliRunner().invoke(cli, ["eval", str(checkpoint), *words])
    assert done.exit_code == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert not (checkpoint / "evaluation.json").exists()


def test_published_scores_are_at_hand() -> None:
    told = CliRunner().invoke(cli, ["eval", "--published"], catch_exceptions=False).stdout
    for words in ("kr_clinical_qa", "average_ko", "58.15", "mt_bench", "8.32", "ko 69.04", "Gemma3-12B"):
        assert words in told, words


def test_a_record_that_is_damaged(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("{")
    done = CliRunner().invoke(cli, ["eval", str(checkpoint), "--out", str(tmp_path)])
    assert done.exit_code == 2 and "evaluation.json" in done.stderr


def test_items_for_decontamination(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["eval", "--write-items", str(tmp_path)], catch_exceptions=False)
    assert len(done.stdout.splitlines()) == len(list(tmp_path.glob("*.jsonl"))) == 10


@pytest.mark.soak
def test_the_end_of_a_training(checkpoint: Path, tmp_path: Path) -> None:
    """The real command, in a process of its own."""
    folder = Path(shutil.copytree(checkpoint, tmp_path / "run"))
    said: list[str] = []
    evaluate_run(folder, Evaluate(tasks=("mini_cloze_en",), limit=2), (), said.append)
    assert not said
    assert json.loads((folder / "evaluation.json").read_text())["results"][0]["n"] == 2


@pytest.mark.parametrize(
    ("evaluate", "key", "told"),
    [
        ({"suites": ["mimi"]}, "kormo.evaluate.suites", "'mini'"),
        ({"suites": ["SUITE.yml"]}, "kormo.evaluate.suites", "'kobest_boolq'"),
        ({"tasks": ["mini_chioce_ko"]}, "kormo.evaluate.tasks", "'mini_choice_ko'"),
        ({"suites": ["mini"], "data": "nowhere"}, "kormo.evaluate.data", "no such folder"),
        ({"suites": ["mini"], "limt": 3}, "kormo.evaluate.limt", "'limit'"),
    ],
)
def test_a_recipe_that_asks_for_what_is_not_there(
    evaluate: dict[str, Any], key: str, told: str, tmp_path: Path
) -> None:
    """Before the training, not after it."""
    suite = tmp_path / "SUITE.yml"
    suite.write_text("title: t\ntasks:\n  - {task: kobest_bolq}\n")
    evaluate = json.loads(json.dumps(evaluate).replace("SUITE.yml", str(suite)))
    path = tmp_path / "recipe.yml"
    change = {"output_dir": str(tmp_path / "out"), "kormo": {"evaluate": evaluate}}
    path.write_text(yaml.safe_dump(merged(RECIPE, change)))
    with pytest.raises(KormoError) as error:
        load_recipe(path)
    assert key in error.value.where and told in error.value.render()


def test_no_variable_of_a_launcher_reaches_the_command_and_its_failure_is_told(
    monkeypatch: Any, tmp_path: Path
) -> None:
    """With a rank and a world it would wait for ranks that are gone."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    script = tmp_path / "kormo"
    what = "import os; raise SystemExit(3 if {'RANK', 'ACCELERATE_USE_CPU'} & set(os.environ) else 2)"
    script.write_text(f"#!{sys.executable}\n{what}\n")
    script.chmod(0o755)
    monkeypatch.setattr(after_training, "command", lambda *_: [str(script), "eval", "out"])
    said: list[str] = []
    evaluate_run(Path("out"), Evaluate(), (), said.append)
    assert "exit code 2" in said[0] and "kormo eval out" in said[0]


def test_everything_that_a_recipe_says_reaches_the_command() -> None:
    wanted = Evaluate(suites=("mini", "korean"), tasks=("piqa", "copa"), limit=5, data=Path("d"))
    words = command(Path("out"), wanted, ("my_plugin",))[1:]
    assert words == [
        "eval", "out", "--suite", "mini", "--suite", "korean", "--tasks", "piqa,copa", "--limit", "5", "--data", "d",
        "--plugin", "my_plugin",
    ]  # fmt: skip
