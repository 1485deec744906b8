"""What `gpu.py` measures, one function for each part; each runs in a process of its own and returns plain values.

Weights are drawn on the device, rows are random ids of documents of random lengths: nothing is read and no network is
used. Rates are medians over the last steps, between two synchronizations.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import ROOT  # noqa: F401  (puts the repository on the path)
from transformers import AutoModelForCausalLM, LlamaConfig, TrainerCallback

from kormo_plugins.architecture.family import KORMO
from kormo_plugins.kernels.liger import LIGER, LigerParams, available
from kormo_plugins.measures.flops import Shape, model_flops_per_token
from kormo_plugins.training import one_pass
from kormo_plugins.training.compat import upstream
from kormo_plugins.training.objective import next_token
from kormo_plugins.training.precision import cast_weights
from kormo_plugins.training.settings import Precision, Settings

AUTOCAST = Precision("float32", "bfloat16", None, "float32")
MASTERS = Precision("bfloat16", "bfloat16", "float32", "float32")
PURE = Precision("bfloat16", "bfloat16", None, "bfloat16")


@dataclasses.dataclass(frozen=True)
class Size:
    """A model and its rows.

    Args:
        shape: hidden, MLP, layers, heads, key heads, head, vocabulary.
        rows, length: of a micro-batch.
        accumulation: micro-batches of a step.
        steps: that are taken; the first two are not counted.
    """

    shape: tuple[int, int, int, int, int, int, int]
    rows: int
    length: int
    accumulation: int
    steps: int

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
    "tiny": Size((64, 192, 2, 4, 2, 16, 512), 2, 128, 2, 4),
}


def sync(device: str) -> None:
    """Waits for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def model(size: Size, device: str, family: str) -> Any:
    """A model whose weights are drawn on the device."""
    config: Any = size.config()
    if family == "kormo":
        KORMO.register()
        from kormo_plugins.architecture.configuration import KORMoConfig

        fields = config.to_dict()
        config = KORMoConfig(**{k: v for k, v in fields.items() if k not in ("model_type", "architectures")})
        config.use_cache, config._attn_implementation = False, "sdpa"
    torch.manual_seed(0)
    with torch.device(device):
        made = AutoModelForCausalLM.from_config(config)
    return made.train()


