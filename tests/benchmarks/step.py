"""A whole training step of the quick start with a log at every step, beside a bare loop over the same rows.

    python tests/benchmarks/step.py [--steps 30]

`axolotl train` of the nano recipe runs as a user starts it (loader, mixture, collator, callbacks, log,
`metrics.jsonl`, loss by source; without `kormo.monitor`, which is no part of a step), with `logging_steps: 1`. After
each of its steps, in the same process and on the same rows, a bare loop takes one: forward, backward, clipping and
AdamW of a Llama of transformers of the same shape, float32, one thread. Plain Axolotl trains such a Llama on the same
documents in the same way, also beside a bare loop: what it adds is not ours.

Processor time; the median of the ratios of neighbours, which a busy machine slows alike. Memory: how far the resident
set rises within a step above what it was before, median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import first_step
import measure

WARM = 3
HOOK = """\
import json, os, sys, time

def resident(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

class Taken:
    def __init__(self):
        open("/proc/self/clear_refs", "w").write("5")
        self.begin, self.before = time.process_time(), resident("VmRSS")

    def done(self):
        return {"seconds": time.process_time() - self.begin, "megabytes": resident("VmHWM") - self.before}

def bare_loop(config):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    keys = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim"
    keys += " max_position_embeddings tie_word_embeddings"
    shape = {key: getattr(config, key) for key in keys.split()}
    model = LlamaForCausalLM(LlamaConfig(**shape, use_cache=False, attn_implementation="sdpa")).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(batch):
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step

def measured(module):
    last = {}
    training_step, train = module.Trainer.training_step, module.Trainer.train

    def kept(self, model, inputs, *args, **kwargs):
        last["batch"] = {key: inputs[key] for key in ("input_ids", "labels", "position_ids") if key in inputs}
        return training_step(self, model, inputs, *args, **kwargs)

    class Turns(module.TrainerCallback):
        pairs, taken, bare = [], None, None

        def on_step_begin(self, args, state, control, model=None, **kwargs):
            ours = self.taken.done() if self.taken else None
            if ours:
                self.bare = self.bare or bare_loop(model.config)
                taken = Taken()
                self.bare(last["batch"])
                self.pairs.append((ours, taken.done()))
            if len(self.pairs) == int(os.environ["STEPS"]):
                json.dump(self.pairs, open(os.environ["STEPS_OUT"], "w"))
                os._exit(7)
            self.taken = Taken()

    def watched(self, *args, **kwargs):
        import torch
        torch.set_num_threads(1)
        self.add_callback(Turns())
        return train(self, *args, **kwargs)

    module.Trainer.training_step, module.Trainer.train = kept, watched

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "transformers.trainer":
            sys.meta_path.remove(self)
            import importlib.util
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (run(module), measured(module))
            return spec

if os.environ.get("STEPS_OUT"):
    sys.meta_path.insert(0, Finder())
"""


def pairs(recipe: Path, steps: int) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Processor seconds and megabytes of each step of a training, and of the bare step after it."""
    out = recipe.with_suffix(".json")
    environment = os.environ | {
        "PYTHONPATH": f"{measure.ROOT}:{recipe.parent}/hook",
        "OMP_NUM_THREADS": "1",
        "STEPS": str(steps + WARM),
        "STEPS_OUT": str(out),
    }
    command = [str(Path(sys.executable).with_name("axolotl")), "train", str(recipe)]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not out.is_file():
        raise SystemExit(f"no step was measured:\n{done.stdout[-3000:]}")
    return [(ours, bare) for ours, bare in json.loads(out.read_text(encoding="utf-8"))][WARM:]


def medians(found: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, float]:
    """Medians of a training's steps, of the bare ones, and of the ratios of neighbours."""
    return {
        "seconds": statistics.median(one["seconds"] for one, _ in found),
        "bare_seconds": statistics.median(bare["seconds"] for _, bare in found),
        "ratio": statistics.median(one["seconds"] / bare["seconds"] for one, bare in found),
        "megabytes": statistics.median(one["megabytes"] for one, _ in found),
        "bare_megabytes": statistics.median(bare["megabytes"] for _, bare in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="measured steps of each side")
    steps = parser.parse_args().steps
    more = "logging_steps: 1\nmax_steps: 1000\n"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "hook").mkdir()
        (folder / "hook/sitecustomize.py").write_text(HOOK, encoding="utf-8")
        ours = first_step.OURS.format(root=measure.ROOT, folder=folder, more=", monitor: null")
        ours = ours.replace(" tokens: 8192,", " tokens: null,") + more + "save_steps: 1000\n"
        (folder / "ours.yml").write_text(ours, encoding="utf-8")
        plain = first_step.PLAIN.replace("max_steps: 2\n", "").format(folder=folder)
        (folder / "plain.yml").write_text(plain + more, encoding="utf-8")
        found = {"ours": medians(pairs(folder / "ours.yml", steps))}
        first_step.plain_model(folder)
        found["plain Axolotl"] = medians(pairs(folder / "plain.yml", steps))
        for name, values in found.items():
            print(f"{name}:", ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
        print(json.dumps({
            "name": "step", "unit": "processor seconds", "ours": round(found["ours"]["seconds"], 4),
            "peer": round(found["ours"]["bare_seconds"], 4), "peer_name": "a bare loop over a Llama of transformers",
            "ratio": round(found["ours"]["ratio"], 3), "plain_axolotl": round(found["plain Axolotl"]["ratio"], 3),
            "megabytes": round(found["ours"]["megabytes"]), "peer_megabytes": round(found["ours"]["bare_megabytes"]),
        }))  # fmt: skip


if __name__ == "__main__":
    main()
