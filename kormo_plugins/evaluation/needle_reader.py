"""A checkpoint as a reader of haystacks: the context is computed once, its cache serves all choices and the answer.

Imported when a model is loaded; it imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from kormo_plugins.evaluation.model import default_device


class TransformersReader:
    """Any causal language model of transformers."""

    def __init__(self, path: Path, device: str | None = None) -> None:
        self.device = device or default_device()
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype="auto").to(self.device).eval()
        self._context: list[int] = []
        self._cache: Any = None
        self._next = torch.empty(0)

    @torch.no_grad()
    def _read(self, context: list[int]) -> Any:
        """The context's cache; only the last position's logits are made, whatever the length."""
        if context != self._context:
            ids = torch.tensor([context], device=self.device)
            out = self.model(ids, use_cache=True, logits_to_keep=1)
            self._context, self._cache, self._next = context, out.past_key_values, out.logits[0, -1].float()
        return self._cache

    @torch.no_grad()
    def _go_on(self, tokens: list[int]) -> torch.Tensor:
        """Logits [tokens, rows] after each of the tokens that follow the context; the cache is left as it was."""
        cache = self._read(self._context)
        length = len(self._context)
        out = self.model(torch.tensor([tokens], device=self.device), past_key_values=cache, use_cache=True)
        cache.crop(length)
        return out.logits[0].float()

    def likelihoods(self, context: list[int], continuations: list[list[int]]) -> list[float]:
        """Log-likelihood of each continuation, in nats."""
        self._read(context)
        found = []
        for tokens in continuations:
            logits = self._next[None]
            if len(tokens) > 1:
                logits = torch.cat([logits, self._go_on(tokens[:-1])])
            logs = torch.log_softmax(logits, dim=-1)
            found.append(float(logs.gather(1, torch.tensor(tokens, device=logs.device)[:, None]).sum()))
        return found

    def write(self, context: list[int], tokens: int) -> list[int]:
        """The greedy continuation."""
        self._read(context)
        written = [int(self._next.argmax())]
        while len(written) < tokens:
            written.append(int(self._go_on(written)[-1].argmax()))
        return written
