"""Parameter groups: which parameters are decayed, and their learning rates.

KORMo applies weight decay to everything except RMSNorm weights and input embeddings, including lm_head (`trainer.py` of
the published code). Trainer's rule decays embeddings; Axolotl's, with a custom optimizer or learning rate groups, does
not decay lm_head. The rule here is used for both ways of creating an optimizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kormo_plugins.training.settings import Decay

if TYPE_CHECKING:
    import torch
    from torch import nn


def decayed_parameters(model: nn.Module, decay: Decay) -> list[str]:
    """Names of the parameters with weight decay, in the model's order.

    A norm is any module whose class name ends in `Norm`, so that a fused replacement (LigerRMSNorm) counts too.
    """
    from torch import nn

    names = []
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        norm = type(module).__name__.endswith("Norm")
        embedding = isinstance(module, nn.Embedding)
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:  # tied to an earlier parameter
                continue
            seen.add(id(parameter))
            if norm:
                wanted = decay.norms
            elif embedding:
                wanted = decay.embeddings
            elif name.endswith("bias"):
                wanted = decay.biases
            else:
                wanted = True
            if wanted:
                names.append(f"{prefix}.{name}" if prefix else name)
    return names


def parameter_groups(
    named_parameters: Iterable[tuple[str, torch.Tensor]],
    decayed: Iterable[str],
    weight_decay: float,
    learning_rate: float,
    embedding_learning_rate: float | None = None,
    groups: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, object]]:
    """Optimizer groups, one for each pair (decay, learning rate) that occurs, largest decay first.

    Args:
        named_parameters: names and parameters; those without a gradient are ignored.
        decayed: names of the parameters with weight decay.
        embedding_learning_rate: rate of `embed_tokens` and `lm_head`, if different.
        groups: Axolotl's `lr_groups`: mappings with `modules` (parts of a name) and `lr`; the first match wins.
    """
    wanted = set(decayed)
    made: dict[tuple[float, float], list[torch.Tensor]] = {}
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        rate = next((float(g["lr"]) for g in groups if any(part in name for part in g["modules"])), None)
        if rate is None and embedding_learning_rate is not None and ("embed_tokens" in name or "lm_head" in name):
            rate = embedding_learning_rate
        key = (weight_decay if name in wanted else 0.0, learning_rate if rate is None else rate)
        made.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": key[0], "lr": key[1]}
        for key, parameters in sorted(made.items(), key=lambda item: item[0], reverse=True)
    ]
