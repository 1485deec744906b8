"""`metrics.jsonl`: everything that was logged, one line each, whatever trackers are on.

A resumed run appends; a line `{"event": "resume"}` says from which step on later lines replace earlier ones.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

FILE = "metrics.jsonl"


class MetricsFile(TrainerCallback):
    """Appends each log of the main process to `metrics.jsonl`.

    Args:
        output_dir: the run's folder.
        tokens_per_step: tokens of one global batch, padding included; 0 if it is not known.
    """

    def __init__(self, output_dir: Path, tokens_per_step: int) -> None:
        self.path, self.tokens_per_step = output_dir / FILE, tokens_per_step
        self._start = time.monotonic()
        self._start_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes where a resumed run takes over."""
        self._start, self._start_step = time.monotonic(), state.global_step
        if state.is_world_process_zero and state.global_step:
            self._write({"event": "resume", "step": state.global_step, "time": time.time()})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Writes one line: the logs, the step, the tokens seen and the speed since the start."""
        if not state.is_world_process_zero:
            return
        line: dict[str, Any] = {"step": state.global_step, **(logs or {})}
        if self.tokens_per_step:
            line["tokens"] = state.global_step * self.tokens_per_step
            seconds = time.monotonic() - self._start
            if seconds > 0 and state.global_step > self._start_step:
                done = (state.global_step - self._start_step) * self.tokens_per_step
                line["tokens_per_second"] = round(done / seconds, 1)
        line["time"] = time.time()
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=float) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run, those that a resume replaced left out."""
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line.get("event") == "resume":
            lines = [kept for kept in lines if kept["step"] <= line["step"]]
        else:
            lines.append(line)
    return lines
