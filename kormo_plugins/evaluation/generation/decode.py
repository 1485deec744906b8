"""Batched decoding in which finished rows leave the batch.

`generate` of transformers runs a batch until its last row has ended, and searches every row for stop words after every
token. Here finished rows leave the batch together with their keys and values, stop words are searched for every few
tokens and the text is truncated afterwards, and batches are large: on small models a step costs nearly the same for ten
rows as for a hundred. Greedy answers equal those of `generate`, token for token (a test compares them).

Imported when a model is loaded; it imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
import torch
from transformers import PreTrainedModel

from kormo_plugins.evaluation.generation.batches import Sampling, batches
from kormo_plugins.evaluation.generation.keys import grouped_queries, read
from kormo_plugins.store.keyed_random import key

LOOK = 4
"""Tokens between two searches for stop words; the first tokens are each checked, since short answers end there."""
SHRINK = 0.8
"""Finished rows are removed once at most this share is unfinished: removal copies the keys and values of the rest."""
FALLBACK_POSITIONS = 1 << 16


@dataclass(frozen=True)
class Written:
    """Ids of an answer, including the end token if there is one, and whether it ended before the maximum length."""

    ids: list[int]
    ended: bool


class Decoder:
    """Generates answers with a loaded model.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        decode: ids to text, for stop words.
        ends: end token ids.
        pad: padding id.
        positions: budget of key and value positions per batch; None: as many as fit in a quarter of the free memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        decode: Callable[[list[int]], str],
        ends: frozenset[int],
        pad: int,
        positions: int | None = None,
    ) -> None:
        self.model, self.decode, self.pad = model, decode, pad
        self.ends = torch.tensor(sorted(ends), device=model.device)
        self.positions = positions or _room(model)

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, max_rows: int | None = None
    ) -> Iterator[tuple[int, Written]]:
        """Yields answers with the indices of their prompts, in the order in which batches finish.

        Args:
            prompts: ids, at least one per prompt; a repeated prompt gets independent samples.
            max_rows: rows of a batch.
        """
        draws: dict[tuple[int, ...], int] = {}
        seeds = []
        for prompt in map(tuple, prompts):
            draws[prompt] = draws.get(prompt, -1) + 1
            seeds.append(key(sampling.seed, draws[prompt], *prompt) % (1 << 63) if sampling.temperature else 0)
        for rows in batches([len(one) for one in prompts], sampling.max_tokens, self.positions, max_rows):
            yield from self._write_some(rows, prompts, seeds, sampling)

    def _write_some(
        self, rows: list[int], prompts: Sequence[Sequence[int]], seeds: list[int], sampling: Sampling
    ) -> Iterator[tuple[int, Written]]:
        """One batch, split in half when it runs out of memory."""
        try:
            written = self._batch([prompts[row] for row in rows], [seeds[row] for row in rows], sampling)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
            torch.cuda.empty_cache()
            self.positions = max(1, self.positions // 2)
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                yield from self._write_some(half, prompts, seeds, sampling)
            return
        yield from zip(rows, written, strict=True)

    @torch.inference_mode()
    def _batch(self, prompts: list[Sequence[int]], seeds: list[int], sampling: Sampling) -> list[Written]:
        with grouped_queries():
            state = read(self.model, prompts, sampling.max_tokens, self.pad)
            draw = _Draw(seeds, sampling, self.model.device)
            answers: list[list[int]] = [[] for _ in prompts]
            ended = [False] * len(prompts)
            alive = list(range(len(prompts)))  # row of the batch -> index in `prompts`
            done = torch.zeros(len(prompts), dtype=torch.bool, device=self.model.device)
            logits, steps = state.logits, 0
            while True:
                token = draw(logits)
                steps += 1
                for place, one, over in zip(alive, token.tolist(), done.tolist(), strict=True):
                    if not over:
                        answers[place].append(one)
                ending = torch.isin(token, self.ends) & ~done
                for row in ending.nonzero()[:, 0].tolist():
                    ended[alive[row]] = True
                done |= ending
                if sampling.stop and (steps < LOOK or steps % LOOK == 0):
                    for row, place in enumerate(alive):
                        if not done[row] and self._stopped(answers[place], sampling.stop):
                            done[row] = True
                unfinished = len(alive) - int(done.sum())
                if not unfinished or steps == sampling.max_tokens:
                    return [Written(answer, end) for answer, end in zip(answers, ended, strict=True)]
                if unfinished <= SHRINK * len(alive):
                    kept = (~done).nonzero()[:, 0]
                    state.keep(kept)
                    token = token[kept]
                    draw.keep(kept.tolist())
                    alive = [alive[row] for row in kept.tolist()]
                    done = torch.zeros(len(alive), dtype=torch.bool, device=done.device)
                logits = state.step(self.model, token)

    def _stopped(self, answer: list[int], stop: tuple[str, ...]) -> bool:
        """Whether the end of an answer contains a stop word; a token is at least one byte, and a few may be pending."""
        tail = max(len(one.encode()) for one in stop) + 2 * LOOK
        text = self.decode(answer[-tail:])
        return any(one in text for one in stop)


class _Draw:
    """Next tokens of a batch [rows]: argmax, or sampled with a generator per row."""

    def __init__(self, seeds: list[int], sampling: Sampling, device: torch.device) -> None:
        self.sampling, self.device = sampling, device
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds] if sampling.temperature else []

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        if not self.streams:
            return logits.argmax(dim=-1)
        shares = torch.softmax(logits.float() / self.sampling.temperature, dim=-1)
        if self.sampling.top_p < 1:
            ordered, places = shares.sort(dim=-1, descending=True)
            ordered[ordered.cumsum(dim=-1) - ordered >= self.sampling.top_p] = 0  # the most likely token always remains
            shares = torch.zeros_like(shares).scatter(-1, places, ordered)
        points = torch.stack([torch.rand(1, generator=stream) for stream in self.streams]).to(self.device)
        sums = shares.cumsum(dim=-1)
        return torch.searchsorted(sums, points * sums[:, -1:], right=True)[:, 0].clamp(max=shares.shape[-1] - 1)

    def keep(self, rows: list[int]) -> None:
        """Keeps only these rows."""
        self.streams = [self.streams[row] for row in rows] if self.streams else []


def _room(model: PreTrainedModel) -> int:
    """Positions whose keys and values fit in a quarter of the free memory (removing rows makes copies)."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0]
    elif model.device.type == "cpu":
        free = min(psutil.virtual_memory().available, 4 << 30)
    else:
        return FALLBACK_POSITIONS
    return max(1024, int(free / 4 / size))
