"""Evaluates a model during training, without any effect on the training.

A monitor is a run callback that evaluates at the start, at a fixed interval, and at the end. `undisturbed` disables
gradients and dropout, and restores the random state, the train mode of every module and the configuration, so that a
monitored run ends with bit-identical weights.

All ranks take part, since a sharded model (ZeRO-3, FSDP) can only be run by all ranks together; each processes its
share, and sums are reduced over all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from kormo_plugins.console.rank import group_rank
from kormo_plugins.documents.document import Document

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments


@dataclass(frozen=True)
class Texts:
    """Location of documents.

    Args:
        folders: each with `part-*.jsonl.zst`, as written by the corpus.
        control_tokens: added tokens that are encoded as such in these texts.
    """

    folders: tuple[Path, ...]
    control_tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunView:
    """What a run callback knows about the run.

    Args:
        output_dir: the run's folder.
        tokenizer: folder of the run's tokenizer; None if Axolotl loads the base model's own.
        held_out: source -> its held-out documents.
        external_eval: name -> external texts, which are not trained on either.
        special: ids of `bos`, `eos` and `pad`.
        sequence_len: tokens of a training row.
        micro_batch_size: rows of a micro-batch.
        seed: the run's seed.
        conversations: encodes conversations to ids, lengths and loss mask, as for the shards; None if the run has
            none.
        log: writes numbers to `metrics.jsonl` and every tracker; called on every rank.
    """

    output_dir: Path
    tokenizer: Path | None
    held_out: Mapping[str, Texts] = field(default_factory=dict)
    external_eval: Mapping[str, Texts] = field(default_factory=dict)
    special: Mapping[str, int] = field(default_factory=dict)
    sequence_len: int = 512
    micro_batch_size: int = 1
    seed: int = 0
    conversations: Callable[[Sequence[Document]], tuple[Any, object, Any]] | None = None
    log: Callable[[dict[str, float]], None] = lambda values: None


class Monitor(TrainerCallback):
    """Evaluates the model before the first step, every `every_steps` steps, and after the last.

    Args:
        every_steps: optimizer steps between two evaluations.
    """

    name = "monitor"

    def __init__(self, every_steps: int) -> None:
        self.every_steps = every_steps
        self.run: RunView | None = None

    def open(self, run: RunView) -> None:
        """Called once, on every rank, before training."""
        self.run = run

    def measure(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """The measures at this step; called on every rank inside `undisturbed`, with the same result on all ranks."""
        raise NotImplementedError

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: object,
    ) -> None:
        """Evaluates the model before the first step, unless the run was resumed."""
        if state.global_step == 0:
            self._look(model, 0)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: object,
    ) -> None:
        """Evaluates the model after a step that is due, or after the last."""
        if state.global_step % self.every_steps == 0 or state.global_step == state.max_steps:
            self._look(model, state.global_step)

    def _look(self, model: PreTrainedModel | None, step: int) -> None:
        assert self.run is not None and model is not None, "open() is called before training"
        start = time.monotonic()
        with undisturbed(model):
            metrics = self.measure(model, step)
        self.run.log({**metrics, f"{self.name}/seconds": round(time.monotonic() - start, 3)})


@contextlib.contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Context in which the model is in evaluation mode without gradients; restores the previous state."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def summed(values: object) -> Any:
    """The sum of a tensor over all ranks."""
    import torch.distributed as dist

    if group_rank()[1] > 1:
        dist.all_reduce(values)
    return values


def shard_batches(batches: Sequence[object], rank: int, world: int) -> list[tuple[Any, bool]]:
    """The batches of one rank, round-robin, each with a flag whether it counts.

    All ranks get the same number, since a sharded model must be run by all of them: where batches run out, one is
    repeated and does not count.
    """
    turns = -(-len(batches) // world)
    own = [turn * world + rank for turn in range(turns)]
    return [(batches[i], True) if i < len(batches) else (batches[-1], False) for i in own]
