"""A mixture of experts instead of each MLP: transformers' Mixtral block with KORMo's norms.

A token is routed to the `num_experts_per_tok` experts with the largest probabilities, whose outputs are weighted by
these probabilities divided by their sum (arXiv 2401.04088). So identical experts together compute the same as one of
them, which is how a dense model is upcycled (`upcycle.py`).

The load is balanced by Switch's loss (arXiv 2101.03961, eq. 4-6), computed per layer and averaged over layers:
E · Σ_e f_e · P_e, with f_e the share of assignments of expert e and P_e its mean probability; it is num_experts_per_tok
for a uniform load. (Mixtral's function pools the layers, so two layers may be unbalanced in opposite ways.) Padding is
ignored. A micro-batch is weighted by its share of the predicted tokens of the global batch, so that the weight of this
loss does not depend on accumulation or ranks; transformers adds it once per micro-batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.integrations.moe import use_experts_implementation
from transformers.models.mixtral import modeling_mixtral

from kormo_plugins.architecture.configuration import KORMoConfig
from kormo_plugins.architecture.modeling import KORMoDecoderLayer, KORMoForCausalLM, KORMoModel
from kormo_plugins.architecture.variants.configurations import KORMoMoeConfig
from kormo_plugins.architecture.variants.norms import RECORDED
from kormo_plugins.architecture.variants.terms import add_terms
from kormo_plugins.errors import KormoError

IGNORE = -100
BALANCE = "loss/load_balance"


@use_experts_implementation
class KORMoExperts(modeling_mixtral.MixtralExperts):
    """Mixtral's experts. Transformers requires the decorator in the module of a model with grouped matrix products."""


