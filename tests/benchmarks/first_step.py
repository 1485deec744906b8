"""What `axolotl train` costs up to its first step: the quick start, beside plain Axolotl with a Llama of its size.

    python tests/benchmarks/first_step.py [--no-monitor]

Ours first builds its artifacts with `kormo data build` and, in a run that is not counted, the initial weights; the
peer reads some of the same documents, which it tokenizes and packs in a run that is not counted either. A hook in both
ends the process where the trainer would take its first step, and prints processor seconds of the launcher and of the
training. Each side twice, in turns; the least counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure

HOOK = """\
import os, sys

def spent(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), int(fields[1])

def first_step(*_, **__):
    pid, total = os.getpid(), 0.0
    while "axolotl" in open(f"/proc/{pid}/cmdline").read() and "first_step" not in open(f"/proc/{pid}/cmdline").read():
        seconds, pid = spent(pid)
        total += seconds
    print(f"FIRST STEP {total:.2f}", flush=True)
    os._exit(7)

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "transformers.trainer":
            sys.meta_path.remove(self)
            import importlib.util
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module
            def patched(module):
                run(module)
                module.Trainer.training_step = first_step
            spec.loader.exec_module = patched
            return spec

if os.environ.get("FIRST_STEP"):
    sys.meta_path.insert(0, Finder())
"""
OURS = """\
extends: {root}/recipes/pretrain.yml
plugins: [kormo_plugins.KormoPlugin]
kormo: {{workspace: {folder}/artifacts, tokens: 8192{more}}}
output_dir: {folder}/ours
"""
PLAIN = """\
base_model: {folder}/llama
datasets: [{{path: {folder}/texts.jsonl, ds_type: json, type: completion}}]
dataset_prepared_path: {folder}/prepared
output_dir: {folder}/plain
sequence_len: 512
sample_packing: true
pad_to_sequence_len: true
micro_batch_size: 8
gradient_accumulation_steps: 1
max_steps: 2
optimizer: adamw_torch
learning_rate: 0.003
bf16: false
fp16: false
tf32: false
sdp_attention: true
val_set_size: 0
save_strategy: "no"
dataset_num_proc: 1
"""


def plain_model(folder: Path) -> None:
    """A Llama of the size of ours with its tokenizer, and documents of one of its sources."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from kormo_plugins.store.corpus_files import read_corpus

    initial = next((folder / "artifacts").glob("init-*"))
    keys = "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size"
    config: dict[str, Any] = json.loads((initial / "config.json").read_text(encoding="utf-8"))
    LlamaForCausalLM(LlamaConfig(**{key: config[key] for key in keys.split()})).save_pretrained(folder / "llama")
    AutoTokenizer.from_pretrained(initial).save_pretrained(folder / "llama")
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for document in read_corpus(next((folder / "artifacts").glob("corpus-*"))):
            file.write(json.dumps({"text": document.text}, ensure_ascii=False) + "\n")


def first_step(recipe: Path) -> float:
    """Processor seconds up to the first step."""
    environment = os.environ | {"PYTHONPATH": f"{measure.ROOT}:{recipe.parent}/hook", "FIRST_STEP": "1"}
    command = [str(Path(sys.executable).with_name("axolotl")), "train", str(recipe)]
    told = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    for line in told.splitlines():
        if line.startswith("FIRST STEP"):
            return float(line.split()[-1])
    raise SystemExit(f"no step was reached:\n{told[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-monitor", action="store_true", help="without the look that ours takes before any step")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "hook").mkdir()
        (folder / "hook/sitecustomize.py").write_text(HOOK, encoding="utf-8")
        more = ", monitor: null" if options.no_monitor else ""
        (folder / "ours.yml").write_text(OURS.format(root=measure.ROOT, folder=folder, more=more), encoding="utf-8")
        (folder / "plain.yml").write_text(PLAIN.format(folder=folder), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(measure.ROOT)}
        build = [sys.executable, "-m", "kormo_plugins.cli.main", "data", "build", str(folder / "ours.yml")]
        subprocess.run(build, env=environment, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        first_step(folder / "ours.yml")  # draws its initial weights
        plain_model(folder)
        first_step(folder / "plain.yml")  # prepares its dataset
        seconds: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(2):
            for side, found in seconds.items():
                found.append(first_step(folder / f"{side}.yml"))
        print(seconds)
        measure.result("first step", "s", min(seconds["ours"]), min(seconds["plain"]), "plain Axolotl", lower=True)


if __name__ == "__main__":
    main()
