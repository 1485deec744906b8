"""`optimizer: muon`: torch's Muon for the matrices of the layers, torch's AdamW for everything else, as one optimizer.

Muon (Jordan et al. 2024) orthogonalizes the momentum of a matrix by five Newton-Schulz steps; scaled by
0.2·√max(rows, columns) its update has the size of AdamW's, so that learning rate and weight decay are AdamW's (Liu et
al. 2025, arXiv 2502.16982). Embeddings, output layer, norms and what is no matrix (stacked experts) stay with AdamW.

Axolotl's own form leaves norms out of training, decays embeddings and looks for its parameters by identity, which
masters in float32 do not survive; so this one takes its place. With several ranks each takes the whole step: the
gradients are averaged, and the same step is taken everywhere. ZeRO and FSDP, which give no rank a whole matrix, are
refused (`recipe/checks/devices/speed_rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from kormo_plugins.errors import KormoError

NAME = "muon"
"""The value of `optimizer`."""

Group = dict[str, Any]


def matrices(model: nn.Module) -> set[int]:
    """Ids of the parameters that Muon updates: two-dimensional, and of no embedding and no output layer."""
    ends: list[Any] = [
        getattr(model, name, lambda: None)() for name in ("get_input_embeddings", "get_output_embeddings")
    ]
    outside = {id(parameter) for end in ends if end is not None for parameter in end.parameters()}
    outside |= {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return {id(p) for p in model.parameters() if p.ndim == 2 and id(p) not in outside}


def of_groups(groups: Iterable[Mapping[str, Any]], chosen: set[int]) -> tuple[list[Group], list[Group]]:
    """Each group in two: the matrices that are chosen, and the rest; what is empty is left out."""
    ours: list[Group] = []
    others: list[Group] = []
    for group in groups:
        for into, inside in ((ours, True), (others, False)):
            parameters = [p for p in group["params"] if (id(p) in chosen) is inside]
            if parameters:
                into.append({**group, "params": parameters})
    return ours, others


class MuonAdamW(torch.optim.Optimizer):
    """Two optimizers of torch behind the face of one: their groups and their state are this one's.

    Args:
        muon, adamw: parameter groups with `lr` and `weight_decay`.
        betas, eps: AdamW's.
        options: Muon's `momentum`, `nesterov`, `ns_steps`.
    Raises:
        KormoError: a torch without Muon, or no matrix.
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
                why="Muon is torch's own, from 2.9 on" if muon else "it updates the matrices of the layers",
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
        """Hands groups and state to the parts: the same objects, whoever changes them."""
        start = 0
        for part, count in zip(self._parts, self._counts, strict=True):
            part.param_groups = self.param_groups[start : start + count]
            part.state = self.state
            start += count

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A step of each."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss
