"""bfloat16 working weights with float32 masters in the optimizer, without DeepSpeed.

Autocast casts every float32 weight in each micro-batch and every gradient back. Here the model holds bfloat16, and the
optimizer float32 masters of the same parameters (Micikevicius et al. 2018, arXiv 1710.03740):

    backward      each gradient is added to the master's, in float32, as soon as it is whole, and leaves the model
    clipping      over the masters' gradients; with several ranks they are averaged just before, in float32
    step          the optimizer, whichever it is, updates the masters; the model gets them rounded

So gradients of micro-batches are summed in float32, and an update that bfloat16 would round away is kept. Masters are
saved with the optimizer's state (`master_weights`), and a resumed run goes on from them to the bit.

DDP would send bfloat16 gradients, and each micro-batch's sum rounded; its own sending is therefore left out.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kormo_plugins.errors import KormoError

KEY = "master_weights"
"""Of an optimizer's saved state: float32 tensors in the order of its parameter groups."""


class MasterWeights:
    """Puts float32 masters between an optimizer and the parameters that it was made for.

    Args:
        optimizer: just made, with no state yet; its groups hold the masters from now on.
    Raises:
        KormoError: parameters that a rank holds only a part of.
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
                found="parameters that are divided among the ranks without DeepSpeed",
                why="each master must be whole beside its weight",
                do="use DeepSpeed, which divides masters too, or set weights: float32 and master: null",
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
        """Before a forward: a model that was just wrapped in DDP is kept from sending what `average` sends."""
        if self._wrapped is model:
            return
        self._wrapped = model
        if isinstance(model, DistributedDataParallel):
            model.register_comm_hook(None, _keep)

    def average(self) -> None:
        """Averages the masters' gradients over the ranks, once for each step."""
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
        """Clips the masters' gradients to a norm, in one pass; returns the norm before."""
        self.average()
        return nn.utils.clip_grad_norm_(self.masters, norm)

    def publish(self) -> None:
        """After a step: the model gets the masters, rounded, and the gradients go."""
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
                why="kormo.precision.master asks for them; from the rounded weights this would be another run",
                do="resume with the precision that the run was begun with, or begin a new one with kormo.from_run",
            )
        with torch.no_grad():
            for master, one in zip(self.masters, saved, strict=True):
                master.copy_(one)
        self.loaded = True


def _keep(state: None, bucket):  # type: ignore[no-untyped-def]
    """A communication hook that sends nothing: `bucket` (dist.GradBucket) to a finished future of its buffer. DDP
    refuses annotations that are text, as all of this module are."""
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


def not_loaded(checkpoint: str) -> KormoError:
    """What to say when an optimizer read its state and passed the masters over."""
    return KormoError(
        where=checkpoint,
        found="an optimizer that reads its state without its hooks",
        why="the master weights were not read, so the run would go on from rounded ones",
        do="use an optimizer of torch, or set weights: float32, compute: bfloat16, master: null",
    )
