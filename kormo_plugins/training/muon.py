"""`optimizer: muon`: torch's Muon for the matrices of the layers and torch's AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024) orthogonalizes the momentum of a matrix by five Newton-Schulz steps; scaled by
0.2·√max(rows, columns) its update has the size of AdamW's, so that learning rate and weight decay are AdamW's (Liu et
al. 2025, arXiv 2502.16982). Embeddings, output layer, norms and other shapes (stacked experts) use AdamW.

It replaces Axolotl's Muon, which does not train norms, decays embeddings, and finds its parameters by identity, which
is incompatible with float32 masters. With several ranks, which have equal averaged gradients, each orthogonalizes its
share of the matrices and broadcasts them, with bit-identical results; every rank has all momenta, so that a checkpoint
can be resumed with any number of ranks. ZeRO and FSDP, where no rank has a whole matrix, are refused
(`recipe/checks/devices/speed_rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kormo_plugins.errors import KormoError

NAME = "muon"
"""The value of `optimizer`."""

Group = dict[str, object]


def matrices(model: nn.Module) -> set[int]:
    """Ids of the parameters that Muon updates: two-dimensional, except embeddings and output layer."""
    ends: list[Any] = [
        getattr(model, name, lambda: None)() for name in ("get_input_embeddings", "get_output_embeddings")
    ]
    outside = {id(parameter) for end in ends if end is not None for parameter in end.parameters()}
    outside |= {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return {id(p) for p in model.parameters() if p.ndim == 2 and id(p) not in outside}


def of_groups(groups: Iterable[Mapping[str, Any]], chosen: set[int]) -> tuple[list[Group], list[Group]]:
    """Splits each group into the chosen matrices and the rest, without empty groups."""
    ours: list[Group] = []
    others: list[Group] = []
    for group in groups:
        for into, inside in ((ours, True), (others, False)):
            parameters = [p for p in group["params"] if (id(p) in chosen) is inside]
            if parameters:
                into.append({**group, "params": parameters})
    return ours, others


def owners(shapes: Sequence[tuple[int, ...]], ranks: int) -> list[int]:
    """The rank that orthogonalizes each matrix: the most expensive first, each to the least loaded rank.

    Args:
        shapes: of the matrices; an iteration multiplies (s, l) by (l, s), s being the shorter side.
        ranks: at least 1.
    """
    cost = [min(shape) ** 2 * max(shape) for shape in shapes]
    busy = [0] * ranks
    chosen = [0] * len(shapes)
    for index in sorted(range(len(shapes)), key=lambda i: (-cost[i], i)):
        rank = min(range(ranks), key=lambda r: (busy[r], r))
        chosen[index] = rank
        busy[rank] += cost[index]
    return chosen


class MuonAdamW(torch.optim.Optimizer):
    """Combines two torch optimizers in one, with shared groups and state.

    Args:
        muon, adamw: parameter groups with `lr` and `weight_decay`.
        betas, eps: AdamW's.
        options: Muon's `momentum`, `nesterov`, `ns_steps`.
    Raises:
        KormoError: torch has no Muon, or there is no matrix.
    """

    def __init__(
        self,
        muon: list[Group],
        adamw: list[Group],
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        **options: Any,
    ) -> None:
        if not hasattr(torch.optim, "Muon") or not muon:
            raise KormoError(
                where="optimizer",
                found=f"muon with torch {torch.__version__}" if muon else "muon, and no matrix to train",
                why="Muon is part of torch since 2.9" if muon else "it updates the matrices of the layers",
                do="install a newer torch, or set optimizer: adamw_torch_fused",
            )
        self._parts: list[torch.optim.Optimizer] = [torch.optim.Muon(muon, adjust_lr_fn="match_rms_adamw", **options)]
        if adamw:
            self._parts.append(torch.optim.AdamW(adamw, betas=betas, eps=eps, fused=True))
        self._counts = [len(part.param_groups) for part in self._parts]
        groups = [group for part in self._parts for group in part.param_groups]
        super().__init__(groups, {})
        self._share()

    def _share(self) -> None:
        """Shares groups and state with both optimizers, as the same objects."""
        start = 0
        for part, count in zip(self._parts, self._counts, strict=True):
            part.param_groups = self.param_groups[start : start + count]
            part.state = self.state
            start += count

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both optimizers."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        muon, *others = self._parts
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            self._shared_step(muon)
        else:
            muon.step()
        for part in others:
            part.step()
        return loss

    def _shared_step(self, muon: torch.optim.Optimizer) -> None:
        """Muon's step on this rank's matrices; receives the others from their ranks. Updates the momenta of all."""
        rank = dist.get_rank()
        matrices = [parameter for group in muon.param_groups for parameter in group["params"]]
        owner = dict(zip(matrices, owners([tuple(m.shape) for m in matrices], dist.get_world_size()), strict=True))
        whole = [group["params"] for group in muon.param_groups]
        for group in muon.param_groups:
            self._momenta([p for p in group["params"] if owner[p] != rank and p.grad is not None], group["momentum"])
            group["params"] = [parameter for parameter in group["params"] if owner[parameter] == rank]
        try:
            muon.step()
        finally:
            for group, parameters in zip(muon.param_groups, whole, strict=True):
                group["params"] = parameters
        sent = [dist.broadcast(matrix.detach(), src=owner[matrix], async_op=True) for matrix in matrices]
        for one in sent:
            one.wait()

    def _momenta(self, parameters: list[Tensor], momentum: float) -> None:
        """Updates the momenta of matrices of other ranks, with torch's arithmetic."""
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
            state["momentum_buffer"].lerp_(gradient, 1 - momentum)
