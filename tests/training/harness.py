"""A KormoTrainer on a tiny Llama and a tiny dataset, without `axolotl train` around it.

`run` trains in this process, `ranks` on several: losses, gradient norms and the sample ids that each rank saw.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.forked import Server

ROWS, LENGTH, VOCAB = 64, 32, 97


class Rows(torch.utils.data.Dataset):
    """Row i has a predicted span whose length depends on i: between 1 and LENGTH - 1 tokens."""

    column_names = ("input_ids", "labels")

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, i: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(i)
        ids = torch.randint(0, VOCAB, (LENGTH,), generator=generator)
        labels = ids.clone()
        keep = 1 + (i * i * 7) % (LENGTH - 1)  # very unequal
        labels[1 + keep :] = -100
        return {"input_ids": ids, "labels": labels, "sample": i}


class Collator:
    """Stacks rows and writes down which were asked for."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self.seen += [row["sample"] for row in rows]
        return {key: torch.stack([row[key] for row in rows]) for key in ("input_ids", "labels")}


def model(seed: int = 0) -> Any:
    """A Llama of 4,000 parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, use_cache=False, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def trainer(
    micro: int, accumulation: int, steps: int = 4, ours: bool = True, out: str = "",
    milestone_tokens: int | None = None, masters: bool = False, **arguments: Any,
) -> Any:  # fmt: skip
    """A trainer over `Rows`; with `ours` false, Axolotl's own trainer as its builder sets it up; with
    `masters`, bfloat16 weights with float32 masters."""
    from axolotl.core.trainers.base import AxolotlTrainer
    from axolotl.core.training_args import AxolotlTrainingArguments

    from kormo_plugins.recipe.checks.devices.deepspeed import zero_stage
    from kormo_plugins.training.objective import next_token
    from kormo_plugins.training.precision import cast_weights
    from kormo_plugins.training.settings import Precision, Settings
    from kormo_plugins.training.trainer import KormoTrainer

    arguments.setdefault("bf16", masters)
    args = AxolotlTrainingArguments(
        output_dir=out or tempfile.mkdtemp(), per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulation, max_steps=steps, logging_steps=1, report_to=[],
        save_strategy=arguments.pop("save_strategy", "no"), learning_rate=1e-2, weight_decay=0.1, seed=1,
        use_cpu="deepspeed" not in arguments, disable_tqdm=True, average_tokens_across_devices=ours,
        curriculum_sampling=True, remove_unused_columns=False, lr_scheduler_type="constant", **arguments,
    )  # fmt: skip
    float32 = Precision("float32", "float32", None, "float32")
    precision = Precision("bfloat16", "bfloat16", "float32", "float32") if masters else float32
    kind = KormoTrainer if ours else AxolotlTrainer
    collator = Collator()
    made = kind(model=model(), args=args, train_dataset=Rows(), data_collator=collator)
    if ours:
        world = int(os.environ.get("WORLD_SIZE", "1"))
        settings = Settings(
            output_dir=Path(args.output_dir), steps=steps, global_batch=micro * accumulation * world,
            sequence_len=LENGTH, precision=precision,
            zero_stage=zero_stage(arguments.get("deepspeed")), milestone_tokens=milestone_tokens,
        )  # fmt: skip
        cast_weights(made.model, precision)
        made.configure(settings, next_token, _raise)
    made.collator_seen = collator.seen
    return made


def _raise(error: BaseException) -> Any:
    raise error


class Signal:
    """Sends this process a signal while a step is running."""

    def __new__(cls, step: int, name: str, rank: int) -> Any:
        from transformers import TrainerCallback

        class Sender(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step + 1 == step and int(os.environ.get("RANK", "0")) == rank:
                    os.kill(os.getpid(), getattr(signal, name))

        return Sender()


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Trains by `spec` and returns losses, gradient norms and the samples of this rank.

    Besides the arguments of `trainer`: `resume`, a checkpoint, or what each rank takes for the last one; `signal`, the
    arguments of `Signal`.
    """
    from kormo_plugins.training.compat import cpu_ranks

    spec = dict(spec)
    resume, sent = spec.pop("resume", None), spec.pop("signal", None)
    if isinstance(resume, list):
        resume = resume[int(os.environ["RANK"])]
    cpu_ranks.prepare(deepspeed="deepspeed" in spec)
    made = trainer(**spec)
    if sent:
        made.add_callback(Signal(*sent))
    status = 0
    try:
        made.train(resume_from_checkpoint=resume)
    except SystemExit as left:
        status = int(left.code or 0)
    logs = [line for line in made.state.log_history if "loss" in line]
    return {
        "loss": [line["loss"] for line in logs],
        "grad_norm": [line["grad_norm"] for line in logs],
        "seen": made.collator_seen,
        "status": status,
        "step": made.state.global_step,
    }


def ranks(count: int, spec: dict[str, Any], folder: Path, forks: Server) -> list[dict[str, Any]]:
    """Runs `spec` on `count` ranks, as torchrun would start them; returns what each of them returned."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    started = [
        forks.start(
            "tests.training.harness:main", ["harness.py", json.dumps(spec), str(folder / "rank")], Path.cwd(),
            {**forks.environment, **where, "LOCAL_WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]  # fmt: skip
    for done in [child.completed(240) for child in started]:
        assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(count)]


def main() -> None:
    """One rank: the arguments are a spec as JSON and the beginning of the file's name for the result."""
    result = run(json.loads(sys.argv[1]))
    rank = int(os.environ.get("RANK", "0"))
    Path(f"{sys.argv[2]}-{rank}.json").write_text(json.dumps(result))
