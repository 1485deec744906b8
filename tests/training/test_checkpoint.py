"""A checkpoint is whole, or it is not resumed from."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from kormo_plugins.errors import KormoError
from kormo_plugins.training.checkpoints.complete import (
    MARKER,
    checkpoints,
    entries,
    fault,
    file_names,
    mark_complete,
    rotate,
    set_aside_incomplete,
    write_marker,
)
from kormo_plugins.training.checkpoints.saving import _refuse_missing_ranks
from kormo_plugins.training.sampler import OffsetSampler
from kormo_plugins.training.telemetry.metrics import MetricsFile

from .harness import trainer


def _checkpoint(out: Path, step: int) -> Path:
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
        (folder / name).write_bytes(f"{name} {step}".encode() * 50)
    mark_complete(folder, step)
    return folder


@pytest.mark.parametrize("damage", ["unmarked", "missing", "truncated", "flipped", "marker", "empty"])
def test_the_newest_broken_one_is_set_aside_and_the_one_before_used(tmp_path: Path, damage: str) -> None:
    sound, broken = _checkpoint(tmp_path, 8), _checkpoint(tmp_path, 10)
    weights = broken / "model.safetensors"
    match damage:
        case "unmarked":
            (broken / MARKER).unlink()
        case "missing":
            (broken / "optimizer.pt").unlink()
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-1])
        case "flipped":
            weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
        case "marker":
            (broken / MARKER).write_text("{")
        case "empty":
            for file in broken.iterdir():
                file.unlink()
    said: list[str] = []
    assert set_aside_incomplete(tmp_path, said.append) == sound
    assert checkpoints(tmp_path) == [sound]
    assert (tmp_path / "checkpoint-10.incomplete").is_dir()
    assert len(said) == 1 and "checkpoint-10" in said[0]


def test_what_was_set_aside_is_no_checkpoint_to_axolotl_either(tmp_path: Path) -> None:
    """Killed again and again in the first save: there is nothing to go on from, whatever the folders are called."""
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.train import determine_last_checkpoint

    for _ in range(3):
        (tmp_path / "checkpoint-8").mkdir()
        assert set_aside_incomplete(tmp_path, lambda line: None) is None
    assert len(list(tmp_path.glob("checkpoint-8.incomplete*"))) == 3
    cfg = DictDefault({"output_dir": str(tmp_path), "auto_resume_from_checkpoints": True})
    assert determine_last_checkpoint(cfg) is None
    assert determine_last_checkpoint(cfg, update=False) is None


def test_nothing_whole_means_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()
    assert set_aside_incomplete(tmp_path, lambda line: None) is None
    assert set_aside_incomplete(tmp_path / "not-there", lambda line: None) is None


def test_real_checkpoints_are_marked_last_and_tell_the_truth(tmp_path: Path) -> None:
    made = trainer(4, 2, steps=4, out=str(tmp_path), save_strategy="steps", save_steps=2)
    made.kormo.__dict__["special"] = {"bos": 1, "eos": 2, "pad": 0}
    made.kormo.__dict__["generation"] = {"temperature": 0.5, "do_sample": True}
    made.train()
    found = checkpoints(tmp_path)
    assert [folder.name for folder in found] == ["checkpoint-2", "checkpoint-4"]
    for folder in found:
        assert fault(folder) is None
        listed = json.loads((folder / MARKER).read_text())["files"]
        assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"} <= set(listed)
        config = json.loads((folder / "config.json").read_text())
        assert config["use_cache"] is True and config["eos_token_id"] == 2
        generation = json.loads((folder / "generation_config.json").read_text())
        assert generation["temperature"] == 0.5 and generation["eos_token_id"] == 2 and generation["pad_token_id"] == 0


def test_resume_reads_no_earlier_sample_and_ends_bit_equal(tmp_path: Path) -> None:
    whole = trainer(4, 2, steps=6, out=str(tmp_path / "whole"))
    whole.train()
    half = trainer(4, 2, steps=6, out=str(tmp_path / "half"), save_strategy="steps", save_steps=3)
    half.train()
    again = trainer(4, 2, steps=6, out=str(tmp_path / "half"))
    again.train(resume_from_checkpoint=str(tmp_path / "half" / "checkpoint-3"))
    assert again.collator_seen[0] == 3 * 8, "resume fetched a sample that was trained on already"
    assert again.collator_seen[:24] == list(range(24, 48))
    for (name, one), (_, other) in zip(whole.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_the_sampler_counts_from_its_start() -> None:
    assert list(OffsetSampler(5, 3)) == [3, 4] and len(OffsetSampler(5, 3)) == 5
    with pytest.raises(ValueError, match="outside"):
        OffsetSampler(5, 6)


@pytest.mark.parametrize("file", ["optimizer.pt", "trainer_state.json"])
def test_a_full_disk_while_saving_is_named_and_the_last_whole_one_is_kept(tmp_path: Path, file: str) -> None:
    made = trainer(4, 2, steps=4, out=str(tmp_path), save_strategy="steps", save_steps=2)
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / file).symlink_to("/dev/full")  # a real device without space
    with pytest.raises(KormoError) as error:
        made.train()
    assert "no space left" in error.value.found
    assert set_aside_incomplete(tmp_path, lambda line: None) == tmp_path / "checkpoint-2"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A real file system of so many kilobytes (needs the right to mount one)."""
    mounted: list[Path] = []

    def mount(kilobytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]).returncode:
            pytest.skip("no right to mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a file that failed may still be open


def test_wherever_the_disk_becomes_full_it_is_named_and_nothing_whole_is_lost(
    tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    """Weights, optimizer, schedule, random state, configs, the marker: each is once what does not fit any more."""
    trainer(4, 2, steps=2, out=str(tmp_path), save_strategy="steps", save_steps=2).train()
    files = list((tmp_path / "checkpoint-2").iterdir())
    one = sum(-(-path.stat().st_size // 4096) * 4 for path in files)  # in whole pages
    for more in range(4, one, 40):
        out = small_disk(one + more)
        made = trainer(4, 2, steps=4, out=str(out), save_strategy="steps", save_steps=2)
        with pytest.raises(KormoError, match="no space left"):
            made.train()
        assert set_aside_incomplete(out, lambda line: None) == out / "checkpoint-2", more


def test_a_full_disk_at_the_end_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Axolotl saves the finished model when the trainer has returned; safetensors has an error of its own."""
    made = trainer(4, 2, steps=2, out=str(tmp_path))
    made.train()
    told = "Error while serializing: I/O error: No space left on device (os error 28)"

    def full(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError(told)

    monkeypatch.setattr("transformers.modeling_utils.safe_save_file", full)
    with pytest.raises(KormoError, match="no space left"):
        made.model.save_pretrained(tmp_path)
    with pytest.raises(SafetensorError, match="something else"):
        told = "something else"
        made.model.save_pretrained(tmp_path)


def test_a_full_disk_in_a_log_is_named(tmp_path: Path) -> None:
    log = MetricsFile(tmp_path)
    log.path.symlink_to("/dev/full")
    made = trainer(4, 2, steps=2, out=str(tmp_path))
    made.add_callback(log)
    with pytest.raises(KormoError, match="no space left"):
        made.train()


def test_rotation_spares_milestones_and_the_best(tmp_path: Path) -> None:
    for step in range(1, 8):
        folder = _checkpoint(tmp_path, step)
        if step in (2, 5):
            write_marker(folder, step, entries(folder, file_names(folder)), milestone=True)
    _checkpoint(tmp_path, 9)  # of a run that went further before
    removed = rotate(tmp_path / "checkpoint-7", 2, keep=[tmp_path / "checkpoint-1"])
    assert [folder.name for folder in removed] == ["checkpoint-3", "checkpoint-4"]
    assert [int(folder.name[11:]) for folder in checkpoints(tmp_path)] == [1, 2, 5, 6, 7, 9]
    assert rotate(tmp_path / "checkpoint-7", None) == []


def test_milestones_are_every_n_tokens_whatever_save_steps_says(tmp_path: Path) -> None:
    tokens = 8 * 32
    made = trainer(
        4, 2, steps=7, out=str(tmp_path), milestone_tokens=int(2.5 * tokens), save_strategy="steps", save_steps=3,
        save_total_limit=1,
    )  # fmt: skip
    made.train()
    # multiples of 2.5 steps are passed in steps 3, 5; of the rolling 6 and 7 (the last) one is left
    assert [int(folder.name[11:]) for folder in checkpoints(tmp_path)] == [3, 5, 7]
    assert all(fault(folder) is None for folder in checkpoints(tmp_path))
    listed = json.loads((tmp_path / "run.json").read_text())["milestones"]
    assert [(entry["step"], entry["tokens"]) for entry in listed] == [(3, 3 * tokens), (5, 5 * tokens)]


def test_older_ones_go_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    """Trainer would remove checkpoint-2 first; here a full disk during the second save leaves it."""
    made = trainer(4, 2, steps=4, out=str(tmp_path), save_strategy="steps", save_steps=2, save_total_limit=1)
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "trainer_state.json").symlink_to("/dev/full")
    with pytest.raises(KormoError):
        made.train()
    assert fault(tmp_path / "checkpoint-2") is None


def test_a_folder_that_ranks_do_not_share_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rng_state_0.pth").touch()
    with pytest.raises(KormoError, match="shared file system"):
        _refuse_missing_ranks(tmp_path, 2)
