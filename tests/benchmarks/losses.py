"""What it costs to look: a step with the loss by source and the watch, against one without and against a bare loop.

    python tests/benchmarks/losses.py [--turns 40] [--tiny]

The nano model of the quick start on its rows (8 × 512 tokens, two documents each). In our trainer steps take turns:
nothing looked at, the watch (every step of a real run), the watch and the losses (a logged step). The bare loop is
a Llama of transformers: batch, forward, backward, clipping, AdamW, nothing else; it takes a step after every three of
ours, in the same process. Processor time, medians.

Steps vary by more than a log costs. So the time that is spent inside a log is taken too, at each logged step: the meter
before and after each forward, the reduction over ranks, Trainer's own log with every callback. On one thread nothing of
it is hidden, and its share of the step is the cost of `logging_steps: 1`. With `--tiny` the model is one of 4,000
parameters on rows of 64 tokens: the time inside a log hardly depends on the model, and is soon measured.
"""

from __future__ import annotations

import argparse
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

LENGTH, VOCAB, ROWS, WARM = 512, 4224, 8, 6


def nano(seed: int = 0) -> Any:
    """The shape of `recipes/sizes/nano.yml`."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=4096, use_cache=False, tie_word_embeddings=False,
    ))  # fmt: skip


class Bare:
    """A training loop of ten lines."""

    make: Any = staticmethod(nano)

    def __init__(self) -> None:
        self.model = self.make().train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        """One step on a micro-batch that is the whole batch."""
        self.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Spent:
    """Processor time inside some methods, since the last look."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def wrap(self, owner: Any, *names: str) -> None:
        """Counts the time of these methods of `owner` from now on; of one inside another, once."""
        for name in names:
            setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, method: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            begin, self._depth = time.process_time(), self._depth + 1
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.process_time() - begin

        return counted

    def taken(self) -> float:
        """Seconds since the last look."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class Turns(TrainerCallback):
    """Switches what is looked at from step to step, takes the time of each, and lets the bare loop take a turn."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.meter, self.watch, self.bare = trainer, trainer.meter, trainer._watch, Bare()
        self.times: dict[int, list[float]] = {0: [], 1: [], 2: [], 3: []}
        self.spent, self.inside = Spent(), list[float]()
        self.spent.wrap(trainer.meter, "begin", "end")
        self.spent.wrap(trainer, "log", "_maybe_log_save_evaluate")
        self._since: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the time of the step before, and sets this one up."""
        now = time.process_time()
        step = state.global_step
        if self._since is not None and step > WARM:
            self.times[(step - 1) % 3].append(now - self._since)
            if (step - 1) % 3 == 2:
                self.inside.append(self.spent.seconds)
        self.spent.taken()
        if step % 3 == 0:
            batch = self.trainer.seen[-1] if self.trainer.seen else None
            begin = time.process_time()
            if batch is not None:
                self.bare.step(batch)
            if step > WARM:
                self.times[3].append(time.process_time() - begin)
        self.trainer._watch = self.watch if step % 3 else None
        self.trainer.meter = self.meter if step % 3 == 2 else None
        self._since = time.process_time()


def main() -> None:
    """Measures and prints one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--tiny", action="store_true")
    chosen = parser.parse_args()
    turns, length, make = chosen.turns, LENGTH, nano
    if chosen.tiny:
        length, make = 64, harness.model
        Bare.make = staticmethod(make)
    else:
        harness.VOCAB, harness.model = VOCAB, nano
    harness.LENGTH = length
    made = harness.trainer(ROWS, 1, steps=3 * turns + WARM + 1)
    collate, made.seen = made.data_collator, []
    half = torch.arange(length // 2)

    def collated(rows: Any) -> dict[str, torch.Tensor]:
        batch = {**collate(rows), "position_ids": torch.cat([half, half]).repeat(len(rows), 1)}
        made.seen[:] = [batch]
        return {**batch, "sources": torch.arange(len(rows)) % 2}

    made.data_collator = collated
    settings = dataclasses.replace(made.kormo, sources=("ko", "en"), languages=("ko", "en"))
    made.configure(settings, made.objective, made._stop)
    made.args.logging_steps = 3  # the third turn is logged
    taken = Turns(made)
    made.add_callback(taken)
    made.train()
    nothing, watched, logged, bare = (1000 * statistics.median(taken.times[turn]) for turn in range(4))
    print(f"medians of {turns} steps of {ROWS} × {length} tokens: {nothing:.0f} ms; watched {watched:.0f}; watched and "
          f"logged {logged:.0f}, of which {1000 * statistics.median(taken.inside):.2f} inside the log; "
          f"a bare Llama loop {bare:.0f}")  # fmt: skip
    pairs = list(zip(taken.times[2], taken.times[1], strict=False))
    cost = {
        "watch": watched / nothing - 1,
        "logged_step": statistics.median(one / other for one, other in pairs) - 1,
        "inside_a_log": 1000 * statistics.median(taken.inside) / nothing,
        "step_over_bare_loop": logged / bare,
    }
    print(json.dumps({"name": "losses", "unit": "ms", "ours": round(logged, 1), "peer": round(bare, 1),
                      "peer_name": "a bare loop over a Llama of transformers",
                      **{key: round(value, 4) for key, value in cost.items()}}))  # fmt: skip


if __name__ == "__main__":
    main()
