"""Which DeepSpeed checkpoint which job can go on from, and what universal loading leaves right."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kormo_plugins.errors import KormoError
from kormo_plugins.training.checkpoints.sharded import Shards, check_resume, shards_of
from kormo_plugins.training.checkpoints.universal import own_settings, own_steps


def _written(folder: Path, stage: int, ranks: int, universal: str = "") -> Path:
    """The files of a DeepSpeed checkpoint, empty."""
    step = folder / "global_step4"
    step.mkdir(parents=True)
    (folder / "latest").write_text("global_step4")
    for rank in range(ranks):
        (step / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
        (
            step / (f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt" if stage == 3 else "mp_rank_00_model_states.pt")
        ).touch()
    if universal:
        (folder / universal).mkdir()
        (folder / "latest_universal").write_text(universal)
    return folder


def test_what_a_checkpoint_holds(tmp_path: Path) -> None:
    assert shards_of(tmp_path) is None
    two = _written(tmp_path / "two", 2, 2)
    assert shards_of(two) == Shards(two / "global_step4", 2, partitioned_weights=False, universal=False)
    three = _written(tmp_path / "three", 3, 4, "global_step4_universal")
    assert shards_of(three) == Shards(three / "global_step4", 4, partitioned_weights=True, universal=True)
    killed = shards_of(_written(tmp_path / "killed", 3, 4, "global_step4_universal.partial"))
    assert killed is not None and not killed.universal, "a conversion that was killed counts as none"


@pytest.mark.parametrize(
    ("wrote", "stage", "world", "told"),
    [
        ((2, 2), 2, 2, None), ((1, 2), 2, 2, None), ((3, 2), 3, 2, None), (None, None, 4, None),
        ((2, 2), 2, 4, "kormo checkpoint universal"), ((3, 1), 3, 2, "kormo checkpoint universal"),
        ((2, 2), 3, 2, "ZeRO-1 or ZeRO-2"), ((3, 2), 2, 2, "ZeRO-3"), ((2, 2), None, 2, "consolidate"),
        (None, 2, 2, "same `deepspeed:`"),
    ],
)  # fmt: skip
def test_who_can_go_on(
    tmp_path: Path, wrote: tuple[int, int] | None, stage: int | None, world: int, told: str | None
) -> None:
    folder = _written(tmp_path / "c", *wrote) if wrote else tmp_path
    if told is None:
        return check_resume(folder, stage, world)
    with pytest.raises(KormoError) as error:
        check_resume(folder, stage, world)
    assert told in error.value.do


def test_groups_get_their_own_settings_back() -> None:
    fresh = [{"weight_decay": 0.1, "lr": 0.0, "initial_lr": 1e-2}, {"weight_decay": 0.0, "lr": 0.0, "initial_lr": 2e-2}]
    groups = [{"params": [], "weight_decay": 0.1, "lr": 5e-3, "initial_lr": 1e-2} for _ in range(2)]
    own_settings(groups, fresh)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [group["lr"] for group in groups] == [5e-3, 1e-2], "half way down the schedule, each from its own peak"


def test_steps_are_counted_once_each() -> None:
    shared = torch.tensor(4.0)
    state = {"a": {"step": shared}, "b": {"step": shared}, "c": {}}
    own_steps(SimpleNamespace(state=state))
    for entry in (state["a"], state["b"]):
        entry["step"] += 1
    assert state["a"]["step"] == state["b"]["step"] == 5
