"""Prefill without repeated computation of shared prefixes and padding.

The prefix that all prompts of a batch share (a system prompt, few-shot examples) is computed once, for one row. The
rest is computed in parts of similar length. Keys and values are laid out as

    [shared beginning | padding | rest of the prompt | answer]

with room for the whole answer, so that a new token is written in place without a copy. Attention depends on the mask
and on the positions that the keys were rotated to, not on the index of a column.

Imported when a model is loaded; it imports torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

MIN_SHARED = 16
"""Minimum length of a shared prefix: an extra forward pass costs about as much as this many tokens."""
ROWS_OF_A_PART, FULL = 8, 0.9
"""A part is closed when it has this many rows and the next prompt is shorter than this share of its longest one."""


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer [rows, heads, columns, head size], preallocated for the answer."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.used = room, 0
        self.stores: list[torch.Tensor] = []

    def place(self, row: int, keys: torch.Tensor, values: torch.Tensor, shared: int, width: int, rows: int) -> None:
        """Copies the keys and values of some prompts: the `shared` prefix, then the rest right-aligned to `width`.

        Args:
            row: the first of these prompts.
            rows: of the whole batch.
        """
        if not self.stores:
            self.lazy_initialization(keys, values)
            self.stores = [one.new_empty(rows, one.shape[1], self.room, one.shape[3]) for one in (keys, values)]
        own, last = keys.shape[2] - shared, row + len(keys)
        for store, read in zip(self.stores, (keys, values), strict=True):
            store[row:last, :, :shared] = read[:, :, :shared]
            store[row:last, :, shared : width - own] = 0  # 0 times uninitialized memory may be NaN
            store[row:last, :, width - own : width] = read[:, :, shared:]
        self._show(width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends columns; returns all keys and all values."""
        end = self.used + key_states.shape[2]
        for store, new in zip(self.stores, (key_states, value_states), strict=True):
            store[:, :, self.used : end] = new
        return self._show(end)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps only these rows."""
        kept = [one.new_empty(len(indices), *one.shape[1:]) for one in self.stores]
        for store, before in zip(kept, self.stores, strict=True):
            store[:, :, : self.used] = before[:, :, : self.used].index_select(0, indices)
        self.stores = kept
        self._show(self.used)

    def _show(self, used: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.used = used
        keys, values = (store[:, :, :used] for store in self.stores)
        self.keys, self.values = keys, values
        return keys, values


@dataclass
class Read:
    """A prefilled batch of prompts.

    Args:
        logits: of the token after each prompt: [rows, vocabulary].
        cache: keys and values.
        mask: bool [rows, columns], for all preallocated columns: whether a column is attended to.
        positions: of the next token: [rows, 1].
        used: number of filled columns.
    """

    logits: torch.Tensor
    cache: DynamicCache
    mask: torch.Tensor
    positions: torch.Tensor
    used: int

    def step(self, model: PreTrainedModel, token: torch.Tensor) -> torch.Tensor:
        """Runs the model on one more token of each row, [rows]; returns the next logits."""
        self.used += 1
        mask = self.mask[:, : self.used]
        logits: torch.Tensor = model(
            input_ids=token[:, None],
            attention_mask=mask[:, None, None] if _takes_masks(model, self.cache) else mask.long(),
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self.positions = self.positions + 1
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Keeps only these rows."""
        self.cache.batch_select_indices(rows)
        self.mask, self.positions = self.mask[rows], self.positions[rows]


