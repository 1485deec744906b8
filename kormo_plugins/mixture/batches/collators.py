"""Collates rows to a batch: `input_ids`, `labels` (models shift them), `position_ids`; each int64 [n, row_length].

`document_mask` isolates documents by restarting positions, and returns NO attention_mask: only then does transformers
derive the mask from the restarts (an all-ones mask silently disables that). With `cu_seqlens` the boundaries are passed
explicitly to backends that work on one long sequence (FlashAttention, varlen), because transformers finds restarts
there only for a batch of one row. `flex` gives the same isolation as a block mask; `causal` gives none.

The first token of a segment has no context. It is excluded from the loss unless `predict_first` is set, which predicts
it from the last token of the previous segment, as KORMo's published code does. For conversations the labels follow the
loss mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.mixture.batches import buffers, gather
from kormo_plugins.mixture.dataset import SampleRows
from kormo_plugins.mixture.params import CausalParams, CollatorParams, DocumentMaskParams


class DocumentMask:
    """Isolates documents by restarting positions."""

    restarts = True

    def __init__(self, params: CollatorParams) -> None:
        self.params = params
        self._ignore = np.array(params.ignore_tokens, np.int64)

    def __call__(self, rows: SampleRows | Sequence[Mapping[str, object]]) -> dict[str, object]:
        """A batch of tensors from the rows returned by a `MixtureDataset`, as a whole or one by one."""
        import torch

        batch = rows if isinstance(rows, SampleRows) else join(rows)
        labels = buffers.empty(batch.input_ids.shape)
        gather.fill_labels(
            batch.input_ids, batch.position_ids, batch.filled, self.params.predict_first, self._ignore, labels
        )
        if batch.trained is not None:
            labels[batch.trained == 0] = gather.IGNORE
        arrays = {"input_ids": batch.input_ids, "labels": labels, "position_ids": self.positions(batch)}
        if self.params.sources:
            arrays["sources"] = batch.source
        return {name: torch.from_numpy(array) for name, array in arrays.items()} | self.extra(batch)

    def positions(self, batch: SampleRows) -> NDArray[np.int64]:
        """Position of each token, int64 [n, row_length]."""
        return batch.position_ids

    def extra(self, batch: SampleRows) -> dict[str, object]:
        """Boundaries of the segments of the concatenated batch, int32 [segments + 1], if requested."""
        if not getattr(self.params, "cu_seqlens", False):
            return {}
        import torch

        borders = np.append(np.flatnonzero(batch.position_ids.reshape(-1) == 0), batch.input_ids.size)
        ends = torch.from_numpy(borders.astype(np.int32))
        longest = int(np.diff(borders).max())
        return {
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }


class Causal(DocumentMask):
    """No isolation: positions run through the row, and a document attends to those before it."""

    def positions(self, batch: SampleRows) -> NDArray[np.int64]:
        """0..row_length-1 in every row."""
        return np.tile(np.arange(batch.input_ids.shape[1], dtype=np.int64), (len(batch), 1))


class Flex(DocumentMask):
    """Isolates documents by a FlexAttention block mask (causal and same segment), passed as `attention_mask`."""

    def extra(self, batch: SampleRows) -> dict[str, object]:
        """The mask, for any number of heads; created on the CPU and moved by the trainer."""
        import torch
        from torch.nn.attention.flex_attention import create_block_mask

        segment = torch.from_numpy(np.cumsum(batch.position_ids == 0, axis=1))

        def same(row: torch.Tensor, head: torch.Tensor, query: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
            """Whether a query attends to a key: the key is not later and belongs to the same document."""
            return (query >= seen) & (segment[row, query] == segment[row, seen])

        count, length = batch.input_ids.shape
        return {"attention_mask": create_block_mask(same, count, None, length, length, device="cpu")}


def join(rows: Sequence[Mapping[str, Any]]) -> SampleRows:
    """Joins single rows, for example after a Trainer has removed columns. Without `filled`, labels of -100 throughout
    the last segment mark it as padding."""
    ids = np.stack([np.asarray(row["input_ids"], np.int64) for row in rows])
    positions = np.stack([np.asarray(row["position_ids"], np.int64) for row in rows])
    filled = [int(row["filled"]) if "filled" in row else _filled(row) for row in rows]
    sources = np.array([int(row.get("source", -1)) for row in rows])
    trained = np.stack([np.asarray(row["trained"], np.uint8) for row in rows]) if "trained" in rows[0] else None
    return SampleRows(ids, positions, np.array(filled, np.int64), sources, trained)


def _filled(row: Mapping[str, object]) -> int:
    labels = np.asarray(row["labels"])
    last = int(np.flatnonzero(np.asarray(row["position_ids"]) == 0)[-1])
    return last if (labels[last:] == gather.IGNORE).all() else len(labels)


def document_mask(params: DocumentMaskParams) -> DocumentMask:
    """The collator `document_mask`."""
    return DocumentMask(params)


def causal(params: CausalParams) -> Causal:
    """The collator `causal`."""
    return Causal(params)


def flex(params: CollatorParams) -> Flex:
    """The collator `flex`."""
    return Flex(params)
