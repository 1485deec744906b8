"""The progress of training: a bar on a terminal, whole lines in a log file.

A bar rewrites its line with carriage returns, all of which end up in a log file. So if stderr is not a terminal, a line
is written every `FIRST` seconds at the beginning, later every hundredth of the elapsed time, but at least every `LAST`
seconds: some hundreds of lines for a run of a day or of a month.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, TextIO

from transformers import TrainerCallback

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

FIRST, LAST = 10.0, 600.0
"""Minimum and maximum seconds between two lines of a log."""

TERMINAL = 0.2
"""Seconds between two updates of the bar."""

RECENT = 60
"""Number of recent steps in the estimate of the remaining time."""


class Progress(TrainerCallback):
    """Shows the progress of training on the main process.

    Args:
        stream: output; default: stderr.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self._start = self._shown = time.monotonic()
        self._logs: dict[str, float] = {}
        self._idle = False  # trains no step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Starts the clock, at the step of a resumed run; says so if no step is left."""
        self._start = self._shown = time.monotonic()
        self._recent.clear()
        self._recent.append((self._start, state.global_step))
        self._idle = trains_nothing(state)
        if state.is_world_process_zero and self._idle:
            self._write(f"kormo: the run is finished at step {state.global_step:,}: nothing was trained\n")
        elif state.is_world_process_zero:
            self._show(state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Stores the values to show."""
        self._logs |= {key: logs[key] for key in ("loss", "tokens_per_second", "mfu") if key in logs} if logs else {}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Shows the state if the interval has passed."""
        now = time.monotonic()
        self._recent.append((now, state.global_step))
        every = TERMINAL if self.terminal else min(max(FIRST, (now - self._start) / 100), LAST)
        last = state.global_step >= state.max_steps  # shown when it is logged
        if state.is_world_process_zero and not last and now - self._shown >= every:
            self._shown = now
            self._show(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Shows the final state, unless no step was trained."""
        if state.is_world_process_zero and not self._idle:
            self._show(state)
            if self.terminal:
                self._write("\n")

    def text(self, step: int, steps: int) -> str:
        """`step 120 of 160 (75%), loss 3.912, 16,410 tokens/s, 0:38 left`."""
        parts = [f"step {step:,} of {steps:,} ({100 * step // max(steps, 1)}%)"]
        if "loss" in self._logs:
            parts.append(f"loss {self._logs['loss']:.4g}")
        if "tokens_per_second" in self._logs:
            parts.append(f"{self._logs['tokens_per_second']:,.0f} tokens/s")
        if "mfu" in self._logs:
            parts.append(f"MFU {self._logs['mfu']:.1%}")
        (then, before), (now, after) = self._recent[0], self._recent[-1]
        if step >= steps:
            parts.append(f"{clock(time.monotonic() - self._start)} in all")
        elif after > before:
            parts.append(f"{clock((now - then) / (after - before) * (steps - step))} left")
        return ", ".join(parts)

    def _show(self, state: TrainerState) -> None:
        text = self.text(state.global_step, state.max_steps)
        if not self.terminal:
            return self._write(f"kormo: {text}\n")
        width = shutil.get_terminal_size().columns
        cells = max(0, min(30, width - len(text) - 4))
        filled = cells * state.global_step // max(state.max_steps, 1)
        self._write(f"\r\x1b[2K{'█' * filled}{'░' * (cells - filled)} {text}"[: width + 4])

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def trains_nothing(state: TrainerState) -> bool:
    """Whether a training that begins is resumed from its last step."""
    return 0 < state.max_steps <= state.global_step


def clock(seconds: float) -> str:
    """`0:38`, `2:05:09`, `3 d 2:05:09`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{days} d {text}" if days else text


def replace_bars(trainer: Trainer) -> Progress:
    """Replaces the trainer's bars and printed dictionaries; returns the replacement."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    for kind in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(kind)
    return Progress()


def quiet_libraries() -> None:
    """Disables the bars of transformers and datasets (loading weights, mapping rows) if stderr is not a terminal."""
    if sys.stderr.isatty():
        return
    import datasets
    from transformers.utils import logging

    logging.disable_progress_bar()
    datasets.disable_progress_bars()
