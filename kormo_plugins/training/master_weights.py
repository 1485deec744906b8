"""bfloat16 working weights with float32 masters in the optimizer, without DeepSpeed.

Autocast casts every float32 weight in each micro-batch and every gradient back. Here the model holds bfloat16, and the
optimizer float32 masters of the same parameters (Micikevicius et al. 2018, arXiv 1710.03740):

    backward      each gradient is added to the master's, in float32, once it is accumulated, and freed in the model
    clipping      over the masters' gradients; with several ranks they are averaged just before, in float32
    step          the optimizer updates the masters, which are rounded and copied to the model

So gradients of micro-batches are summed in float32, and updates that bfloat16 would round away are not lost. Masters
are saved with the optimizer's state (`master_weights`), so a resumed run is bit-identical.

DDP would reduce bfloat16 gradients, rounded per micro-batch; its own reduction is therefore disabled.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kormo_plugins.errors import KormoError

KEY = "master_weights"
"""Key of an optimizer's saved state: float32 tensors in the order of its parameter groups."""


class MasterWeights:
    """Inserts float32 masters between an optimizer and its parameters.

    Args:
        optimizer: newly created, without state; its groups contain the masters afterwards.
    Raises:
        KormoError: parameters that are sharded.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.working: list[Tensor] = []
        self.masters: list[nn.Parameter] = []
        self.loaded = False
        self._averaged = False
        self._wrapped: nn.Module | None = None
        for group in optimizer.param_groups:
            group["params"] = [self._master_of(parameter) for parameter in group["params"]]
        optimizer.master_weights = self.masters
        optimizer.register_step_post_hook(lambda *args: self.publish())
        optimizer.register_state_dict_post_hook(self._save)
        optimizer.register_load_state_dict_pre_hook(self._load)

    def _master_of(self, parameter: Tensor) -> nn.Parameter:
        if hasattr(parameter, "device_mesh"):
            raise KormoError(
                where="kormo.precision.master",
                found="parameters that are sharded over the ranks without DeepSpeed",
                why="each master weight must be on the same rank as the whole weight",
                do="use DeepSpeed, which shards master weights too, or set weights: float32 and master: null",
            )
        master = nn.Parameter(parameter.detach().to(torch.float32, copy=True))
        self.working.append(parameter)
        self.masters.append(master)

        def take(of: Tensor) -> None:
            """Moves a gradient to the float32 master once it is accumulated, and frees the parameter's own."""
            if of.grad is None:
                return
            if master.grad is None:
                master.grad = of.grad.float()
            else:
                master.grad.add_(of.grad)
            of.grad = None

        parameter.register_post_accumulate_grad_hook(take)
        return master

    def wrapped(self, model: nn.Module) -> None:
        """Call before a forward: disables the reduction of a model that was just wrapped in DDP; `average` does it."""
        if self._wrapped is model:
            return
        self._wrapped = model
        if isinstance(model, DistributedDataParallel):
            model.register_comm_hook(None, _keep)

    def average(self) -> None:
        """Averages the masters' gradients over the ranks, once per step."""
        if self._averaged or not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return
        self._averaged = True
        for master in self.masters:
            if master.grad is None:  # another rank may have one
                master.grad = torch.zeros_like(master)
        gradients = [master.grad for master in self.masters if master.grad is not None]
        sent = [dist.all_reduce(gradient, async_op=True) for gradient in gradients]
        for one in sent:
            one.wait()
        torch._foreach_div_(gradients, dist.get_world_size())

    def clip(self, norm: float) -> Tensor:
        """Clips the masters' gradients to a norm; returns the norm before clipping."""
        self.average()
        return nn.utils.clip_grad_norm_(self.masters, norm)

    def publish(self) -> None:
        """Call after a step: copies the rounded masters to the model, and frees the gradients."""
        with torch.no_grad():
            torch._foreach_copy_(self.working, [master.detach() for master in self.masters])
        for master in self.masters:
            master.grad = None
        self._averaged = False

    def _save(self, optimizer: torch.optim.Optimizer, state: dict[str, list[Tensor]]) -> None:
        state[KEY] = [master.detach() for master in self.masters]

    def _load(self, optimizer: torch.optim.Optimizer, state: dict[str, list[Tensor]]) -> None:
        saved = state.pop(KEY, None)
        shapes = [tuple(master.shape) for master in self.masters]
        if saved is None or [tuple(one.shape) for one in saved] != shapes:
            raise KormoError(
                where="the checkpoint's optimizer state",
                found="no master weights" if saved is None else "master weights of another model",
                why="kormo.precision.master requires them; resuming from the rounded weights would be a different run",
                do="resume with the precision with which the run started, or start a new one with kormo.from_run",
            )
        with torch.no_grad():
            for master, one in zip(self.masters, saved, strict=True):
                master.copy_(one)
        self.loaded = True


def _keep(state: None, bucket):  # type: ignore[no-untyped-def]
    """A communication hook without communication: `bucket` (dist.GradBucket) to a completed future of its buffer. Not
    annotated, since DDP does not accept annotations that are strings."""
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


def not_loaded(checkpoint: str) -> KormoError:
    """The error of an optimizer that loaded its state without the masters."""
    return KormoError(
        where=checkpoint,
        found="an optimizer that loads its state without calling hooks",
        why="the master weights were not loaded, so the run would continue from rounded ones",
        do="use an optimizer of torch, or set weights: float32, compute: bfloat16, master: null",
    )
