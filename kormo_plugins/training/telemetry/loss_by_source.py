"""The loss of a step by source and by language, measured without any effect on training.

A row is of one source, so the loss by source is the loss by row: S_s = Σ over rows r of source s of Σ over predicted
tokens t of −log p(t), and Σ_s S_s / Σ_s n_s is the step's loss itself. It is computed from the forward of the
training step:

* the model returned token losses (`one_pass.py`): they are summed by row, at no cost;
* the model returned logits: their log-softmax is computed again, row by row;
* a fused kernel returned neither: a hook keeps the inputs of the output layer, and its product is computed again, a
  chunk of tokens at a time. That is a third of the layer's own training cost.

This only happens on logged steps and without gradients, so training is bit-identical with and without it. Sums are
reduced over ranks, so every rank reports the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from kormo_plugins.training import one_pass
from kormo_plugins.training.compat import upstream

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORE = -100
"""Label of a token that is not predicted (torch's and transformers' convention)."""

CHUNK = 1024
"""Tokens whose logits are computed at a time: 0.5 GB in float32 for the 10B's vocabulary."""

Scores = Callable[[int, slice], torch.Tensor]
Reduce = Callable[[torch.Tensor], torch.Tensor]


@torch.no_grad()
def row_losses(labels: torch.Tensor, scores: Scores) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each row, summed over its predicted tokens, and their number: float64 [rows] both.

    Args:
        labels: int64 [rows, tokens]; the label at t is predicted from the tokens before t.
        scores: logits [tokens, vocabulary] of a row at a slice of positions.
    """
    targets = labels[:, 1:]
    sums = torch.zeros(len(labels), dtype=torch.float64, device=labels.device)
    for row in range(targets.shape[0]):
        for start in range(0, targets.shape[1], CHUNK):
            target = targets[row, start : start + CHUNK]
            logits = scores(row, slice(start, start + len(target))).float()
            sums[row] += cross_entropy(logits, target.to(logits.device), ignore_index=IGNORE, reduction="sum")
    return sums, (targets != IGNORE).sum(dim=1).double()


class LossBySource:
    """Collects the micro-batches of one step.

    Args:
        sources: names, indexed by the `sources` column of a batch.
        languages: the language of each.
    """

    def __init__(self, sources: Sequence[str], languages: Sequence[str]) -> None:
        self.sources, self.languages = tuple(sources), tuple(languages)
        self.measuring = False
        self._table: torch.Tensor | None = None
        self._states: torch.Tensor | None = None
        self._dtype: torch.dtype | None = None
        self._output_layer: Any = None

    def attach(self, model: PreTrainedModel) -> None:
        """Hooks the body of a causal language model without token losses, to keep the inputs of the output layer. A
        model without these parts is only measured by its logits."""
        if one_pass.installed(model) or not (hasattr(model, "get_decoder") and hasattr(model, "get_output_embeddings")):
            return
        self._output_layer = model.get_output_embeddings()
        model.get_decoder().register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, args: object, output: Any) -> None:
        if self.measuring and module.training:
            self._states = output[0].detach()
            kind = self._states.device.type
            on = torch.is_autocast_enabled(kind)
            self._dtype = torch.get_autocast_dtype(kind) if on else self._states.dtype

    def add(self, outputs: object, labels: torch.Tensor, sources: torch.Tensor) -> None:
        """Adds one micro-batch, just after its forward.

        Args:
            outputs: of the model, with or without `logits`.
            labels: int64 [rows, tokens].
            sources: int64 [rows], indices into the names of sources.
        """
        row_sums = self.rows(outputs, labels)
        if row_sums is None:
            return
        sums, counts = row_sums
        if self._table is None:
            self._table = torch.zeros(len(self.sources), 2, dtype=torch.float64, device=sums.device)
        self._table.index_add_(0, sources.to(sums.device), torch.stack([sums, counts], dim=1))

    def rows(self, outputs: object, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """`row_losses` of the last forward; None if it returned neither losses, logits nor states."""
        named = outputs if hasattr(outputs, "get") else {}
        losses, logits = named.get("token_losses"), named.get("logits")
        if losses is not None:
            return losses.double().sum(dim=1), (labels[:, 1:] != IGNORE).sum(dim=1).double()
        states, self._states = self._states, None
        if logits is not None:
            detached = logits.detach()
            return row_losses(labels, lambda row, part: detached[row, part])
        if states is None or self._output_layer is None:
            return None
        with torch.no_grad(), upstream.gathered([self._output_layer.weight]):
            weight = self._output_layer.weight.detach().to(self._dtype)
            cast = states.to(self._dtype)
            return row_losses(labels, lambda row, part: cast[row, part] @ weight.T)

    def collect(self, reduce: Reduce, device: torch.device) -> dict[str, float]:
        """Returns the step's values for the log, and resets.

        Args:
            reduce: sum over ranks; called on every rank.
        Returns:
            `batch_loss` (this step's alone), and for each source that the step has `loss/source/NAME` with
            `predicted/source/NAME`, the tokens that it is the mean of; `loss/language/CODE` likewise. Empty if
            nothing was collected on any rank.
        """
        table, self._table = self._table, None
        if table is None:
            table = torch.zeros(len(self.sources), 2, dtype=torch.float64, device=device)
        by_source = list(zip(self.sources, self.languages, reduce(table).tolist(), strict=True))
        total = [sum(values[part] for _, _, values in by_source) for part in (0, 1)]
        if not total[1]:
            return {}
        logs = {"batch_loss": total[0] / total[1]}
        for name, _, (loss, count) in by_source:
            if count:
                logs |= {f"loss/source/{name}": loss / count, f"predicted/source/{name}": int(count)}
        for code in dict.fromkeys(self.languages):
            loss, count = (sum(v[part] for _, language, v in by_source if language == code) for part in (0, 1))
            if count:
                logs[f"loss/language/{code}"] = loss / count
        return logs
