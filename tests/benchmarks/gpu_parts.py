"""The trainings that `gpu.py` measures: ours, plain Axolotl's and a bare loop, each in a process of its own.

Rates are medians over the steps after the first two, between two synchronizations, with data and logs in them.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpu_memory
import torch
from gpu_model import Clock, Rows, Size, best, collate, collate_plain, model, told
from measure import ROOT

from kormo_plugins.kernels import flash_choice
from kormo_plugins.kernels.liger import LIGER, LigerParams, available
from kormo_plugins.training import one_pass
from kormo_plugins.training.compat import cpu_ranks, upstream
from kormo_plugins.training.objective import next_token
from kormo_plugins.training.precision import cast_weights
from kormo_plugins.training.settings import Precision, Settings

AUTOCAST = Precision("float32", "bfloat16", None, "float32")
MASTERS = Precision("bfloat16", "bfloat16", "float32", "float32")
PURE = Precision("bfloat16", "bfloat16", None, "bfloat16")
PRECISIONS = {"autocast": AUTOCAST, "masters": MASTERS, "pure": PURE}
ZERO3 = ROOT / "recipes/deepspeed/zero3.json"


def preload() -> None:
    """Imports what takes seconds, before the part's turn has come; no tensor is made on the device."""
    for name in (
        "axolotl.core.trainers.base", "axolotl.core.training_args", "axolotl.integrations.liger",
        "axolotl.monkeypatch.attention.sdpa_varlen", "liger_kernel.transformers", "trl",
        "kormo_plugins.training.trainer", "kormo_plugins.posttraining.preference_trainer",
    ):  # fmt: skip
        importlib.import_module(name)


def fuse(family: str, device: str, attention: str = "ours") -> None:
    """Liger, and attention of variable length: `ours` as our recipes have it, `axolotl` looks for borders in each
    layer, `whole` rows are one document."""
    if device == "cuda" and attention == "ours":
        for line in upstream.use_varlen_attention(AUTOCAST):
            print(line, flush=True)
    elif device == "cuda" and attention == "axolotl":
        from axolotl.monkeypatch.attention.sdpa_varlen import patch_sdpa_varlen

        patch_sdpa_varlen()
    if not available():
        return
    LIGER(family, LigerParams())
    from axolotl.integrations.liger import LigerPlugin
    from axolotl.utils.dict import DictDefault

    LigerPlugin().pre_model_load(DictDefault({"model_config_type": family, **LIGER.axolotl(LigerParams())}))


