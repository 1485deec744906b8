"""Whether a card computes what a CPU was proved to compute: the loss kernel, documents apart, a resumed run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from gpu_model import Rows, Size, collate, model
from gpu_parts import MASTERS, _raise, fuse, with_borders
from measure import ROOT  # noqa: F401  (puts the repository on the path)
from torch.nn.functional import cross_entropy

from kormo_plugins.kernels.liger import available
from kormo_plugins.kernels.one_pass_loss import IGNORE, token_losses
from kormo_plugins.training.objective import next_token
from kormo_plugins.training.precision import cast_weights
from kormo_plugins.training.settings import Settings


def checks(size: Size, device: str) -> dict[str, float]:
    """Differences that should be 0, or a rounding of bfloat16 (0.004)."""
    fuse("kormo", device)
    return {**_loss(size, device), **_documents(size, device), **_resumed(size, device)}


def _loss(size: Size, device: str) -> dict[str, float]:
    """Of the one-pass loss in bfloat16: relative differences from float64 on the same rounded numbers."""
    generator = torch.Generator().manual_seed(0)
    tokens, width, vocabulary = 512, size.shape[0], size.shape[-1]
    states = torch.randn(tokens, width, generator=generator).to(device, torch.bfloat16).requires_grad_()
    weight = (0.02 * torch.randn(vocabulary, width, generator=generator)).to(device, torch.bfloat16).requires_grad_()
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator).to(device)
    targets[::5] = IGNORE
    total, _ = token_losses(states, weight, targets, 1 / 400, triton=device == "cuda" and available())
    total.backward()
    exact = [one.detach().double().requires_grad_() for one in (states, weight)]
    right = cross_entropy(exact[0] @ exact[1].T, targets, ignore_index=IGNORE, reduction="sum") / 400
    right.backward()
    pairs = zip((states, weight), exact, strict=True)
    off = [float((one.grad.double() - two.grad).norm() / two.grad.norm()) for one, two in pairs]  # type: ignore[union-attr]
    return {"loss_off": abs(float(total / right) - 1), "gradient_off": max(off)}


def _documents(size: Size, device: str) -> dict[str, float]:
    """The largest change of a document's logits when the other documents of its row are others."""
    net = model(size, device, "kormo").eval().to(torch.bfloat16)
    data = Rows(size)
    batch = with_borders([data[0], data[1]])
    batch = {key: value.to(device) if hasattr(value, "to") else value for key, value in batch.items()}
    first = int((batch["position_ids"][0, 1:] == 0).nonzero()[0]) + 1
    inputs = {key: value for key, value in batch.items() if key not in ("labels", "sources")}
    other = {**inputs, "input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, first:] = 7
    with torch.no_grad():
        one, two = (net(**each, use_cache=False).logits[0, :first].float() for each in (inputs, other))
    return {"documents_touch_each_other": float((one - two).abs().max())}


def _resumed(size: Size, device: str) -> dict[str, float]:
    """The largest difference between the weights of a run and those of one that was resumed halfway."""
    folder = Path(tempfile.mkdtemp())
    whole = _run(size, device, folder, None)
    again = _run(size, device, folder / "again", str(folder / "checkpoint-2"))
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    return {"resumed_run_differs_by": max(float((one - two).abs().max()) for one, two in pairs)}


def _run(size: Size, device: str, out: Path, resume: str | None) -> Any:
    from axolotl.core.training_args import AxolotlTrainingArguments

    from kormo_plugins.training.trainer import KormoTrainer

    args = AxolotlTrainingArguments(
        output_dir=str(out), per_device_train_batch_size=size.rows, gradient_accumulation_steps=2, max_steps=4,
        logging_steps=1, report_to=[], save_strategy="steps", save_steps=2, learning_rate=1e-3,
        weight_decay=0.1, seed=1, use_cpu=device == "cpu", bf16=True, optim="adamw_torch_fused", disable_tqdm=True,
        remove_unused_columns=False, average_tokens_across_devices=True, curriculum_sampling=True,
        lr_scheduler_type="constant",
    )  # fmt: skip
    net = model(size, device, "kormo")
    cast_weights(net, MASTERS)
    collator = with_borders if device == "cuda" else collate
    made = KormoTrainer(model=net, args=args, train_dataset=Rows(size), data_collator=collator)
    made.configure(Settings(out, 4, 2 * size.rows, size.length, MASTERS), next_token, _raise)
    made.train(resume_from_checkpoint=resume)
    return made
