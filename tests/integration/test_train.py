"""`axolotl train` on a real recipe: what is built, kept, resumed, and equal."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.store.complete import fault

from .conftest import Lab
from .ranks import STEPS, check_rows, losses, recipe, same_model, trained_alone

pytestmark = pytest.mark.axolotl


def _equal_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return a.keys() == b.keys() and all((a[key] == b[key]).all() for key in a)


def test_a_run_folder_has_everything(lab: Lab, trained: Any) -> None:
    out = lab.out("base")
    assert {"recipe.yml", "run.json", "metrics.jsonl", "config.json", "model.safetensors", "export"} <= {
        path.name for path in out.iterdir()
    }
    resolved = yaml.safe_load((out / "recipe.yml").read_text())
    assert resolved["kormo"]["global_batch"] == 8 and not {"extends", "debug"} & set(resolved)
    record = json.loads((out / "run.json").read_text())
    assert set(record["identity"]) == {"tokenizer", "weights", "seed"} and record["versions"]["axolotl"]
    assert record["data"]["stages"][0]["from_step"] == 0 and record["amendments"] == []
    metrics = [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert [line["step"] for line in metrics] == list(range(1, 9))
    assert metrics[-1]["tokens"] == 8 * 8 * 128
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    for step in (4, 8):
        assert fault(out / f"checkpoint-{step}") is None
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "kormo" and config["use_cache"] is True
    assert "model.layers.0.pre_attention_layernorm.weight" in load_file(out / "model.safetensors")


def test_it_ends_with_the_folder_and_a_sample_in_both_languages(lab: Lab, trained: Any) -> None:
    tail = trained.stdout[trained.stdout.index("The model is in") :]
    assert str(lab.out("base")) in tail and "서울은 ▸" in tail and "The city ▸" in tail


def test_each_stage_says_what_it_builds_and_builds_it_once(lab: Lab, trained: Any) -> None:
    for kind in ("corpus", "tokenizer", "shards", "rows", "init"):
        assert re.search(rf"kormo: {kind}\s.*: done in", trained.stderr), kind
    # A finished run, by its own resolved recipe: nothing is built, nothing is trained.
    metrics = (lab.out("base") / "metrics.jsonl").read_bytes()
    again = lab.axolotl("train", str(lab.out("base") / "recipe.yml"), "--launcher", "python")
    assert again.returncode == 0, again.stderr[-3000:]
    assert ": building" not in again.stderr and again.stderr.count("already built") >= 8
    assert json.loads((lab.out("base") / "checkpoint-8" / "trainer_state.json").read_text())["global_step"] == 8
    assert (lab.out("base") / "metrics.jsonl").read_bytes() == metrics
    assert again.stderr.count("the run is finished at step 8: nothing was trained") == 1
    assert "step 8 of 8" not in again.stderr
    assert "The run was interrupted" not in (lab.out("base") / "report.html").read_text(encoding="utf-8")


def test_the_export_is_a_model_of_transformers(lab: Lab, trained: Any) -> None:
    """That such a folder opens where we are not installed is shown in `tests/architecture`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    out = lab.out("base") / "export"
    assert not list(out.glob("*.py")) and "auto_map" not in (out / "config.json").read_text()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert type(model) is LlamaForCausalLM
    assert tokenizer.eos_token == "<|EOS|>" and model.generation_config.temperature == 0.8


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_random_steps_and_resumed_is_bit_equal(lab: Lab, trained: Any, kills: int) -> None:
    """SIGKILL again and again, also in the middle of a save; the same command at last ends with the same weights."""
    change = {"max_steps": 10 * kills, "save_steps": 1, "kormo": {"export": False, "samples": {"prompts": []}}}
    name = f"killed{kills}"
    whole = lab.train(f"whole{kills}", change=change)
    assert whole.returncode == 0, whole.stderr[-3000:]
    command = ["train", str(lab.recipe(name, **change)), "--launcher", "python"]
    dice, metrics = random.Random(kills), lab.out(name) / "metrics.jsonl"
    for _ in range(kills):
        until = _lines(metrics) + dice.randint(2, 9)
        process = lab.start(*command)
        deadline = time.monotonic() + 200
        while _lines(metrics) < until and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(dice.random() * 0.1)
        process.kill()
        process.wait()
    assert not (lab.out(name) / "model.safetensors").exists(), "it was never killed in time"
    again = lab.train(name, change=change)
    assert again.returncode == 0, again.stderr[-3000:]
    assert _equal_weights(lab.out(f"whole{kills}"), lab.out(name))
    assert metrics.read_text().count('"resume"') >= 1


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_command_line_options_win_over_parents(lab: Lab, trained: Any) -> None:
    lab.recipe("parent", learning_rate=0.02, max_steps=3)
    child = lab.folder / "child_of_parent.yml"
    child.write_text(yaml.safe_dump({
        "extends": "parent.yml", "plugins": ["kormo_plugins.KormoPlugin"],
        "output_dir": str(lab.out("child")), "kormo": {"export": False, "samples": {"prompts": []}},
    }))  # fmt: skip
    done = lab.axolotl("train", str(child), "--launcher", "python", "--max-steps", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = read_metrics(lab.out("child") / "metrics.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert lines[0]["learning_rate"] == 0.02
    assert yaml.safe_load((lab.out("child") / "recipe.yml").read_text())["max_steps"] == 2
    assert not (lab.out("child") / "export").exists()


def test_two_ranks_train_on_the_same_samples_and_end_where_one_does(lab: Lab, trained: Any) -> None:
    path = recipe(lab, "two", 0, kormo={"export": True, "samples": {"prompts": ["서울은"]}})
    two = lab.ranks(path, KORMO_ROWS=str(path.with_suffix(".rows")))
    assert all(rank.returncode == 0 for rank in two), two[0].stderr[-4000:]
    check_rows(lab, path, range(STEPS))
    assert losses(lab, "two") == pytest.approx(trained_alone(lab), rel=1e-5)
    same_model(lab, "two", "base")
    assert (lab.out("two") / "export" / "model.safetensors").is_file()
    assert [rank.stdout.count("The model is in") for rank in two] == [1, 0]


@pytest.mark.parametrize("launcher", ["", pytest.param("torchrun", marks=pytest.mark.soak)])
def test_a_number_of_ranks_that_does_not_divide_is_refused(lab: Lab, trained: Any, launcher: str) -> None:
    path = lab.recipe("odd", kormo={"global_batch": 4})
    if launcher:
        words = ("--launcher", launcher, "--", "--nproc_per_node=2", "--master_port=29612")
        runs = [lab.axolotl("train", str(path), *words)]
    else:
        runs = lab.ranks(path)
    assert all(run.returncode != 0 for run in runs)
    output = "".join(run.stdout + run.stderr for run in runs)
    assert output.count("kormo.global_batch\n  found:") == 1, output[-3000:]
    if launcher:
        assert output.index("kormo.global_batch") < output.index("ChildFailedError")
    else:  # without a launcher's words, no traceback is left
        assert "Traceback" not in output


@pytest.mark.parametrize("changed", ["data", "seed", "tokenizer"])
def test_another_run_in_the_same_folder_is_refused(lab: Lab, trained: Any, changed: str) -> None:
    change: dict[str, Any] = {
        "data": {"kormo": {"data": {"mixture": {"weights": {"korean": 50, "english": 50}}}}},
        "seed": {"seed": 8},
        "tokenizer": {"kormo": {"tokenizer": {"train": {"vocab_size": 480}}}},
    }[changed]
    done = lab.train("same", change={**change, "output_dir": str(lab.out("base"))})
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr and changed in done.stderr and "allow_changed" in done.stderr


def test_a_second_stage_goes_on_from_the_first(lab: Lab, trained: Any) -> None:
    kormo = {"from_run": str(lab.out("base")), "architecture": None, "tokenizer": None, "role": "chat"}
    done = lab.train("second", change={"kormo": kormo, "max_steps": 2})
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (read_metrics(lab.out(name) / "metrics.jsonl") for name in ("base", "second"))
    assert second[0]["loss"] < first[0]["loss"] - 0.3, "it started from random weights"
    assert fault(lab.out("second")) is None, "the finished model is marked complete"
    for name, end in (("base", "<|EOS|>"), ("second", "<|EOT|>")):
        assert _ends(lab.out(name)) == {end}, name
        assert _ends(lab.out(name) / "export") == {end}, name


def _ends(folder: Path) -> set[str]:
    """What ends a text, by the tokenizer, the config and the generation config."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    configs = [json.loads((folder / f"{name}.json").read_text()) for name in ("config", "generation_config")]
    return {tokenizer.eos_token, *(tokenizer.convert_ids_to_tokens(values["eos_token_id"]) for values in configs)}
