"""DPO with and without padding, for `gpu.py`, and alone: pairs a second beside TRL on skewed lengths.

    python tests/benchmarks/gpu_pairs.py [--device cpu] [--size tiny]

Both are TRL's loss, forward and backward, on the same pairs: 8 of log-normal lengths (median a sixth of the longest).
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu_parts
import torch
from gpu_model import SIZES, Size, best, model, sync
from gpu_parts import fuse
from measure import ROOT, result  # noqa: F401  (puts the repository on the path)

from kormo_plugins.training.settings import Settings

PAIRS = 8


def batch(size: Size, device: str) -> dict[str, Any]:
    """A batch of TRL's collator."""
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    generator = torch.Generator().manual_seed(0)
    longest = size.length // 2

    def text(share: float) -> list[int]:
        length = int(torch.empty(1).log_normal_(0, 0.8, generator=generator).item() * share * longest / 6)
        return torch.randint(1, size.shape[-1], (max(4, min(length, longest)),), generator=generator).tolist()

    samples = [
        {"prompt_ids": text(1), "chosen_ids": text(1), "rejected_ids": text(1), "ref_chosen_logps": -9.0,
         "ref_rejected_logps": -9.0} for _ in range(PAIRS)
    ]  # fmt: skip
    samples[0]["chosen_ids"] = (samples[0]["chosen_ids"] * longest)[:longest]
    return {key: value.to(device) for key, value in DataCollatorForPreference(pad_token_id=0)(samples).items()}


def trainer(size: Size, device: str) -> Any:
    """A PreferenceTrainer as far as the loss needs one."""
    from axolotl.core.trainers.dpo.args import AxolotlDPOConfig
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from kormo_plugins.posttraining.preference_trainer import PreferenceTrainer

    out = tempfile.mkdtemp()
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="a", eos_token="b")
    args = AxolotlDPOConfig(
        output_dir=out, use_cpu=device == "cpu", bf16=device == "cuda", report_to=[], precompute_ref_log_probs=True,
        remove_unused_columns=False, max_length=size.length,
    )  # fmt: skip
    row = {"prompt_ids": [0], "chosen_ids": [1], "rejected_ids": [1]}
    made = PreferenceTrainer(
        model(size, device, "kormo"),
        None,
        args=args,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([row] * 8),
    )
    compute = "bfloat16" if device == "cuda" else "float32"
    precision = dataclasses.replace(gpu_parts.AUTOCAST, compute=compute)
    settings = Settings(Path(out), 1, PAIRS, size.length, precision, varlen=device == "cuda", pack_pairs=True)
    made.configure(settings, lambda *a: None, gpu_parts._raise)
    return made


def pairs(size: Size, device: str) -> dict[str, float]:
    """Pairs a second, padded and packed, and how far the losses are apart."""
    from trl import DPOTrainer

    fuse("kormo", device)
    made, inputs = trainer(size, device), batch(size, device)
    net, found, losses = made.model.train(), SimpleNamespace(), []
    for name, compute in (("padded", DPOTrainer._compute_loss), ("packed", type(made)._compute_loss)):

        def step(compute: Any = compute) -> float:
            net.zero_grad()
            with made.accelerator.autocast():
                loss = compute(made, net, inputs, False)
            loss.backward()
            return float(loss.detach())

        losses.append(step())
        sync(device)
        setattr(found, name, best(step, device, 3))
    tokens = int(inputs["attention_mask"].sum())
    return {
        "padded_pairs_per_second": PAIRS / found.padded,
        "packed_pairs_per_second": PAIRS / found.packed,
        "ratio": found.padded / found.packed,
        "loss_difference": abs(losses[0] - losses[1]),
        "share_of_padding": 1 - tokens / inputs["input_ids"].numel(),
    }


def main() -> None:
    """Prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="tiny", choices=sorted(SIZES))
    chosen = parser.parse_args()
    found = pairs(SIZES[chosen.size], chosen.device)
    print(found)
    result("dpo pairs", "pairs/s", found["packed_pairs_per_second"], found["padded_pairs_per_second"], "TRL, padded")


if __name__ == "__main__":
    main()
