"""Several ranks for real: `axolotl train … --launcher torchrun` over gloo, under DDP, ZeRO-2 and ZeRO-3. (Where the
launcher itself is not looked at, its ranks are started without it, which saves their start-up: `Lab.ranks`.)

What counts is not that it ran: the rows that each rank read are compared with the rows that the recipe fixes, and
the losses with those of one rank.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from kormo_plugins.errors import KormoError
from kormo_plugins.store.complete import fault
from kormo_plugins.training.checkpoints.complete import checkpoints
from kormo_plugins.training.checkpoints.consolidate import consolidate
from kormo_plugins.training.checkpoints.sharded import shards_of
from kormo_plugins.training.checkpoints.universal import convert

from .conftest import Lab
from .ranks import (
    CONFIGS,
    QUIET,
    STEPS,
    check_rows,
    cut_back,
    finish,
    logged,
    losses,
    recipe,
    same_model,
    torchrun,
    trained_alone,
)

pytestmark = pytest.mark.axolotl


@pytest.mark.soak
def test_zero_3_is_one_rank_and_its_model_is_whole(lab: Lab, trained: Any) -> None:
    path = recipe(lab, "zero3", 3, kormo={"export": True, "milestones": 3 * 8 * 128}, save_steps=4, save_total_limit=1)
    run = lab.ranks(path, KORMO_ROWS=str(path.with_suffix(".rows")))
    assert all(rank.returncode == 0 for rank in run), run[0].stderr[-4000:]
    assert losses(lab, "zero3") == pytest.approx(trained_alone(lab), rel=1e-5)
    check_rows(lab, path, range(STEPS))
    shards = shards_of(lab.out("zero3") / "checkpoint-8")
    assert shards is not None and shards.ranks == 2 and shards.partitioned_weights
    same_model(lab, "zero3", "base")
    ours = load_file(lab.out("zero3") / "model.safetensors")
    assert (lab.out("zero3") / "export" / "model.safetensors").is_file()
    # save_total_limit is 1: of 3, 4, 6 and 8, the rolling 4 is gone, the milestones 3 and 6 are not
    assert [folder.name for folder in checkpoints(lab.out("zero3"))] == ["checkpoint-3", "checkpoint-6", "checkpoint-8"]
    record = json.loads((lab.out("zero3") / "run.json").read_text())
    assert [entry["step"] for entry in record["milestones"]] == [3, 6]
    _plain_and_universal(lab, lab.out("zero3") / "checkpoint-8", ours)


def _plain_and_universal(lab: Lab, checkpoint: Path, model: dict[str, Any]) -> None:
    """The parts of the ranks put together are the finished model; the universal form is listed in the marker."""
    found = consolidate(checkpoint, lab.folder / "plain")
    assert found["compared"] == found["weights"] == len(model) and fault(lab.folder / "plain") is None
    plain = load_file(lab.folder / "plain" / "model.safetensors")
    assert all((plain[key] == value).all() for key, value in model.items())
    with pytest.raises(KormoError, match="nothing is overwritten"):
        consolidate(checkpoint, lab.folder / "plain")
    assert convert(checkpoint).universal and fault(checkpoint) is None
    (checkpoint / "global_step8_universal" / "zero" / "optimizer_state.pt").write_bytes(b"")
    assert "optimizer_state.pt" in str(fault(checkpoint))


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_number_of_ranks_changes_by_universal_checkpoints(lab: Lab, trained: Any, stage: int) -> None:
    """1 -> 2 -> 1 ranks ends where one rank does that was never stopped: losses, rate, and every weight.

    A strong decay, and a rate that moves: what DeepSpeed would get wrong (one count of steps for all groups, one
    group's settings for all) shows in the weights.
    """
    name, change = f"elastic{stage}", {"weight_decay": 1.0, "lr_scheduler": "cosine", "warmup_steps": 2}
    path = recipe(lab, name, stage, save_steps=3, save_total_limit=9, **change)
    finish(torchrun(lab, path, 1), path)
    shutil.copytree(lab.out(name), lab.out(f"{name}-whole"))
    for step, before, ranks in ((3, 1, 2), (6, 2, 1)):
        cut_back(lab, name, step)
        path.with_suffix(".log").write_text("")
        assert torchrun(lab, path, ranks).wait(timeout=300) != 0
        assert f"written by {before} rank(s); this job has {ranks}" in path.with_suffix(".log").read_text()
        newest = lab.out(name) / f"checkpoint-{step}"
        subprocess.run(["kormo", "checkpoint", "universal", str(newest)], env=lab.environ(), check=True)
        assert fault(newest) is None
        for rank in (0, 1):
            path.with_suffix(f".rows-{rank}").unlink(missing_ok=True)
        finish(torchrun(lab, path, ranks), path)
        check_rows(lab, path, range(step, STEPS), ranks)
        for key in ("loss", "learning_rate", "grad_norm"):
            assert logged(lab, name, key) == pytest.approx(logged(lab, f"{name}-whole", key), rel=1e-5), key
        same_model(lab, name, f"{name}-whole")
    alone = lab.train(f"{name}-alone", change={**change, "kormo": QUIET})
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert losses(lab, name) == pytest.approx(losses(lab, f"{name}-alone"), rel=1e-5)
    same_model(lab, name, f"{name}-alone")


CHANGED: dict[str, Any] = {
    "learning_rate": 2e-3, "weight_decay": 1.0, "adam_beta2": 0.9, "max_grad_norm": 0.05, "lr_scheduler": "cosine",
    "warmup_steps": 2, "max_steps": 10,
}  # fmt: skip
"""Each of them moves the weights by more than `same_model` admits."""


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_changed_settings_hold_after_a_resume(lab: Lab, trained: Any, stage: int) -> None:
    """DeepSpeed reads its checkpoints itself; the recipe must win there as it does on one rank without it."""
    for name, engine in (("changed-alone", 0), (f"changed{stage}", stage)):
        if lab.out(name).exists():
            continue
        for change in ({"max_steps": 4}, CHANGED):
            path = recipe(lab, name, engine, **change)
            finish(torchrun(lab, path, 2 if engine else 1), path)
    rates = [2e-3 * 0.5 * (1 + math.cos(math.pi * (step - 2) / 8)) for step in range(4, 10)]
    assert logged(lab, f"changed{stage}", "learning_rate")[4:] == pytest.approx(rates)
    for key in ("loss", "learning_rate"):
        assert logged(lab, f"changed{stage}", key) == pytest.approx(logged(lab, "changed-alone", key), rel=1e-5), key
    same_model(lab, f"changed{stage}", "changed-alone")


WRITES = """
import functools, os
from transformers import PreTrainedModel, PreTrainedTokenizerBase

def told(kind, original):
    @functools.wraps(original)
    def save_pretrained(self, folder, *args, **kwargs):
        with open(os.environ["KORMO_WRITES"] + "-" + os.environ.get("RANK", "none"), "a") as file:
            print(kind, folder, file=file)
        return original(self, folder, *args, **kwargs)
    return save_pretrained

for kind in (PreTrainedModel, PreTrainedTokenizerBase):
    kind.save_pretrained = told(kind.__name__, kind.save_pretrained)
"""


@pytest.mark.soak
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_two_nodes_have_one_writer(lab: Lab, trained: Any, stage: int) -> None:
    """A launcher for each node, as the README says; to Axolotl the first rank of every node is the one that saves."""
    (lab.folder / "writes_plugin.py").write_text(WRITES)
    name = f"nodes{stage}"
    path = recipe(lab, name, stage, kormo={"plugins": ["trace_plugin", "writes_plugin"]})
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        endpoint = f"--rdzv_endpoint=127.0.0.1:{s.getsockname()[1]}"
    log = path.with_suffix(".log").open("a")
    nodes = [
        subprocess.Popen(
            ["axolotl", "train", str(path), "--launcher", "torchrun", "--", "--nnodes=2", "--nproc_per_node=1",
             "--rdzv_backend=c10d", endpoint, "--rdzv_id=1", "--local_addr=127.0.0.1"],
            cwd=lab.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env=lab.environ(OMP_NUM_THREADS="1", KORMO_ROWS=str(path.with_suffix(".rows")),
                            KORMO_WRITES=str(lab.folder / f"{name}.writes")),
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [node.wait(timeout=400) for node in nodes] == [0, 0], path.with_suffix(".log").read_text()[-4000:]
    check_rows(lab, path, range(STEPS))
    assert losses(lab, name) == pytest.approx(trained_alone(lab), rel=1e-5)
    same_model(lab, name, "base")
    assert {file.name for file in lab.folder.glob(f"{name}.writes-*")} == {f"{name}.writes-0"}
    assert f"PreTrainedModel {lab.out(name)}\n" in (lab.folder / f"{name}.writes-0").read_text()


NO_GPU = """
import ray.train

whole = ray.train.ScalingConfig
ray.train.ScalingConfig = lambda **told: whole(**{**told, "use_gpu": False, "resources_per_worker": {"CPU": 1}})
"""


@pytest.mark.soak
def test_rays_launcher_trains_the_same(lab: Lab, trained: Any) -> None:
    """`axolotl train … --use-ray` with a cluster of this machine alone: nothing but the GPUs is another thing."""
    pytest.importorskip("ray.train.torch", reason="Ray's trainer is not installed: pip install 'ray[train]'")
    (lab.folder / "no_gpu_plugin.py").write_text(NO_GPU)
    path = recipe(lab, "ray", 0, kormo={"plugins": ["trace_plugin", "no_gpu_plugin"]})
    done = lab.axolotl(
        "train", str(path), "--use-ray", "--ray-num-workers=2", OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0",
        KORMO_ROWS=str(path.with_suffix(".rows")),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    check_rows(lab, path, range(STEPS))
    assert losses(lab, "ray") == pytest.approx(trained_alone(lab), rel=1e-5)
    same_model(lab, "ray", "base")


@pytest.mark.soak
@pytest.mark.parametrize("stage", [2, 3])
def test_offloading_is_the_same_run(lab: Lab, trained: Any, stage: int) -> None:
    """DeepSpeed compiles its CPU Adam here, as on a GPU's host; then killed, and gone on from the checkpoint."""
    if shutil.which("g++") is None:
        pytest.skip("DeepSpeed's CPU Adam is compiled by g++, and there is none")
    name = f"zero{stage}-offload"
    path = recipe(lab, name, stage, deepspeed=str(CONFIGS / f"zero{stage}_offload.json"))
    extensions = {"TORCH_EXTENSIONS_DIR": str(lab.folder / "extensions")}
    finish(torchrun(lab, path, **extensions), path)
    check_rows(lab, path, range(STEPS))
    cut_back(lab, name, 4)
    finish(torchrun(lab, path, **extensions), path)
    assert '{"event": "resume", "step": 4' in (lab.out(name) / "metrics.jsonl").read_text()
    assert losses(lab, name) == pytest.approx(trained_alone(lab), rel=1e-5)
    # Another Adam: a step of it is torch's to 2e-7, and eight of a rate of 0.01 made 3e-5 of that.
    same_model(lab, name, "base", within=1e-4)


@pytest.mark.soak
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bfloat16_has_float32_masters_on_every_rank(lab: Lab, trained: Any, stage: int) -> None:
    """The check after the first step stops a run whose tensors differ; the checkpoint shows the masters themselves."""
    precision = {"weights": "bfloat16", "compute": "bfloat16", "master": "float32", "optimizer": "float32"}
    path = recipe(lab, f"bf16-{stage}", stage, kormo={"precision": precision}, max_steps=4)
    finish(torchrun(lab, path), path)
    newest, plain = lab.out(f"bf16-{stage}") / "checkpoint-4", lab.folder / f"plain-{stage}"
    if stage == 1:
        with pytest.raises(KormoError, match="ZeRO-1 in bfloat16"):
            consolidate(newest, plain)
        return
    done = subprocess.run(
        ["kormo", "checkpoint", "consolidate", str(newest), str(plain), "--json"], env=lab.environ(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["compared"] == found["weights"] > 0
    weights = load_file(plain / "model.safetensors")
    assert all(str(value.dtype) == "torch.float32" for value in weights.values())
    assert any((value.bfloat16().float() != value).any() for value in weights.values()), "these are no masters"
    assert fault(plain) is None
