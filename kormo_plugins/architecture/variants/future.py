"""Multi-token prediction: in training, the model also predicts tokens after the next one.

As in Gloeckle et al. 2024 (arXiv 2404.19737), independent heads of one transformer layer each are placed on a shared
trunk, and all share the final norm and the output layer. The trunk is layers 1 … L-1; layer L is the head of the next
token, and `future_tokens` further layers predict token t+2, t+3, … from the same states:

    loss = CE(t+1) + future_loss_weight · Σ_k CE(t+1+k)

Without these layers the model is a KORMo of L layers, which is used for generation, evaluation and export.
(DeepSeek-V3, arXiv 2412.19437, chains its heads and also feeds in the tokens in between; here they are parallel, as in
Gloeckle et al.)

A label is only used if it belongs to the same document as the token, i.e. positions increase by one in between. Each
loss is divided by the number of next tokens of the global batch, like the main one, so that the sum does not depend on
the split into micro-batches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kormo_plugins.architecture.configuration import KORMoConfig
from kormo_plugins.architecture.modeling import KORMoDecoderLayer, KORMoForCausalLM, KORMoModel
from kormo_plugins.architecture.variants.configurations import KORMoMtpConfig
from kormo_plugins.architecture.variants.norms import RECORDED
from kormo_plugins.architecture.variants.terms import add_terms

IGNORE = -100
CACHE = ("past_key_values", "use_cache")


class TappedDecoderLayer(KORMoDecoderLayer):
    """The last layer, which records its inputs.

    They are recorded in `__call__`, outside of gradient checkpointing, so that gradients reach the trunk.
    """

    tapped: tuple[torch.Tensor, dict[str, object]] | None = None
    tap: bool = False

    def __call__(self, hidden_states: torch.Tensor, **kwargs: object) -> object:
        """As the layer; stores its arguments while `tap` is set."""
        if self.tap:
            self.tapped = (hidden_states, kwargs)
        return super().__call__(hidden_states, **kwargs)


class KORMoMtpModel(KORMoModel):
    """KORMo's body with the additional layers of the later tokens."""

    config_class = KORMoMtpConfig
    _can_record_outputs = {"hidden_states": KORMoDecoderLayer, **RECORDED}  # noqa: RUF012
    _no_split_modules = ["KORMoDecoderLayer", "TappedDecoderLayer"]  # noqa: RUF012

    def __init__(self, config: KORMoMtpConfig) -> None:
        super().__init__(config)
        # A cache index that is never used: these layers do not generate.
        self.future_layers = nn.ModuleList(
            KORMoDecoderLayer(config, config.num_hidden_layers + number) for number in range(config.future_tokens)
        )
        self.post_init()

    def make_layer(self, config: KORMoConfig, layer_idx: int) -> nn.Module:
        """Creates a layer; the last one is a `TappedDecoderLayer`."""
        last = layer_idx == config.num_hidden_layers - 1
        return TappedDecoderLayer(config, layer_idx) if last else KORMoDecoderLayer(config, layer_idx)


class KORMoMtpForCausalLM(KORMoForCausalLM):
    """`kormo_mtp` with its output layer."""

    config: KORMoMtpConfig
    config_class = KORMoMtpConfig
    _no_split_modules = ["KORMoDecoderLayer", "TappedDecoderLayer"]  # noqa: RUF012
    body_class = KORMoMtpModel

    def forward(self, *args: object, **kwargs: Any) -> object:
        """As `LlamaForCausalLM.forward`; in training, with labels, the loss includes those of the later tokens.

        `parts` of the outputs has `loss/future_K` for each later token, weighted as in the loss of the step.
        """
        labels, positions = kwargs.get("labels"), kwargs.get("position_ids")
        if labels is None or not self.training:
            return super().forward(*args, **kwargs)
        last: Any = self.model.layers[-1]
        last.tap = True
        try:
            outputs = super().forward(*args, **kwargs)
            states, given = last.tapped
        finally:
            last.tap, last.tapped = False, None
        shared = {key: value for key, value in given.items() if key not in CACHE}
        count, parts = kwargs.get("num_items_in_batch"), {}
        for number, layer in enumerate(self.model.future_layers, 1):
            hidden = self.model.norm(layer(states, **shared))
            targets = later_labels(labels, positions, 1 + number)
            parts[f"loss/future_{number}"] = self._cross_entropy(hidden, targets, labels, count)
        weight = self.config.future_loss_weight
        return add_terms(outputs, parts, dict.fromkeys(parts, weight))

    def _cross_entropy(
        self, hidden: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor, count: Any
    ) -> torch.Tensor:
        """Summed cross entropy, divided by `count` or by the number of next tokens of this micro-batch."""
        if count is None:
            count = (labels[:, 1:] != IGNORE).sum().clamp(min=1)
        logits = self.lm_head(hidden).float().flatten(0, 1)
        summed = nn.functional.cross_entropy(
            logits, targets.flatten().to(logits.device), ignore_index=IGNORE, reduction="sum"
        )
        loss: torch.Tensor = summed / count
        return loss


def later_labels(labels: torch.Tensor, positions: torch.Tensor | None, distance: int) -> torch.Tensor:
    """Label of the token at `distance`, -100 if it is not in the same document.

    Args:
        labels: int64 [rows, tokens], unshifted, as from the collator.
        positions: int64 [rows, tokens], from 0 in each document; None: a row is one document.
        distance: 1 gives the labels of next-token prediction.
    Returns:
        int64 [rows, tokens].
    """
    later = torch.full_like(labels, IGNORE)
    if distance >= labels.shape[1]:
        return later
    later[:, :-distance] = labels[:, distance:]
    if positions is not None:
        counts_on = positions[:, distance:] == positions[:, :-distance] + distance
        later[:, :-distance].masked_fill_(~counts_on.to(later.device).expand_as(later[:, :-distance]), IGNORE)
    return later