def read(model: PreTrainedModel, prompts: Sequence[Sequence[int]], new: int, pad: int) -> Read:
    """Prefills prompts, sorted longest first, and preallocates columns for the answers.

    Args:
        new: maximum tokens of an answer.
        pad: padding id.
    """
    width, cache = max(map(len, prompts)), DynamicCache(config=model.config)
    plain = all(type(layer) is DynamicLayer for layer in cache.layers)  # else sliding windows or recurrent states
    mask = torch.zeros((len(prompts), width + new), dtype=torch.bool)
    shared = _shared(prompts) if plain else 0
    for row, prompt in enumerate(prompts):
        mask[row, shared + width - len(prompt) :] = True
    mask[:, :shared] = True
    mask = mask.to(model.device)
    lengths = torch.tensor([[len(prompt)] for prompt in prompts], device=model.device)
    if not plain:
        logits = _read_part(model, prompts, mask[:, :width], cache, 0, pad)
        return Read(logits, cache, mask, lengths, width)
    roomy = [RoomyLayer(width + new) for _ in cache.layers]
    cache.layers = list(roomy)
    beginning = DynamicCache(config=model.config)
    if shared:
        _read_part(model, [prompts[0][:shared]], mask[:1, :shared], beginning, 0, pad)
    read_logits: list[torch.Tensor] = []
    for row, last in _parts([len(prompt) - shared for prompt in prompts]):
        part, gap = DynamicCache(config=model.config), width - len(prompts[row])
        for layer, known in zip(part.layers, beginning.layers if shared else (), strict=False):
            keys, values = (one.expand(last - row, -1, -1, -1) for one in _kept(known))
            assert isinstance(layer, DynamicLayer)
            layer.update(keys, values)
        seen = torch.cat([mask[row:last, :shared], mask[row:last, shared + gap : width]], dim=1)
        read_logits.append(_read_part(model, prompts[row:last], seen, part, shared, pad))
        for into, layer in zip(roomy, part.layers, strict=True):
            into.place(row, *_kept(layer), shared, width, len(prompts))
    return Read(torch.cat(read_logits), cache, mask, lengths, width)


def _kept(layer: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of an initialized layer."""
    assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
    return layer.keys, layer.values


def _read_part(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    mask: torch.Tensor,
    cache: DynamicCache,
    shared: int,
    pad: int,
) -> torch.Tensor:
    """Logits after the prompts, whose first `shared` tokens are already in the cache."""
    own = mask.shape[1] - shared
    ids = torch.full((len(prompts), own), pad)
    for row, prompt in enumerate(prompts):
        ids[row, own - (len(prompt) - shared) :] = torch.tensor(list(prompt[shared:]))
    positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, shared:]
    logits: torch.Tensor = model(
        input_ids=ids.to(model.device),
        attention_mask=mask.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    return logits


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix, 0 if too short to pay off; at least one token of each prompt is left out of it."""
    if len(prompts) < 2:
        return 0
    first, last = min(map(list, prompts)), max(map(list, prompts))  # extremes have the shortest prefix
    most = min(map(len, prompts)) - 1
    same = next((place for place in range(most) if first[place] != last[place]), most)
    return same if same >= MIN_SHARED else 0


def _parts(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last row of parts of similar length; `lengths` is sorted in descending order."""
    start = 0
    for row in range(1, len(lengths) + 1):
        if row == len(lengths) or (row - start >= ROWS_OF_A_PART and lengths[row] < FULL * lengths[start]):
            yield start, row
            start = row


def _takes_masks(model: PreTrainedModel, cache: DynamicCache) -> bool:
    """Whether the model accepts a mask [rows, 1, 1, columns] unchanged."""
    return bool(model.config._attn_implementation == "sdpa") and isinstance(cache.layers[0], RoomyLayer)


@contextlib.contextmanager
def grouped_queries() -> Iterator[None]:
    """Context in which `sdpa` does not repeat keys and values for each query head (see `_attend`)."""
    ALL_ATTENTION_FUNCTIONS["sdpa"] = _attend
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, object]:
    """transformers' `sdpa`, but for one token per row, query heads that share a key head become queries of that head.

    All heads of one token attend to the same columns, so a decoding step does not need keys repeated per head. With
    four query heads per key head, that copy is most of the work of a step.
    """
    rows, heads, tokens, size = query.shape
    mask_of_all = attention_mask is not None and attention_mask.ndim == 4 and attention_mask.shape[1] == 1
    if tokens != 1 or heads == key.shape[1] or not mask_of_all:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    attended = scaled_dot_product_attention(grouped, key, value, attention_mask, dropout, scale=scaling)
    return attended.reshape(rows, 1, heads, value.shape[3]), None
