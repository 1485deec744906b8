"""Metrics of a running training: `Meter` adds them to the logs, which are written to `metrics.jsonl`.

Everything passes through the trainer's `log`, so TensorBoard, W&B and trackio get the same values as the file:

    loss, grad_norm, learning_rate      of Trainer: the loss is the mean of the steps since the last log
    tokens, sample                      total positions seen, and the index of the next sample
    tokens_per_second, mfu              since the last log (`throughput.py`)
    batch_loss, loss/source/NAME, …     of the logged step alone (`losses.py`)
    loss/load_balance, loss/future_1, … likewise: terms that the model itself adds to the loss (`parts` of its outputs)

A resumed run appends to the file; a line `{"event": "resume"}` says from which step on later lines replace earlier
ones. The start of a finished run trains no step and writes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from kormo_plugins.measures.metrics_file import FILE, read_metrics
from kormo_plugins.training.compat import upstream
from kormo_plugins.training.settings import Settings
from kormo_plugins.training.telemetry import throughput
from kormo_plugins.training.telemetry.loss_by_source import LossBySource, Reduce
from kormo_plugins.training.telemetry.progress import trains_nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments


class Meter:
    """Measures one training, on every rank.

    Args:
        settings: of the recipe.
        model: the bare model, not wrapped.
        device: of this rank, a torch.device.
        world_size: number of ranks.
    """

    def __init__(self, settings: Settings, model: PreTrainedModel, device: torch.device, world_size: int) -> None:
        self.settings, self.device = settings, device
        self.losses = LossBySource(settings.sources, settings.languages)
        if settings.sources:
            self.losses.attach(model)
        peak = throughput.peak_of(device, settings.precision.autocast, world_size)
        self.speed = throughput.Throughput(throughput.shape_of(model), settings.sequence_len, peak)
        self.measuring = False
        self._tokens = 0  # of this rank since the last log
        self._seen = 0  # of all ranks in this process
        # sum of positions of the measured step, on the device; below, their number
        self._positions: torch.Tensor | float = 0.0
        self._positions_count = 0
        self._parts: dict[str, torch.Tensor | float] = {}  # sums over the micro-batches of the measured step

    def begin(self, inputs: Mapping[str, torch.Tensor], measure: bool) -> None:
        """Call before the forward of a micro-batch; `measure`: its step will be logged."""
        self.speed.start()
        self.measuring = self.losses.measuring = measure
        ids = inputs.get("input_ids")
        _, devices = upstream.shares_rows() or (0, 1)  # a row that several devices share counts once
        self._tokens += 0 if ids is None else ids.numel() // devices

    def end(self, inputs: Mapping[str, torch.Tensor], outputs: object, sources: torch.Tensor | None) -> None:
        """Call after the forward of a micro-batch.

        Args:
            sources: int64 [rows], the collator's column, or None.
        """
        if not self.measuring:
            return
        for name, value in (outputs.get("parts") or {}).items() if hasattr(outputs, "get") else ():
            self._parts[name] = self._parts.get(name, 0.0) + value
        positions = inputs.get("position_ids")
        if positions is not None:
            self._positions = self._positions + positions.sum()
            self._positions_count += positions.numel()
        if upstream.shares_rows() is not None:
            return  # no device has the whole row, so there is no loss by source
        if sources is not None and self.settings.sources and inputs.get("labels") is not None:
            self.losses.add(outputs, inputs["labels"], sources)

    def collect(self, step: int, reduce: Reduce) -> dict[str, float]:
        """The values added to a log after `step` optimizer steps; called on every rank.

        Args:
            reduce: tensor -> its sum over ranks.
        """
        import torch

        mine = [self._tokens, float(self._positions), self._positions_count]
        tokens, positions, count = reduce(torch.tensor(mine, dtype=torch.float64, device=self.device)).tolist()
        self._tokens, self._positions, self._positions_count = 0, 0.0, 0
        self._seen += int(tokens)
        logs: dict[str, float] = {"tokens": self._seen}
        settings = self.settings
        if settings.steps is not None and settings.global_batch is not None:
            logs = {
                "tokens": step * settings.global_batch * settings.sequence_len,
                "sample": step * settings.global_batch,
            }
        logs |= self.speed.mark(int(tokens), positions / count if count else None)
        parts, self._parts = self._parts, {}
        for name in sorted(parts):  # the model is the same on every rank, and so are the names
            value = torch.as_tensor(parts[name], dtype=torch.float64, device=self.device)
            logs[name] = float(reduce(value))
        if settings.sources:
            logs |= self.losses.collect(reduce, self.device)
        return logs


def logs_next(args: TrainingArguments, state: TrainerState) -> bool:
    """Whether the current step will be logged (as in `DefaultFlowCallback`)."""
    step = state.global_step + 1
    if args.logging_first_step and step == 1:
        return True
    every = state.logging_steps
    return args.logging_strategy == "steps" and bool(every) and step % every == 0


class MetricsFile(TrainerCallback):
    """Appends each log of the main process to `metrics.jsonl` in the run's folder."""

    def __init__(self, output_dir: Path) -> None:
        self.path = output_dir / FILE
        self._begun = False
        self._idle = False  # trains no step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Writes the step of a resume, or that a run without a checkpoint starts again; nothing if no step is left."""
        if not state.is_world_process_zero or self._begun:
            return
        self._begun, self._idle = True, trains_nothing(state)
        if self._idle and not self._goes_beyond(state.global_step):
            return
        if state.global_step:
            self._write({"event": "resume", "step": state.global_step, "time": time.time()})
        elif self.path.is_file():
            self._write({"event": "start", "time": time.time()})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Writes one line: the step, the logs, the time; nothing in a start that trains no step."""
        self.on_train_begin(args, state, control)  # another callback's on_train_begin may log before ours
        if state.is_world_process_zero and not self._idle:
            self._write({"step": state.global_step, **(logs or {}), "time": time.time()})

    def _goes_beyond(self, step: int) -> bool:
        """Whether the file has lines of later steps, which the run no longer has: its `max_steps` was lowered."""
        return any(line.get("step", 0) > step for line in read_metrics(self.path))

    def _write(self, line: Mapping[str, object]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=float) + "\n")
