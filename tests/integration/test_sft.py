"""Fine-tuning for real: conversations through the trainer, with adapters over a base model in 4 bits."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from kormo_plugins.measures.metrics_file import read_metrics
from kormo_plugins.store.complete import fault
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import Lab

CHAT: dict[str, Any] = {
    "name": "tiny_chat",
    "sources": {
        name: {"language": name, "generator": {"name": "embedded_chat", "language": name, "conversations": 200}}
        for name in ("ko", "en")
    },
}


def change(lab: Lab, **more: Any) -> dict[str, Any]:
    """A fine-tuning stage on the tiny base."""
    data = lab.folder / "chat.yml"  # a file: a mapping would be merged with the sources of the tiny recipe
    data.write_text(yaml.safe_dump(CHAT))
    kormo = {
        "from_run": str(lab.out("base")), "architecture": None, "tokenizer": None, "role": "chat", "data": str(data),
        "generation": {"do_sample": False, "temperature": None},
    }  # fmt: skip
    return {"kormo": kormo, "sequence_len": 512, **more}


QLORA: dict[str, Any] = {
    "adapter": "qlora", "load_in_4bit": True, "lora_r": 8, "lora_alpha": 16, "lora_target_linear": True,
    "lora_modules_to_save": ["embed_tokens", "lm_head"], "optimizer": "adamw_bnb_8bit", "max_steps": 4,
    "bnb_config_kwargs": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    **{f"lora_{part}_kernel": False for part in ("mlp", "qkv", "o", "embedding")},
}  # fmt: skip


def test_adapters_over_four_bits(lab: Lab, trained: Any) -> None:
    done = lab.train("qlora", change=change(lab, **QLORA))
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [row["loss"] for row in read_metrics(lab.out("qlora") / "metrics.jsonl") if "loss" in row]
    assert len(losses) == 4 and losses[-1] < losses[0]
    assert (lab.out("qlora") / "adapter_model.safetensors").is_file()
    config = json.loads((lab.out("qlora") / "adapter_config.json").read_text())
    assert sorted(config["modules_to_save"]) == ["embed_tokens", "lm_head"]


@pytest.mark.soak
def test_a_merged_model_is_that_of_the_run_and_not_of_the_base(lab: Lab, trained: Any) -> None:
    """Axolotl copies all of the base's folder: the chat model would end with <|EOS|>, under the base's card."""
    if not (lab.out("qlora") / "adapter_model.safetensors").is_file():
        test_adapters_over_four_bits(lab, trained)
    done = lab.axolotl("merge-lora", str(lab.folder / "qlora.yml"))
    assert done.returncode == 0, done.stderr[-3000:]
    base, run, out = lab.out("base"), lab.out("qlora"), lab.out("qlora") / "merged"
    assert fault(out) is None
    ends = [json.loads((folder / "generation_config.json").read_text())["eos_token_id"] for folder in (base, run, out)]
    assert ends[1] == ends[2] != ends[0]
    assert json.loads((out / "config.json").read_text())["eos_token_id"] == ends[1]
    for name in ("run.json", "recipe.yml", "metrics.jsonl", "tokenizer_config.json"):
        assert (out / name).read_bytes() == (run / name).read_bytes(), name
    assert (out / "README.md").read_text().count("# out-qlora\n") == 1
    one, other = (load_file(folder / "model.safetensors") for folder in (base, out))
    assert one.keys() == other.keys() and any((one[key] != other[key]).any() for key in one)
    export = subprocess.run(
        ["kormo", "export", str(out), "--to", "llama", str(lab.folder / "merged-llama")],
        env=lab.environ(), capture_output=True, text=True,
    )  # fmt: skip
    assert export.returncode == 0, export.stderr
    assert json.loads((lab.folder / "merged-llama/config.json").read_text())["model_type"] == "llama"


def test_held_out_conversations_are_scored_as_they_are_trained(lab: Lab, trained: Any) -> None:
    """The reference: transformers' own template, mask and loss, on the plain Llama export of the finished model."""
    monitor = {"every_steps": 4, "held_out": {"documents": 20}}
    stage = change(lab, max_steps=4)
    done = lab.train("heard", change={**stage, "kormo": {**stage["kormo"], "monitor": monitor}})
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line for line in read_metrics(lab.out("heard") / "metrics.jsonl") if "held_out/loss/ko" in line]
    assert [line["step"] for line in told] == [0, 4] and told[1]["held_out/loss"] < told[0]["held_out/loss"]
    tokenizer = AutoTokenizer.from_pretrained(lab.out("heard") / "export")
    model = AutoModelForCausalLM.from_pretrained(lab.out("heard") / "export", dtype=torch.float32)
    inputs = json.loads((lab.out("heard") / "run.json").read_text())["artifacts"]
    for name in ("ko", "en"):
        nats = tokens = 0.0
        for document in read_corpus(Path(inputs[f"corpus/{name}"]) / "held_out"):
            both = tokenizer.apply_chat_template(
                document.meta["messages"], return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
            )
            labels = both["input_ids"].where(both["assistant_masks"].bool(), -100)
            with torch.no_grad():
                loss = model(input_ids=both["input_ids"], labels=labels).loss
            count = int((labels[:, 1:] != -100).sum())
            nats, tokens = nats + float(loss) * count, tokens + count
        assert told[1][f"held_out/loss/{name}"] == pytest.approx(nats / tokens, rel=1e-4)