class Experts(KORMoExperts):
    """Experts that respect autocast: autocast does not cover torch's grouped product, so float32 weights would be
    multiplied in float32 regardless of the recipe's `compute`."""

    def forward(
        self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """[tokens, hidden] to the same shape, in autocast's dtype if enabled.

        Args:
            top_k_index, top_k_weights: experts of each token and their weights, [tokens, taken].
        """
        kind = hidden_states.device.type
        if not torch.is_autocast_enabled(kind):
            mixed: torch.Tensor = super().forward(hidden_states, top_k_index, top_k_weights)
            return mixed
        dtype = torch.get_autocast_dtype(kind)
        mixed = KORMoExperts.forward(_Cast(self, dtype), hidden_states.to(dtype), top_k_index, top_k_weights)  # type: ignore[arg-type]
        return mixed


class _Cast:
    """View of the experts with matrices cast to another dtype, for one forward pass."""

    def __init__(self, experts: KORMoExperts, dtype: torch.dtype) -> None:
        self._experts = experts
        self.gate_up_proj = experts.gate_up_proj.to(dtype)
        self.down_proj = experts.down_proj.to(dtype)

    def __getattr__(self, name: str) -> object:
        return getattr(self._experts, name)


class MoeBlock(modeling_mixtral.MixtralSparseMoeBlock):
    """Mixtral's block; stores the router's logits while `keep` is set."""

    def __init__(self, config: KORMoMoeConfig) -> None:
        nn.Module.__init__(self)
        self.gate = modeling_mixtral.MixtralTopKRouter(config)
        self.experts = Experts(config)  # type: ignore[arg-type]
        self.keep = False
        self.kept: torch.Tensor | None = None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """[batch, sequence, hidden] to the same shape; `keep` sets `kept`, float32 [batch · sequence, experts]."""
        flat = hidden_states.reshape(-1, hidden_states.shape[-1])
        logits, weights, chosen = self.gate(flat)
        if self.keep:
            self.kept = logits
        mixed: torch.Tensor = self.experts(flat, chosen, weights)
        return mixed.reshape(hidden_states.shape)


class KORMoMoeDecoderLayer(KORMoDecoderLayer):
    """KORMo's layer with a mixture of experts as its MLP."""

    def make_mlp(self, config: KORMoConfig) -> nn.Module:
        """The block."""
        return MoeBlock(config)  # type: ignore[arg-type]


class KORMoMoeModel(KORMoModel):
    """KORMo's body with mixtures of experts."""

    config_class = KORMoMoeConfig
    _no_split_modules = ["KORMoMoeDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {"hidden_states": KORMoMoeDecoderLayer, **RECORDED}  # noqa: RUF012
    layer_class = KORMoMoeDecoderLayer


class KORMoMoeForCausalLM(KORMoForCausalLM):
    """`kormo_moe` with its output layer."""

    config: KORMoMoeConfig
    config_class = KORMoMoeConfig
    _no_split_modules = ["KORMoMoeDecoderLayer"]  # noqa: RUF012
    body_class = KORMoMoeModel

    def forward(self, *args: object, **kwargs: Any) -> object:
        """As `LlamaForCausalLM.forward`; in training, with labels, the loss includes the load-balancing loss.

        `parts` of the outputs has `loss/load_balance`, weighted as in the loss of the step.

        Raises:
            KormoError: reentrant gradient checkpointing, with which the router gets no gradient of that loss.
        """
        labels = kwargs.get("labels")
        if labels is None or not self.training:
            return super().forward(*args, **kwargs)
        blocks: list[Any] = [layer.mlp for layer in self.model.layers]
        for block in blocks:
            block.keep = True
        try:
            outputs = super().forward(*args, **kwargs)
            logits = [block.kept for block in blocks]
        finally:
            for block in blocks:
                block.keep, block.kept = False, None
        if torch.is_grad_enabled() and blocks[0].gate.weight.requires_grad and not logits[0].requires_grad:
            raise KormoError(
                where="gradient_checkpointing_kwargs",
                found="use_reentrant: true, with a mixture of experts",
                why="the router would get no gradient of the load-balancing loss",
                do="set gradient_checkpointing_kwargs: {use_reentrant: false}",
            )
        counts = real_tokens(labels, kwargs.get("position_ids"))
        balance = load_balance(logits, self.config.num_experts_per_tok, counts)
        share = _share(labels, kwargs.get("num_items_in_batch"))
        return add_terms(outputs, {BALANCE: balance * share}, {BALANCE: self.config.router_aux_loss_coef})


def load_balance(logits: list[torch.Tensor], taken: int, counts: torch.Tensor) -> torch.Tensor:
    """Switch's loss, averaged over layers.

    Args:
        logits: of each layer's router, [tokens, experts].
        taken: experts per token.
        counts: bool [tokens], false for padding.
    """
    total = torch.zeros((), dtype=torch.float32, device=logits[0].device)
    for layer in logits:
        probabilities = torch.softmax(layer.float(), dim=-1)
        chosen = torch.topk(probabilities, taken, dim=-1).indices
        real = counts.to(layer.device)[:, None].float()
        used = torch.zeros_like(probabilities).scatter(1, chosen, 1.0) * real
        number = real.sum().clamp(min=1)
        share, mean = used.sum(0) / number, (probabilities * real).sum(0) / number
        total = total + layer.shape[-1] * (share * mean).sum().to(total.device)
    return total / len(logits)


def real_tokens(labels: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
    """Mask of the tokens that are not padding: bool [rows · tokens].

    Padding is the last segment of a row if none of it is predicted; a segment begins where positions restart. Without
    positions, no token counts as padding.

    Args:
        labels, positions: int64 [rows, tokens].
    """
    if positions is None:
        return torch.ones(labels.numel(), dtype=torch.bool, device=labels.device)
    segment = (positions.expand_as(labels) == 0).cumsum(dim=1)
    last = segment == segment[:, -1:]
    predicted = ((labels != IGNORE) & last).any(dim=1, keepdim=True)
    return (~last | predicted).flatten()


def _share(labels: torch.Tensor, count: Any) -> Any:
    """Share of this micro-batch in the predicted tokens of the global batch."""
    return 1.0 if count is None else (labels[:, 1:] != IGNORE).sum() / count
