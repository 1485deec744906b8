"""A crafted checkpoint runs nothing: not when it is consolidated, not when it is converted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.errors import KormoError
from kormo_plugins.training.checkpoints import consolidate, universal
from kormo_plugins.training.checkpoints.complete import mark_complete
from kormo_plugins.training.checkpoints.weights_only import weights_only


class Harm:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("command", ["consolidate", "universal"])
@pytest.mark.parametrize("place", ["optim", "model"])
def test_a_crafted_checkpoint_runs_nothing(tmp_path: Path, command: str, place: str) -> None:
    pytest.importorskip("deepspeed")
    folder, ran = tmp_path / "checkpoint-1", tmp_path / "ran"
    step = folder / "global_step1"
    step.mkdir(parents=True)
    (folder / "latest").write_text("global_step1")
    harm: dict[str, Any] = {"harm": Harm(ran)}
    part = {"zero_stage": 2, "partition_count": 1, "single_partition_of_fp32_groups": [torch.ones(2)]}
    good = {"optimizer_state_dict": part, "ds_config": {}}
    torch.save(harm if place == "optim" else good, step / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    torch.save(harm, step / "mp_rank_00_model_states.pt")
    mark_complete(folder, 1)
    with pytest.raises(KormoError, match="so it was not loaded"):
        if command == "consolidate":
            consolidate.consolidate(folder, tmp_path / "out")
        else:
            universal.convert(folder)
    assert not ran.exists() and not (tmp_path / "out").exists()


def test_what_deepspeed_itself_writes_is_read(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    written = {"stage": ZeroStageEnum(2), "scaler": LossScaler(1), "at": fragment_address(1, 2), "w": torch.ones(2)}
    torch.save(written, tmp_path / "a.pt")
    original = torch.load
    with weights_only(tmp_path):
        read = torch.load(tmp_path / "a.pt", weights_only=False)
    assert read["stage"] == 2 and read["at"] == fragment_address(1, 2) and torch.equal(read["w"], torch.ones(2))
    assert torch.load is original
