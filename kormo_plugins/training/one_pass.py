"""One-pass loss of a causal language model, including the token losses (`kernels/one_pass_loss.py`).

A model's forward is only replaced if its code is known: states of the body, an output layer without bias, cross
entropy. These are Llama's forward, which KORMo inherits, those that transformers copies from it, and Liger's
replacement. All other models keep theirs, and the log recomputes the losses (`telemetry/loss_by_source.py`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import pad
from transformers.modeling_outputs import CausalLMOutputWithPast

from kormo_plugins.kernels.one_pass_loss import IGNORE, token_losses

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIGER = ("liger_kernel.transformers.model.llama", "lce_forward")
KNOWN = frozenset(
    {
        ("transformers.models.llama.modeling_llama", "LlamaForCausalLM.forward"),
        ("transformers.models.mistral.modeling_mistral", "MistralForCausalLM.forward"),
        ("transformers.models.qwen2.modeling_qwen2", "Qwen2ForCausalLM.forward"),
        ("transformers.models.qwen3.modeling_qwen3", "Qwen3ForCausalLM.forward"),
        LIGER,
    }
)
"""Module and name of the known forwards; a test compares their code."""


@dataclass
class TokenLossOutput(CausalLMOutputWithPast):
    """Output of a training forward: `loss`, and `token_losses` [rows, tokens], float32, each at the position of its
    target: 0 at a row's first token and where nothing is predicted."""

    token_losses: torch.Tensor | None = None


def forward_of(model: PreTrainedModel) -> tuple[str, str]:
    """Module and qualified name of the forward of a model's class, without decorators."""
    function = inspect.unwrap(type(model).forward)
    return function.__module__, function.__qualname__


def fits(model: PreTrainedModel) -> bool:
    """Whether the one-pass loss equals this model's loss."""
    if forward_of(model) not in KNOWN:
        return False
    head = model.get_output_embeddings()
    return type(head) is nn.Linear and head.bias is None


def installed(model: PreTrainedModel) -> bool:
    """Whether the model's training forward returns token losses."""
    return bool(getattr(model.forward, "tells_token_losses", False))


def install(model: PreTrainedModel) -> bool:
    """Replaces the model's training forward by the one-pass loss, if it fits; returns whether it did. Without labels,
    and in evaluation, the original forward is called."""
    if installed(model):
        return True
    if not fits(model):
        return False
    original = model.forward
    triton = forward_of(model) == LIGER

    @functools.wraps(inspect.unwrap(type(model).forward))
    def forward(self: PreTrainedModel, *args: object, **kwargs: Any) -> object:
        """Forward with the one-pass loss; the original forward outside of training and without
        labels."""
        if args or not self.training or kwargs.get("labels") is None:
            return original(*args, **kwargs)
        return one_pass(self, triton=triton, **kwargs)

    forward.tells_token_losses = True  # type: ignore[attr-defined]
    model.forward = MethodType(forward, model)
    return True


def one_pass(
    model: PreTrainedModel,
    *,
    labels: torch.Tensor,
    triton: bool,
    num_items_in_batch: torch.Tensor | int | None = None,
    logits_to_keep: object = 0,
    **inputs: object,
) -> TokenLossOutput:
    """Body, output layer and loss.

    Args:
        labels: int64 [rows, tokens]; the label at t is predicted from the tokens before t.
        triton: use Liger's row kernel.
        num_items_in_batch: divisor of the sum; None: the predicted tokens of these rows.
        logits_to_keep: ignored.
        inputs: of the body.
    """
    body: Callable[..., Any] = model.get_decoder()
    made = body(**inputs)
    states = made.last_hidden_state
    following = pad(labels, (0, 1), value=IGNORE)[:, 1:].to(states.device)
    count = num_items_in_batch if num_items_in_batch is not None else (following != IGNORE).sum()
    scale = 1.0 / torch.as_tensor(count, device=states.device)
    loss: object  # transformers says FloatTensor, which no float32 tensor of torch's is an instance of
    loss, losses = token_losses(
        states.flatten(0, 1), model.get_output_embeddings().weight, following.flatten(), scale, triton=triton
    )
    shifted = pad(losses.view_as(following), (1, 0))[:, :-1]
    summed: Any = loss  # transformers declares a FloatTensor
    return TokenLossOutput(loss=summed, token_losses=shifted, past_key_values=made.past_key_values)