def with_borders(rows: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
    """A batch of our collator: the borders of documents beside it."""
    batch: dict[str, Any] = collate(rows)
    starts = torch.nonzero(batch["position_ids"].flatten() == 0).flatten()
    borders = torch.cat([starts, torch.tensor([batch["position_ids"].numel()])]).to(torch.int32)
    longest = int(borders.diff().max())
    return {
        **batch, "cu_seq_lens_q": borders, "cu_seq_lens_k": borders, "max_length_q": longest, "max_length_k": longest,
    }  # fmt: skip


def training(
    size: Size,
    device: str,
    *,
    precision: str = "autocast",
    ours: bool = True,
    optimizer: str = "adamw_torch_fused",
    one: bool = True,
    clipped_in_step: bool = True,
    newest_flash: bool = True,
    compiled: bool = False,
    answers: bool = False,
    borders: bool = True,
    logging: int = 1,
    attention: str = "sdpa",
    checkpointed: int | None = None,
    float8: bool = False,
    zero: bool = False,
    profile: str | None = None,
) -> dict[str, float]:
    """Steps of our trainer, or of plain Axolotl's (`ours` false) on a Llama.

    Args:
        precision: `autocast`, `masters` or `pure`.
        one: output layer and loss in one pass; else as the kernels have it, and measured by a second product.
        clipped_in_step: by the fused optimizer; else in a pass over the gradients.
        newest_flash: FlashAttention-3 or -4 where it is installed; else torch's own.
        borders: of documents come with the batch; else each layer looks for them.
        checkpointed: layers whose activations are computed twice.
        zero: DeepSpeed's ZeRO-3 on this rank alone.
        profile: a file for the profiler's table of the run.
    """
    if zero:
        cpu_ranks.prepare(deepspeed=True)
        _alone()
    if not newest_flash:
        flash_choice.KNOWN = ()  # type: ignore[misc]
    family = "kormo" if ours else "llama"
    fuse(family, device, "ours" if borders and ours else "axolotl")
    if not one:
        one_pass.KNOWN = frozenset()  # type: ignore[misc]
    if not clipped_in_step:
        importlib.import_module("kormo_plugins.training.trainer").fusable = lambda made: False  # type: ignore[attr-defined]
    trainer = _trainer(
        size, device, ours=ours, optimizer=optimizer, compiled=compiled, answers=answers, logging=logging,
        attention=attention, checkpointed=checkpointed, precision=precision, borders=borders, float8=float8, zero=zero,
    )  # fmt: skip
    clock = Clock(device)
    trainer.add_callback(clock)
    with _profiled(profile, device):
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    found = told(size, clock.times, device, losses[-1] if losses else None)
    fused = optimizer if ours else ""
    if attention == "sdpa" and fused in gpu_memory.KNOWN and not float8:
        setup = gpu_memory.setup(size, PRECISIONS[precision], fused, one=one, checkpointed=checkpointed, zero=zero)
        found["predicted_gb"] = gpu_memory.gigabytes(setup)
    return found


def _trainer(
    size: Size, device: str, *, ours: bool, optimizer: str, compiled: bool, answers: bool, logging: int, attention: str,
    checkpointed: int | None, precision: str, borders: bool, float8: bool, zero: bool,
) -> Any:  # fmt: skip
    from axolotl.core.trainers.base import AxolotlTrainer
    from axolotl.core.training_args import AxolotlTrainingArguments

    from kormo_plugins.training.trainer import KormoTrainer

    out = tempfile.mkdtemp()
    more: dict[str, Any] = {"deepspeed": str(ZERO3)} if zero else {}
    more["optim"] = "adamw_torch_fused" if optimizer == "muon" else optimizer  # ours is made by our trainer
    if checkpointed:
        more |= {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    if compiled:
        more["torch_compile"] = True
    args = AxolotlTrainingArguments(
        output_dir=out, per_device_train_batch_size=size.rows, gradient_accumulation_steps=size.accumulation,
        max_steps=size.steps, logging_steps=logging, report_to=[], save_strategy="no", learning_rate=1e-4,
        weight_decay=0.1, max_grad_norm=1.0, seed=1, use_cpu=device == "cpu" and not zero, bf16=True,
        disable_tqdm=True, remove_unused_columns=False, average_tokens_across_devices=True, curriculum_sampling=True,
        lr_scheduler_type="constant", adam_beta2=0.95, **more,
    )  # fmt: skip
    kind = KormoTrainer if ours else AxolotlTrainer
    family = "kormo" if ours else "llama"
    net = model(size, device, family, attention)
    cast_weights(net, PRECISIONS[precision])
    collator = (with_borders if borders and device == "cuda" else collate) if ours else collate_plain
    trainer = kind(model=net, args=args, train_dataset=Rows(size, answers), data_collator=collator)
    if ours:
        settings = Settings(
            output_dir=Path(out), steps=size.steps, global_batch=size.rows * size.accumulation,
            sequence_len=size.length, precision=_said(precision, float8), sources=("a", "b"), languages=("ko", "en"),
            zero_stage=3 if zero else None, checkpointed_layers=checkpointed, optimizer=optimizer,
        )  # fmt: skip
        trainer.configure(settings, next_token, _raise)
    return trainer


def _said(precision: str, float8: bool) -> Precision:
    said = PRECISIONS[precision]
    return Precision(said.weights, "float8", said.master, said.optimizer) if float8 else said


def _alone() -> None:
    """What a launcher says to the only rank."""
    import os

    with contextlib.suppress(KeyError):
        del os.environ["ACCELERATE_USE_CPU"]
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
    os.environ.update({**alone, "ACCELERATE_USE_DEEPSPEED": "true", **os.environ})


@contextlib.contextmanager
def _profiled(path: str | None, device: str) -> Iterator[None]:
    if path is None:
        yield
        return
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if device == "cuda" else []
    with torch.profiler.profile(activities=activities) as seen:
        yield
    by = "self_cuda_time_total" if device == "cuda" else "self_cpu_time_total"
    Path(path).write_text(seen.key_averages().table(sort_by=by, row_limit=40))


def _raise(error: BaseException) -> Any:
    raise error


def bare(size: Size, device: str, *, precision: str = "autocast", compiled: bool = False) -> dict[str, float]:
    """A loop of ten lines over a Llama: Liger, autocast, fused AdamW, causal attention over whole rows."""
    fuse("llama", device, "whole")
    net = model(size, device, "llama")
    cast_weights(net, PRECISIONS[precision])
    if compiled:
        for layer in net.model.layers:
            layer.compile()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    rows, clock, loss = Rows(size), Clock(device), torch.tensor(0.0)
    items = torch.tensor(size.rows * size.accumulation * (size.length - 1), device=device)
    clock.on_train_begin()
    for step in range(size.steps):
        total = torch.zeros((), device=device)
        for part in range(size.accumulation):
            first = (step * size.accumulation + part) * size.rows
            ids = torch.stack([rows[first + row]["input_ids"] for row in range(size.rows)]).to(device)
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = net(input_ids=ids, labels=ids, num_items_in_batch=items).loss
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.mark()
    return told(size, clock.times, device, float(total), context=size.length)


def ceilings(size: Size, device: str) -> dict[str, float]:
    """What the device gives at best: a bfloat16 product, and a copy."""
    side, count = (8192, 1 << 30) if device == "cuda" else (256, 1 << 22)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    source = torch.empty(count, device=device, dtype=torch.uint8)
    into = torch.empty_like(source)
    product = best(lambda: a @ a, device)
    copy = best(lambda: into.copy_(source), device)
    return {"tflops_bfloat16": 2 * side**3 / product / 1e12, "copy_tb_per_second": 2 * count / copy / 1e12}
