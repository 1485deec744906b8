"""Packing of preference pairs: the texts of a micro-batch in few rows without padding, with TRL's loss.

TRL pads every text of a micro-batch to the longest one, and also computes logits of prompts and padding. Here the texts
are packed into rows, separated by restarting positions, and logits are only computed for answers:

    padded   [chosen 1 . . . . . .]        packed   [chosen 1|rejected 1|padding]
             [rejected 1 . . . . .]                 [a long chosen 2 ...........]
             [a long chosen 2 .....]                logits only before the tokens of answers
             [rejected 2 . . . . .]

With variable-length attention all texts share one row; with dense masks a row is as long as the longest text, so that
no mask is larger than TRL's. TRL gets the answers' part of its batch without the prompts: its loss, of any type, and
its metrics are sums over answers, so they are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def places(lengths: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Row and start of each text, by best-fit decreasing.

    Args:
        lengths: tokens of each text, at most `width`.
        width: tokens of a row.
    """
    free: list[int] = []
    positions = [(0, 0)] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        rooms = [(room, row) for row, room in enumerate(free) if room >= lengths[index]]
        if rooms:
            room, row = min(rooms)
        else:
            room, row = width, len(free)
            free.append(width)
        positions[index] = (row, width - room)
        free[row] = room - lengths[index]
    return positions


@dataclass(frozen=True)
class PackedPairs:
    """A packed batch of TRL's collator.

    Args:
        inputs: of the model: `input_ids`, `position_ids` int64 [rows, width], `logits_to_keep` int64 [columns]; for one
            row also the boundaries of its texts (`kernels/varlen_attention.py`).
        answers: input of TRL's loss: its batch with `input_ids` and `completion_mask` [texts, 1 + longest answer].
        source: rows and columns of the kept logits, int64 [2, predictions].
        target: texts and columns in `answers` from which they predict, int64 [2, predictions].
    """

    inputs: dict[str, object]
    answers: dict[str, torch.Tensor]
    source: Tensor
    target: Tensor

    def logits(self, kept: Tensor) -> Tensor:
        """Logits [texts, 1 + longest answer, vocabulary] of kept ones [rows, columns, vocabulary]; 0 elsewhere."""
        texts, places = self.answers["input_ids"].shape
        out = kept.new_zeros(texts, places, kept.shape[-1])
        return out.index_put((self.target[0], self.target[1]), kept[self.source[0], self.source[1]])

    def of(self, model: Callable[..., object]) -> Callable[..., object]:
        """Wraps the model for TRL: runs it on the packed rows, and returns the logits of `answers`."""

        def call(**others: object) -> object:
            """The forward pass on the packed rows; its logits are unpacked to [texts, answer]."""
            kept = {key: value for key, value in others.items() if key not in ("input_ids", "attention_mask")}
            outputs: Any = model(**kept, **self.inputs)
            outputs.logits = self.logits(outputs.logits)
            return outputs

        return call


def packed(batch: dict[str, torch.Tensor], *, one_row: bool) -> PackedPairs:
    """Packs a batch.

    Args:
        batch: of TRL's collator: `input_ids`, `attention_mask`, `completion_mask` int64 [texts, length], padded on the
            right, and other inputs of the loss.
        one_row: attention takes boundaries instead of a mask, so a row may be as long as all texts together.
    """
    ids, answer = batch["input_ids"], batch["completion_mask"]
    device = ids.device
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    counts = answer.sum(dim=1).tolist()
    width = sum(lengths) if one_row else max(lengths)
    where = places(lengths, width)
    rows = 1 + max(row for row, _ in where)
    into = torch.zeros(rows, width, dtype=ids.dtype)
    positions = torch.zeros(rows, width, dtype=torch.int64)
    used = [0] * rows
    ids_on_cpu = ids.cpu()
    source: list[Tensor] = []
    target: list[Tensor] = []
    firsts: list[int] = []
    for text, ((row, start), length, count) in enumerate(zip(where, lengths, counts, strict=True)):
        into[row, start : start + length] = ids_on_cpu[text, :length]
        positions[row, start : start + length] = torch.arange(length)
        used[row] = max(used[row], start + length)
        first = max(length - count, 1) - 1  # the token before the answer predicts its first one
        firsts.append(first)
        step = torch.arange(length - 1 - first)
        source.append(torch.stack([torch.full_like(step, row), start + first + step]))
        target.append(torch.stack([torch.full_like(step, text), step]))
    for row, end in enumerate(used):
        positions[row, end:] = torch.arange(width - end)
    come_from, go_to = torch.cat(source, dim=1), torch.cat(target, dim=1)
    columns, inverse = torch.unique(come_from[1], return_inverse=True)
    inputs: dict[str, object] = {
        "input_ids": into.to(device),
        "position_ids": positions.to(device),
        "logits_to_keep": columns.to(device),
    }
    if one_row:
        borders = torch.tensor([*sorted(start for _, start in where), width], dtype=torch.int32, device=device)
        longest_text = max(lengths)
        inputs |= dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), borders)
        inputs |= dict.fromkeys(("max_length_q", "max_length_k"), longest_text)
    longest = max(length - first for length, first in zip(lengths, firsts, strict=True))
    at = torch.tensor(firsts, device=device)[:, None] + torch.arange(longest, device=device)
    inside = at < torch.tensor(lengths, device=device)[:, None]
    at = at.clamp(max=ids.shape[1] - 1)
    answers = {**batch, "input_ids": ids.gather(1, at) * inside, "completion_mask": answer.gather(1, at) * inside}
    return PackedPairs(inputs, answers, torch.stack([come_from[0], inverse]).to(device), go_to.to(device))
