"""A real training that is looked at: what it writes, and that its weights are those of one that is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.store.fingerprint import file_checksum

from .conftest import Lab

pytestmark = pytest.mark.axolotl

MONITOR: dict[str, Any] = {
    "every_steps": 4,
    "held_out": {"documents": 8},
    "collapse": {"tokens": 8, "samples": 2},
}


@pytest.fixture(scope="module")
def looked(lab: Lab, trained: Any) -> Path:
    """The run of `trained`, looked at, with text of people that it never trains on."""
    people = lab.folder / "people"
    people.mkdir(exist_ok=True)
    for name, text in (("ko", "사람이 쓴 글입니다. " * 30), ("en", "Someone wrote this by hand. " * 30)):
        (people / f"{name}.jsonl").write_text(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
    unseen = {"sources": {"people": {"reader": {"name": "folder", "path": str(people)}}}, "held_out": {"documents": 0}}
    result = lab.train("looked", change={"kormo": {"monitor": {**MONITOR, "external_eval": unseen}}})
    assert result.returncode == 0, result.stderr[-4000:]
    return lab.out("looked")


def test_the_weights_are_those_of_a_run_that_nobody_looked_at(lab: Lab, looked: Path) -> None:
    for name in ("model.safetensors", "checkpoint-4/optimizer.pt", "checkpoint-4/rng_state.pth"):
        assert file_checksum(looked / name) == file_checksum(lab.out("base") / name), name


def test_every_look_is_in_the_metrics(lab: Lab, looked: Path) -> None:
    lines = read_metrics(looked / "metrics.jsonl")
    looks = [line for line in lines if "held_out/bits_per_byte" in line]
    assert [line["step"] for line in looks] == [0, 4, 8]
    groups = ("ko", "en", "source/korean", "source/english", "domain/news", "writer/embedded")
    for line in looks:
        assert all(0.5 < line[f"held_out/bits_per_byte/{group}"] < 12 for group in groups)
        assert (
            0.5 < line["external_eval/bits_per_byte/source/people"] < 12 and "external_eval/loss/writer/human" in line
        )
    assert looks[0]["held_out/bits_per_byte"] > looks[2]["held_out/bits_per_byte"]
    wrote = [line for line in lines if "collapse/entropy/ko" in line]
    assert len(wrote) == 3 and all("collapse/right_script/en" in line for line in wrote)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses == [line["loss"] for line in read_metrics(lab.out("base") / "metrics.jsonl") if "loss" in line]
    assert len(losses) == 8  # none is lost where it was looked at


def test_the_run_leaves_a_page_and_what_it_is_made_of(looked: Path) -> None:
    page = (looked / "report.html").read_text(encoding="utf-8")
    assert "서울은" in page and "Bits per byte by language" in page
    facts = json.loads((looked / "run.json").read_text())["facts"]
    assert facts["parameters"] > 1000 and facts["hardware"]["cores"] > 0 and facts["hardware"]["accelerators"] == []
    assert set(facts["mixture"]["sources"]) == {"korean", "english"} and "external_eval/people" in facts["artifacts"]
    assert [one["prompt"] for one in json.loads((looked / "samples.json").read_text())] == ["서울은", "The city"]


@pytest.mark.soak
def test_two_ranks_measure_what_one_does(lab: Lab, trained: Any, looked: Path) -> None:
    for name, extra in (("ddp", {}), ("zero3", {"deepspeed": str(_zero3(lab.folder))})):
        path = lab.recipe(f"look-{name}", kormo={"monitor": MONITOR}, micro_batch_size=2, **extra)
        words = ("--launcher", "torchrun", "--", "--nproc_per_node=2", "--master_port", str(_free_port()))
        result = lab.axolotl("train", str(path), *words)
        assert result.returncode == 0, result.stderr[-4000:]
        found, expected = (
            [line for line in read_metrics(out / "metrics.jsonl") if "held_out/loss" in line]
            for out in (lab.out(f"look-{name}"), looked)
        )
        for one, two in zip(expected, found, strict=True):
            for key in (key for key in two if re.match(r"held_out/(loss|bits_per_byte)", key)):
                # the same weights at step 0; after it, gradients are summed in another order
                assert two[key] == pytest.approx(one[key], rel=1e-6 if one["step"] == 0 else 1e-3), (name, key)


def _zero3(folder: Path) -> Path:
    path = folder / "zero3.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True},
                                "train_batch_size": "auto",
                                "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
                                "gradient_clipping": "auto", "zero_allow_untested_optimizer": True}))  # fmt: skip
    return path


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
