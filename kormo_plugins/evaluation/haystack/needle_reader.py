"""A checkpoint as a `Reader`: the context is computed once, and its cache is reused for all choices and the answer.

Imported when a model is loaded; it imports torch.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel

from kormo_plugins.evaluation.models.model import default_device

COPIED = 65_536
"""Maximum context tokens times continuations for which the cache is copied per continuation."""


class TransformersReader:
    """A causal language model of transformers; keeps the cache of the last context."""

    def __init__(self, path: Path, device: str | None = None) -> None:
        self.device = device or default_device()
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()
        self.model.to(self.device)
        self._context: list[int] = []
        self._cache: DynamicCache | None = None
        self._next = torch.empty(0)

    def _read(self, context: list[int]) -> None:
        """Computes the context's cache; logits are only computed for the last position."""
        if context == self._context:
            return
        with torch.no_grad():
            ids = torch.tensor([context], device=self.device)
            out = self.model(ids, use_cache=True, logits_to_keep=1)
        self._context, self._cache, self._next = context, out.past_key_values, out.logits[0, -1].float()

    def _go_on(self, tokens: list[list[int]]) -> torch.Tensor:
        """Logits [continuations, tokens, rows] after each of the tokens that follow the context.

        One batch while the copies of the cache are small, one continuation at a time when the context is long; the
        context's cache is not modified.
        """
        if len(tokens) > 1 and len(tokens) * len(self._context) > COPIED:
            return torch.cat([self._go_on([one]) for one in tokens])
        cache = self._cache
        assert cache is not None
        if len(tokens) > 1:
            cache = copy.deepcopy(cache)
            cache.batch_repeat_interleave(len(tokens))
        with torch.no_grad():
            out = self.model(torch.tensor(tokens, device=self.device), past_key_values=cache, use_cache=True)
        if cache is self._cache:
            cache.crop(-len(tokens[0]))
        logits: torch.Tensor = out.logits.float()
        return logits

    def likelihoods(self, context: list[int], continuations: list[list[int]]) -> list[float]:
        """Log-likelihood of each continuation, in nats."""
        self._read(context)
        longest = max(map(len, continuations))
        padded = [[*one, *[0] * (longest - len(one))][: longest - 1] for one in continuations]
        first = self._next.expand(len(continuations), 1, -1)
        logits = torch.cat([first, self._go_on(padded)], dim=1) if longest > 1 else first
        logs = torch.log_softmax(logits, dim=-1)
        likelihoods = []
        for row, tokens in zip(logs, continuations, strict=True):
            ids = torch.tensor(tokens, device=row.device)[:, None]
            likelihoods.append(float(row[: len(tokens)].gather(1, ids).sum()))
        return likelihoods

    def write(self, context: list[int], tokens: int) -> list[int]:
        """The greedy continuation."""
        self._read(context)
        written = [int(self._next.argmax())]
        while len(written) < tokens:
            written.append(int(self._go_on([written])[0, -1].argmax()))
        return written
