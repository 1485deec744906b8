"""Canaries: every private symbol that we touch exists and has the shape that we rely on."""

from __future__ import annotations

import importlib
import inspect

import pytest

from kormo_plugins.training.compat import cpu_ranks
from kormo_plugins.training.compat.upstream import DEEPSPEED_TOUCHED, TOUCHED, no_batch_skipping


@pytest.mark.parametrize("name", sorted({**TOUCHED, **DEEPSPEED_TOUCHED}))
def test_it_is_there(name: str) -> None:
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_run_epoch_gets_what_the_sampler_needs() -> None:
    from transformers import Trainer

    wanted = {"epoch", "epochs_trained", "steps_trained_in_current_epoch", "resume_from_checkpoint"}
    assert wanted <= set(inspect.signature(Trainer._run_epoch).parameters)
    assert "skip_first_batches" in inspect.getsource(Trainer._run_epoch)


def test_prepare_backend_takes_a_backend() -> None:
    from accelerate import PartialState

    assert list(inspect.signature(PartialState._prepare_backend).parameters)[1:] == [
        "cpu", "sagemaker_dp", "backend",
    ]  # fmt: skip


def test_skipping_is_off_inside_only() -> None:
    import transformers.trainer as module

    original = module.skip_first_batches
    with no_batch_skipping():
        assert module.skip_first_batches("loader", 5) == "loader"
    assert module.skip_first_batches is original


def test_ranks_on_cpus_ask_nothing_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch built for CUDA, on a machine without a driver, ends every rank where Axolotl asks about peers."""
    import torch
    from axolotl.utils import environment, trainer

    def no_driver(*devices: int) -> bool:
        raise RuntimeError("Found no NVIDIA driver on your system.")

    monkeypatch.setattr(torch.cuda, "can_device_access_peer", no_driver)
    monkeypatch.setattr(environment, "check_cuda_p2p_support", environment.check_cuda_p2p_support)  # restored after
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    if environment.check_cuda_p2p_support.__name__ != "<lambda>":  # not yet mended in this process
        with pytest.raises(RuntimeError, match="driver"):
            trainer.check_cuda_p2p_ib_support()
    cpu_ranks._ask_no_gpu_about_peers()
    assert trainer.check_cuda_p2p_ib_support()
