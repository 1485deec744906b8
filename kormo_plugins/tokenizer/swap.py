"""Changes the tokenizer of a trained model: maps each new embedding row to old rows.

A token in both vocabularies keeps its row. A new token gets the mean of the rows of its pieces under the old tokenizer,
which are trained and therefore better than random values. Ids without pieces (unused ids, padding rows) get the mean of
all old rows.

`plan_swap` uses only tokenizers, `apply_swap` only matrices. Both treat the embedding and the output layer alike, and a
vocabulary may grow or shrink."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.layout import byte_symbols, read_layout, read_tokenizer_json

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")
BLOCK = 4096
"""New rows averaged per batch."""


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """The old ids for each new id, as one concatenated list with offsets.

    Args:
        old_size: ids of the old tokenizer; its padding rows are not used.
        new_size: ids of the new one.
        offsets: int64 [new_size + 1].
        ids: int64 [offsets[-1]]; one old id: its row is copied; several: their mean; none: the mean of all rows.
    """

    old_size: int
    new_size: int
    offsets: np.ndarray
    ids: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of new ids that are copied, averaged, or filled with the overall mean."""
        pieces = np.diff(self.offsets)
        return {
            "copied": int((pieces == 1).sum()),
            "averaged": int((pieces > 1).sum()),
            "filled": int((pieces == 0).sum()),
        }


def plan_swap(old: Path, new: Path) -> SwapPlan:
    """Compares the tokenizers in two folders.

    Raises:
        KormoError: one is not a byte-level BPE, or lacks a role that the layout requires.
    """
    from tokenizers import Tokenizer

    old_size, new_size = read_layout(old).size, read_layout(new).size
    old_model: object = Tokenizer.from_file(str(old / "tokenizer.json")).model
    old_added, old_base = _vocabulary(old)
    new_added, new_base = _vocabulary(new)
    symbols = byte_symbols()
    sources: list[list[int]] = [[] for _ in range(new_size)]
    for token, place in new_added.items():
        if token in old_added:
            sources[place] = [old_added[token]]
        else:  # as text: a newline run, or a tag that the old tokenizer splits
            sources[place] = _pieces(old_model, "".join(symbols[byte] for byte in token.encode()))
    for token, place in new_base.items():
        sources[place] = [old_base[token]] if token in old_base else _pieces(old_model, token)
    offsets = np.zeros(new_size + 1, np.int64)
    np.cumsum([len(ids) for ids in sources], out=offsets[1:])
    return SwapPlan(old_size, new_size, offsets, np.array([i for ids in sources for i in ids], np.int64))


def _vocabulary(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Added tokens and base tokens, each with its id."""
    content = read_tokenizer_json(folder)
    added = {token["content"]: token["id"] for token in content.get("added_tokens", ())}
    return added, {token: place for token, place in content["model"]["vocab"].items() if token not in added}


def _pieces(model: Any, symbols: str) -> list[int]:
    """Applies the merges to bytes: a token may be part of a character, so it cannot be encoded as text."""
    return [token.id for token in model.tokenize(symbols)]


def apply_swap(
    weights: dict[str, Tensor], plan: SwapPlan, rows: int, names: tuple[str, ...] = EMBEDDINGS
) -> dict[str, Tensor]:
    """Returns the weights with embeddings for the new tokenizer; other weights are passed through.

    Args:
        weights: name -> tensor; the named ones have shape [old rows, hidden], and at least one of them must exist.
        rows: rows of the new matrices, `read_layout(new).rows()`.
    Returns:
        A new dictionary; the named tensors have shape [rows, hidden] and their old dtype and device.
    Raises:
        KormoError: no named weight, fewer rows than ids.
    """
    if not any(name in weights for name in names):
        raise KormoError(
            where="tokenizer swap",
            found=f"no weight named {' or '.join(names)}",
            why="the embedding rows are in these weights",
            do="pass the names of this architecture's embeddings",
        )
    if rows < plan.new_size:
        raise KormoError(
            where="tokenizer swap",
            found=f"{rows:,} rows for {plan.new_size:,} ids",
            why="each id needs a row",
            do="round the number of ids up, like `TokenLayout.rows`",
        )
    return {name: _swap(name, weight, plan, rows) if name in names else weight for name, weight in weights.items()}


def _swap(name: str, weight: Tensor, plan: SwapPlan, rows: int) -> Tensor:
    import torch

    if len(weight) < plan.old_size:
        raise KormoError(
            where=f"tokenizer swap: {name}",
            found=f"{len(weight):,} rows",
            why=f"the old tokenizer has {plan.old_size:,} ids, so it is not the one this model was trained with",
            do="use the tokenizer that is saved with the checkpoint",
        )
    exact = torch.promote_types(weight.dtype, torch.float32)
    mean = weight[: plan.old_size].to(exact).mean(0)
    out = mean.repeat(rows, 1).to(weight.dtype)
    for start in range(0, plan.new_size, BLOCK):
        bounds = plan.offsets[start : start + BLOCK + 1]
        pieces = torch.from_numpy(np.diff(bounds)).to(weight.device)
        ids = torch.from_numpy(plan.ids[bounds[0] : bounds[-1]]).to(weight.device)
        owner = torch.repeat_interleave(torch.arange(len(pieces), device=weight.device), pieces)
        total = torch.zeros(len(pieces), weight.shape[1], dtype=exact, device=weight.device)
        total.index_add_(0, owner, weight[ids].to(exact))
        known = pieces > 0
        block = total[known] / pieces[known, None]
        out[start : start + len(pieces)][known] = block.to(weight.dtype)
    return out
