"""Looking at a model while it trains, and leaving no trace in what is trained.

A monitor is a run callback that looks at the start, at every so many steps, and at the end. Inside `undisturbed` no
gradient is kept, dropout is off, and the random state, the train mode of every module and the configuration are
afterwards what they were: a run that is looked at ends with the same weights, bit for bit, as one that is not.

Every rank looks, since a sharded model (ZeRO-3, FSDP) can only be run by all ranks together; each does its part of
the work, and sums are taken over all of them.
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
    """Where documents lie.

    Args:
        folders: each with `part-*.jsonl.zst`, as the corpus is written.
        control_tokens: added tokens that these texts may contain as such.
    """

    folders: tuple[Path, ...]
    control_tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunView:
    """What a watcher is told of the run.

    Args:
        output_dir: the run's folder.
        tokenizer: folder of the run's tokenizer; None if Axolotl loads the base model's own.
        held_out: source -> its documents that are never trained on.
        external_eval: name -> texts from elsewhere, never trained on either.
        special: ids of `bos`, `eos` and `pad`.
        sequence_len: tokens of a training row.
        micro_batch_size: rows of a micro-batch: what fits into the device's memory.
        seed: the run's seed.
        conversations: makes ids, lengths and training mask of conversations, as for the shards; None where none is
            trained on.
        log: sends numbers to `metrics.jsonl` and to every tracker; called on every rank.
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
    """Looks at the model before the first step, every `every_steps` steps, and after the last.

    Args:
        every_steps: optimizer steps between two looks.
    """

    name = "monitor"

    def __init__(self, every_steps: int) -> None:
        self.every_steps = every_steps
        self.run: RunView | None = None

    def open(self, run: RunView) -> None:
        """Called once, on every rank, before training."""
        self.run = run

    def measure(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """The numbers at this step; called on every rank inside `undisturbed`, and the same on all of them."""
        raise NotImplementedError

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: object,
    ) -> None:
        """The model before the first step; a resumed run was looked at already."""
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
        """The model after a step that is due, or after the last."""
        if state.global_step % self.every_steps == 0 or state.global_step == state.max_steps:
            self._look(model, state.global_step)

    def _look(self, model: PreTrainedModel | None, step: int) -> None:
        assert self.run is not None and model is not None, "open() is called before training"
        start = time.monotonic()
        with undisturbed(model):
            found = self.measure(model, step)
        self.run.log({**found, f"{self.name}/seconds": round(time.monotonic() - start, 3)})


@contextlib.contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model is in evaluation mode and keeps no gradient; afterwards all is as it was."""
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
    """The batches of one rank, in turn, with whether they count.

    All ranks get the same number, since a sharded model is run by all of them or by none: where batches run out, one
    is run again and does not count.
    """
    turns = -(-len(batches) // world)
    mine = [turn * world + rank for turn in range(turns)]
    return [(batches[i], True) if i < len(batches) else (batches[-1], False) for i in mine]
