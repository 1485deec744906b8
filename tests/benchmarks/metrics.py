"""What it costs to look: time of a step with the loss by source and the watch, against a step without.

    python tests/benchmarks/metrics.py

The nano model on rows of 512 tokens, in our trainer. Steps take turns: nothing, the watch alone (every step of a real
run), the watch and the measured losses (a logged step). Processor time from one step's beginning to the next's.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from tests.training import harness

TURNS = 12
LENGTH, VOCAB = 512, 4224


def nano(seed: int = 0) -> Any:
    """The shape of `recipes/sizes/nano.yml`."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=4096, use_cache=False,
    ))  # fmt: skip


class Turns(TrainerCallback):
    """Switches what is looked at from step to step, and takes the time of each."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.meter, self.watch = trainer, trainer.meter, trainer._watch
        self.times: dict[int, list[float]] = {0: [], 1: [], 2: []}
        self._since: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the time of the step before, and sets this one up."""
        now = time.process_time()
        if self._since is not None and state.global_step > 6:
            self.times[(state.global_step - 1) % 3].append(now - self._since)
        turn = state.global_step % 3
        self.trainer._watch = self.watch if turn else None
        self.trainer.meter = self.meter if turn == 2 else None
        self._since = time.process_time()


def main() -> None:
    """Measures and prints one JSON line at the end."""
    harness.LENGTH, harness.VOCAB, harness.model = LENGTH, VOCAB, nano
    made = harness.trainer(8, 1, steps=3 * TURNS + 7)
    collate = made.data_collator
    made.data_collator = lambda rows: {**collate(rows), "sources": torch.arange(len(rows)) % 2}
    settings = dataclasses.replace(made.kormo, sources=("ko", "en"), languages=("ko", "en"))
    made.configure(settings, made.objective, made._stop)
    made.args.logging_steps = 3  # the third turn is logged
    turns = Turns(made)
    made.add_callback(turns)
    made.train()
    nothing, watched, logged = (1000 * statistics.median(turns.times[turn]) for turn in (0, 1, 2))
    print(f"median of {TURNS} steps of 8 × {LENGTH} tokens: {nothing:.0f} ms")
    print(f"watched: {watched:.0f} ms; watched and logged: {logged:.0f} ms")
    cost = {"watch": watched / nothing - 1, "logged_step": logged / nothing - 1}
    print(json.dumps({"name": "metrics", "unit": "ms", "ours": round(logged, 1), "peer": round(nothing, 1),
                      "peer_name": "the same step, nothing looked at",
                      **{key: round(value, 4) for key, value in cost.items()}}))  # fmt: skip


if __name__ == "__main__":
    main()
