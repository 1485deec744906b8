"""Canaries: every private symbol that we touch exists and has the shape that we rely on."""

from __future__ import annotations

import importlib
import inspect

import pytest

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
