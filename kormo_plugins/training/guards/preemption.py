"""Orderly exit: a signal causes a complete checkpoint after the current step and an exit status of its own.

1. The handler of SIGTERM, SIGUSR1 and SIGINT only sets a flag in the process that received the signal.
2. At the end of every optimizer step the ranks take the maximum of their flags, so one signalled rank is enough.
3. If it is set, all ranks write a checkpoint at that step, rank 0 writes `preempted.json` beside it, and all exit
   with status 75 (EX_TEMPFAIL of sysexits.h: try again later).

A second SIGINT, two seconds or more after the first, ends the process at once (Ctrl-C reaches a rank twice: from the
terminal and from its launcher).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from transformers import TrainerCallback

from kormo_plugins.training.compat.side_channel import ControlChannel
from kormo_plugins.training.guards.loader_workers import shield
from kormo_plugins.training.guards.preemption_file import EXIT_PREEMPTED, write
from kormo_plugins.training.guards.signals import SIGNALS

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


SECOND_AFTER = 2.0
"""Seconds after which another SIGINT ends the process at once."""


class Preemption(TrainerCallback):
    """Watches for signals between `start` and `stop`, and asks Trainer to save and stop.

    Attributes:
        signal: number of the signal that the ranks agreed on; 0: none.
    """

    def __init__(self, ranks: ControlChannel) -> None:
        self.signal = 0
        self._ranks = ranks
        self._received, self._at = 0, 0.0
        self._before: dict[int, object] = {}

    def start(self) -> None:
        """Installs the handlers; Axolotl's SIGINT handler would save bare weights and report success."""
        if threading.current_thread() is not threading.main_thread():
            return  # a Ray worker: Ray handles signals, and Python only allows handlers in the main thread
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._receive)

    def stop(self) -> None:
        """Resets the handlers to the operating system's defaults, not to Axolotl's handler."""
        for number in self._before:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and self._received and now - self._at >= SECOND_AFTER:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if not self._received:
            self._received, self._at = number, now
            name = signal.Signals(number).name
            os.write(2, f"\nkormo: {name} received: a checkpoint at the end of this step, then exit\n".encode())

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Shields the data loader workers from signals."""
        shield(kwargs.get("train_dataloader"))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Exchanges the flags: one signalled rank stops all ranks after the same step."""
        self.signal = self._ranks.highest(self._received)
        if self.signal:
            control.should_save = control.should_training_stop = True

    def leave(self, output_dir: Path, step: int) -> NoReturn:
        """Writes `preempted.json` and ends the process with status 75; called by every rank."""
        if self._ranks.main:
            write(output_dir, step, self.signal)
            name = signal.Signals(self.signal).name
            print(f"kormo: stopped after step {step} on {name}; the same command resumes from there", flush=True)
        self._ranks.gather(None)
        _close_process_group()
        raise SystemExit(EXIT_PREEMPTED)


def _close_process_group() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