class Rows(torch.utils.data.Dataset):
    """Row i: documents of 16 to `length` / 2 random tokens; with `answers`, a third of the tokens is predicted."""

    column_names = ("input_ids", "labels", "position_ids")

    def __init__(self, size: Size, answers: bool) -> None:
        self.size, self.answers = size, answers

    def __len__(self) -> int:
        return self.size.rows * self.size.accumulation * (self.size.steps + 1)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        generator, length = torch.Generator().manual_seed(i), self.size.length
        ids = torch.randint(0, self.size.shape[-1], (length,), generator=generator)
        positions: list[torch.Tensor] = []
        while sum(map(len, positions)) < length:
            positions.append(torch.arange(int(torch.randint(16, length // 2, (1,), generator=generator))))
        labels = ids.clone()
        if self.answers:
            labels[torch.arange(length) % 96 < 64] = -100
        return {"input_ids": ids, "labels": labels, "position_ids": torch.cat(positions)[:length]}


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stacks rows, and says of which source each is."""
    batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    return {**batch, "sources": torch.arange(len(rows)) % 2}


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self, device: str) -> None:
        self.device, self.times = device, list[float]()

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Starts."""
        sync(self.device)
        self.begin = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Stops."""
        sync(self.device)
        self.times.append(time.perf_counter() - self.begin)


def told(size: Size, times: list[float], device: str) -> dict[str, float]:
    """What the table has of a training."""
    seconds = statistics.median(times[2:])
    tokens = size.rows * size.length * size.accumulation
    flops = model_flops_per_token(Shape.of(size.config().to_dict()), size.length, size.length / 4)
    found = {"seconds": seconds, "tokens_per_second": tokens / seconds, "tflops": flops * tokens / seconds / 1e12}
    if device == "cuda":
        found |= {
            "allocated_gb": torch.cuda.max_memory_allocated() / 1e9,
            "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
        }
    return found


def fuse(family: str, device: str) -> None:
    """Liger and variable-length attention, as a recipe for a GPU has them."""
    if device == "cuda":
        upstream.use_varlen_attention(AUTOCAST)
    if not available():
        return
    LIGER(family, LigerParams())
    from axolotl.integrations.liger import LigerPlugin
    from axolotl.utils.dict import DictDefault

    LigerPlugin().pre_model_load(DictDefault({"model_config_type": family, **LIGER.axolotl(LigerParams())}))


def training(
    size: Size,
    device: str,
    *,
    precision: Precision = AUTOCAST,
    ours: bool = True,
    optimizer: str = "adamw_torch_fused",
    one: bool = True,
    compiled: bool = False,
    answers: bool = False,
    logging: int = 1,
    profile: str | None = None,
) -> dict[str, float]:
    """Steps of our trainer, or of plain Axolotl's (`ours` false) on a Llama.

    Args:
        one: output layer and loss in one pass; else as the kernels have it, and measured by a second product.
        profile: a file for the profiler's table of one step.
    """
    from axolotl.core.trainers.base import AxolotlTrainer
    from axolotl.core.training_args import AxolotlTrainingArguments

    from kormo_plugins.training.trainer import KormoTrainer

    family = "kormo" if ours else "llama"
    fuse(family, device)
    if not one:
        one_pass.KNOWN = frozenset()  # type: ignore[misc]
    out = tempfile.mkdtemp()
    args = AxolotlTrainingArguments(
        output_dir=out, per_device_train_batch_size=size.rows, gradient_accumulation_steps=size.accumulation,
        max_steps=size.steps, logging_steps=logging, report_to=[], save_strategy="no", learning_rate=1e-4,
        weight_decay=0.1, max_grad_norm=1.0, seed=1, use_cpu=device == "cpu", bf16=True, optim=optimizer,
        disable_tqdm=True, remove_unused_columns=False, average_tokens_across_devices=True, curriculum_sampling=True,
        lr_scheduler_type="constant", torch_compile=compiled,
    )  # fmt: skip
    kind = KormoTrainer if ours else AxolotlTrainer
    trainer = kind(
        model=model(size, device, family), args=args, train_dataset=Rows(size, answers), data_collator=collate
    )
    cast_weights(trainer.model, precision)
    if ours:
        settings = Settings(
            output_dir=Path(out), steps=size.steps, global_batch=size.rows * size.accumulation,
            sequence_len=size.length, precision=precision, sources=("a", "b"), languages=("ko", "en"),
        )  # fmt: skip
        trainer.configure(settings, next_token, _raise)
    else:
        trainer.data_collator = lambda rows: {k: v for k, v in collate(rows).items() if k != "sources"}
    clock = Clock(device)
    trainer.add_callback(clock)
    if profile:
        return _profiled(trainer, profile, device, size, clock)
    trainer.train()
    return told(size, clock.times, device)


def _profiled(trainer: Any, path: str, device: str, size: Size, clock: Clock) -> dict[str, float]:
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if device == "cuda" else []
    with torch.profiler.profile(activities=activities) as seen:
        trainer.train()
    by = "self_cuda_time_total" if device == "cuda" else "self_cpu_time_total"
    Path(path).write_text(seen.key_averages().table(sort_by=by, row_limit=40))
    return told(size, clock.times, device)


def _raise(error: BaseException) -> Any:
    raise error


def bare(size: Size, device: str, *, precision: Precision = AUTOCAST, compiled: bool = False) -> dict[str, float]:
    """A loop of ten lines over a Llama: Liger, autocast, fused AdamW, causal attention over whole rows."""
    fuse("llama", device)
    net = model(size, device, "llama")
    cast_weights(net, precision)
    if compiled:
        for layer in net.model.layers:
            layer.compile()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    rows, times = Rows(size, False), list[float]()
    items = torch.tensor(size.rows * size.accumulation * (size.length - 1), device=device)
    for step in range(size.steps):
        sync(device)
        begin = time.perf_counter()
        for part in range(size.accumulation):
            first = (step * size.accumulation + part) * size.rows
            ids = torch.stack([rows[first + row]["input_ids"] for row in range(size.rows)]).to(device)
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = net(input_ids=ids, labels=ids, num_items_in_batch=items).loss
            loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        sync(device)
        times.append(time.perf_counter() - begin)
    return told(size, times, device)


def ceilings(size: Size, device: str) -> dict[str, float]:
    """What the device gives at best: a bfloat16 product, and a copy."""
    side, count = (8192, 1 << 30) if device == "cuda" else (256, 1 << 22)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    source = torch.empty(count, device=device, dtype=torch.uint8)
    into = torch.empty_like(source)
    product = _best(lambda: a @ a, device)
    copy = _best(lambda: into.copy_(source), device)
    return {"tflops_bfloat16": 2 * side**3 / product / 1e12, "copy_tb_per_second": 2 * count / copy / 1e12}


def _best(work: Callable[[], object], device: str, repeats: int = 8) -> float:
    times = []
    for _ in range(repeats):
        sync(device)
        begin = time.perf_counter()
        work()
        sync(device)
        times.append(time.perf_counter() - begin)
    return min(times)


def evaluation(size: Size, device: str) -> dict[str, float]:
    """Tokens a second of forward passes with logits, and of greedy generation with a cache, in bfloat16."""
    net = model(size, device, "kormo").eval().to(torch.bfloat16)
    ids = torch.randint(0, size.shape[-1], (size.rows, size.length), device=device)
    prompt, new = ids[:, : min(128, size.length // 2)], 64 if device == "cuda" else 8
    with torch.no_grad():
        seconds = _best(lambda: net(ids, use_cache=False).logits.float().logsumexp(-1), device, 3)
        generate = _best(lambda: net.generate(prompt, max_new_tokens=new, min_new_tokens=new, do_sample=False,
                                              use_cache=True, pad_token_id=0), device, 2)  # fmt: skip
    return {
        "evaluation_tokens_per_second": ids.numel() / seconds,
        "generation_tokens_per_second": len(prompt) * new / generate,
    }
