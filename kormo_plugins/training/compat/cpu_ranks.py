"""Patches for several ranks on a machine without an accelerator, with gloo.

accelerate, Axolotl and DeepSpeed assume that ranks have GPUs. Without these patches, two CPU ranks silently train two
separate models, or shard the model and read the same rows. They are applied only if there is no accelerator, and tests
assert the sample ids that each rank reads.
"""

from __future__ import annotations

import os
import socket
import sys

from kormo_plugins.training.compat.build_lock import tell_of_waiting

DEVICE_MAP = {"": "cpu"}
"""Axolotl sets this to LOCAL_RANK, which names a GPU."""


def world_size() -> int:
    """Number of ranks of this job."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def has_accelerator() -> bool:
    """Whether torch sees a GPU or another accelerator."""
    import torch

    return bool(torch.accelerator.is_available())


def use_all_cores() -> int:
    """Makes a single process on a machine without an accelerator use every core; returns the number of threads.

    accelerate's launcher sets OMP_NUM_THREADS=1, which halves the speed on two cores. `KORMO_CPU_THREADS` sets
    another number. With several ranks, the launcher's setting is kept.
    """
    import torch

    if world_size() == 1 and not has_accelerator():
        torch.set_num_threads(int(os.environ.get("KORMO_CPU_THREADS", 0)) or len(os.sched_getaffinity(0)))
    return torch.get_num_threads()


def prepare(deepspeed: bool) -> bool:
    """Makes ranks on CPUs work; returns whether anything was patched. Idempotent.

    Args:
        deepspeed: the recipe names a DeepSpeed configuration.
    """
    if deepspeed:
        tell_of_waiting()
    if has_accelerator() or (world_size() == 1 and not deepspeed):
        return False
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # a resumed optimizer state would be tagged cpu:0 otherwise
    _default_to_gloo()
    _ask_no_gpu_about_peers()
    if deepspeed:
        # accelerate does not enable DeepSpeed for a state with `cpu=True`: it would train with plain DDP.
        os.environ.pop("ACCELERATE_USE_CPU", None)
        os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
        _deepspeed_on_gloo()
        _allow_bfloat16()
        return True
    os.environ["ACCELERATE_USE_CPU"] = "true"
    if world_size() > 1:
        from accelerate import PartialState

        PartialState(cpu=True)
    return True


def _default_to_gloo() -> None:
    from accelerate import PartialState

    original = PartialState._prepare_backend
    if getattr(original, "_kormo", False):
        return

    def prepare_backend(
        self: object, cpu: bool = False, sagemaker_dp: bool = False, backend: str | None = None
    ) -> object:
        """accelerate's method, with gloo as the default backend."""
        return original(self, cpu, sagemaker_dp, backend or "gloo")

    prepare_backend._kormo = True  # type: ignore[attr-defined]
    PartialState._prepare_backend = prepare_backend


def _ask_no_gpu_about_peers() -> None:
    """Skips Axolotl's check of GPU peer access: it handles the AssertionError of a torch built for CPUs, but not the
    RuntimeError of a torch built for CUDA without a driver."""
    import axolotl.utils.environment as module

    module.check_cuda_p2p_support = lambda: True


def _deepspeed_on_gloo() -> None:
    import torch

    if world_size() == 1:  # Axolotl starts NCCL here
        for key, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1")):
            os.environ.setdefault(key, value)
        os.environ.setdefault("MASTER_PORT", str(_free_port()))
    import deepspeed.comm

    if not deepspeed.comm.is_initialized():
        deepspeed.comm.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)
    backend = sys.modules["deepspeed.comm.torch"].TorchBackend
    original = backend.all_gather_into_tensor
    if getattr(original, "_kormo", False):
        return

    def all_gather_into_tensor(self: object, *args: object, **kwargs: object) -> object:
        """DeepSpeed's method without gradients."""
        with torch.no_grad():  # torch 2.13's gloo splits its output, which autograd refuses for a view
            return original(self, *args, **kwargs)

    all_gather_into_tensor._kormo = True  # type: ignore[attr-defined]
    backend.all_gather_into_tensor = all_gather_into_tensor


def _allow_bfloat16() -> None:
    """Allows bfloat16 on CPUs, which transformers only does for a state with `cpu=True`."""
    import transformers.training_args as module

    module.is_torch_bf16_gpu_available = lambda: True


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
