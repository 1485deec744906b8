"""Models, rows and clocks of `gpu.py`: weights are drawn on the device, rows are made up, nothing is read.

A row has documents of random lengths whose ids are of a skewed distribution, so that a loss falls within a few steps.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import ROOT  # noqa: F401  (puts the repository on the path)
from transformers import AutoModelForCausalLM, LlamaConfig, TrainerCallback

from kormo_plugins.architecture.family import KORMO
from kormo_plugins.measures.flops import Shape, model_flops_per_token, peak_flops

SKIPPED = 2
"""First steps that no rate counts: kernels are made in them."""


@dataclasses.dataclass(frozen=True)
class Size:
    """A model and its rows.

    Args:
        shape: hidden, MLP, layers, heads, key heads, head, vocabulary.
        rows, length: of a micro-batch.
        accumulation: micro-batches of a step.
        steps: that are taken.
    """

    shape: tuple[int, int, int, int, int, int, int]
    rows: int
    length: int
    accumulation: int
    steps: int

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.rows * self.length * self.accumulation

    def config(self) -> LlamaConfig:
        """As a Llama; `kormo` has the same fields."""
        hidden, mlp, layers, heads, groups, head, vocabulary = self.shape
        return LlamaConfig(
            vocab_size=vocabulary, hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=groups, head_dim=head, max_position_embeddings=131072,
            rms_norm_eps=1e-5, use_cache=False, tie_word_embeddings=False, attn_implementation="sdpa",
        )  # fmt: skip


SIZES = {
    "1b": Size((2048, 6144, 16, 16, 8, 128, 125184), 4, 4096, 4, 7),
    "slice": Size((4096, 16384, 4, 32, 8, 128, 125184), 4, 4096, 2, 7),
    "check": Size((512, 1536, 2, 8, 4, 64, 4096), 2, 1024, 2, 4),
    "tiny": Size((64, 192, 2, 4, 2, 16, 512), 2, 128, 2, 5),
}
"""KORMo's 1B proxy, four layers of its 10B, what is checked on a card, and what a test has time for."""


def sync(device: str) -> None:
    """Waits for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def model(size: Size, device: str, family: str, attention: str = "sdpa") -> Any:
    """A model whose weights are drawn on the device.

    Args:
        family: `kormo` or `llama`.
        attention: transformers' name of an implementation.
    """
    config: Any = size.config()
    if family == "kormo":
        KORMO.register()
        from kormo_plugins.architecture.configuration import KORMoConfig

        fields = config.to_dict()
        config = KORMoConfig(**{k: v for k, v in fields.items() if k not in ("model_type", "architectures")})
        config.use_cache = False
    torch.manual_seed(0)
    with torch.device(device):
        made = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32)
    return made.train()


class Rows(torch.utils.data.Dataset):
    """Row i: documents of 16 to `length` / 2 tokens; with `answers`, a third of the tokens is predicted."""

    column_names = ("input_ids", "labels", "position_ids")

    def __init__(self, size: Size, answers: bool = False) -> None:
        self.size, self.answers = size, answers

    def __len__(self) -> int:
        return self.size.rows * self.size.accumulation * (self.size.steps + 1)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        generator, length = torch.Generator().manual_seed(i), self.size.length
        ids = (torch.rand(length, generator=generator) ** 4 * self.size.shape[-1]).long()
        positions: list[torch.Tensor] = []
        while sum(map(len, positions)) < length:
            positions.append(torch.arange(int(torch.randint(16, length // 2, (1,), generator=generator))))
        labels = ids.clone()
        if self.answers:
            labels[torch.arange(length) % 96 < 64] = -100
        return {"input_ids": ids, "labels": labels, "position_ids": torch.cat(positions)[:length]}


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stacks rows, and says of which source each is."""
    return {**collate_plain(rows), "sources": torch.arange(len(rows)) % 2}


def collate_plain(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stacks rows."""
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


class Clock(TrainerCallback):
    """Seconds from the end of each step to the end of the next: its data, its log and everything between count."""

    def __init__(self, device: str) -> None:
        self.device, self.times = device, list[float]()
        self.begin = time.perf_counter()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Starts."""
        self.mark()
        self.times.clear()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """A step is over."""
        self.mark()

    def mark(self) -> None:
        """Waits for the device, and takes the time since the last mark."""
        sync(self.device)
        now = time.perf_counter()
        self.times.append(now - self.begin)
        self.begin = now


def mean_document(size: Size) -> float:
    """Length of the document that a token is in, averaged over the tokens of the first rows."""
    positions = torch.cat([Rows(size)[i]["position_ids"] for i in range(size.rows * size.accumulation)])
    return 2 * float(positions.double().mean()) + 1


def told(
    size: Size, times: list[float], device: str, loss: float | None, context: float | None = None
) -> dict[str, float]:
    """What the table has of a training.

    Args:
        times: seconds of each step.
        loss: of the last step, per predicted token; None: none was logged.
        context: tokens that attention is taken over; None: those of the token's document.
    """
    seconds = statistics.median(times[SKIPPED:])
    context = mean_document(size) if context is None else context
    flops = model_flops_per_token(Shape.of(size.config().to_dict()), size.length, context) * size.tokens / seconds
    found = {"seconds": seconds, "tokens_per_second": size.tokens / seconds, "tflops": flops / 1e12}
    if loss is not None:
        found["loss"] = loss
    if device == "cuda":
        peak = peak_flops(torch.cuda.get_device_name(), "bfloat16")
        found |= {"mfu": flops / peak} if peak else {}
        found |= {
            "allocated_gb": torch.cuda.max_memory_allocated() / 1e9,
            "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
        }
    return found


def best(work: Callable[[], object], device: str, repeats: int = 8) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeats):
        sync(device)
        begin = time.perf_counter()
        work()
        sync(device)
        times.append(time.perf_counter() - begin)
    return min(times)
