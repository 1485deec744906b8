"""Stops a run whose loss has become NaN or has spiked, before a checkpoint is affected.

At every step, between backward and the optimizer, loss and gradient norm of the whole global batch are checked:

* *NaN or infinity*: the update would destroy the weights. Always stops.
* *A spike*: the loss is more than `sigmas` standard deviations above the mean of the last `window` steps, and also
  more than `factor` times that mean. The first is OLMo-core's test (`SkipStepOptimizer`: 6 standard deviations over
  128 steps); alone it also fires where the loss is smooth and a new mixture raises it by a few percent, which is no
  damage. The second requires damage: PaLM (arXiv 2204.02311, 5.1) and OLMo 2 (arXiv 2501.00656, 3) show spikes that
  multiply the loss. The run is stopped and no step is skipped, so that a person can see what happened and which
  documents were in the batch; PaLM's authors went back about 100 steps and left out 200-500 batches.

The judgement is a pure function of numbers that are equal on every rank, so all ranks stop together.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.store.json_file import write_json
from kormo_plugins.training.settings import StopOn

FILE = "stopped.json"
NAMED = 3
"""Maximum documents per source in the message; the file has all."""


class LossSpikeGuard:
    """Keeps the losses of the last steps and checks the next.

    Args:
        stop_on: what stops the run.
        history: losses of the steps before, of a resumed run.
    """

    def __init__(self, stop_on: StopOn, history: Iterable[float] = ()) -> None:
        self.stop_on = stop_on
        self.losses: deque[float] = deque(maxlen=stop_on.spike.window if stop_on.spike else 1)
        self.remember(history)

    def remember(self, history: Iterable[float]) -> None:
        """Adds losses of earlier steps."""
        self.losses.extend(loss for loss in history if math.isfinite(loss))

    def judge(self, loss: float, grad_norm: float) -> str | None:
        """Checks a step: returns what is wrong, or None, in which case its loss is added to the history.

        Args:
            loss: of the global batch, per predicted token.
            grad_norm: of its gradient, before clipping.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            if self.stop_on.nan:
                return f"loss {loss:.6g}, gradient norm {grad_norm:.6g}"
            return None
        spike = self.stop_on.spike
        if spike is not None and len(self.losses) >= max(2, spike.window // 2):
            mean = sum(self.losses) / len(self.losses)
            deviation = math.sqrt(sum((x - mean) ** 2 for x in self.losses) / len(self.losses))
            if loss > mean + spike.sigmas * deviation and loss > spike.factor * mean:
                return (
                    f"loss {loss:.4g}, {loss / mean:.1f} times the mean of the last {len(self.losses)} steps "
                    f"({mean:.4g}, standard deviation {deviation:.2g})"
                )
        self.losses.append(loss)
        return None


def with_losses(batch: Mapping[str, Any], losses: Sequence[float] | None) -> dict[str, object]:
    """A description of a global batch with the loss of each row, NaN first, then the highest.

    Args:
        losses: mean loss of each sample, in the order of the batch; None if not available.
    """
    if losses is None:
        return dict(batch)
    samples = [{**sample, "loss": loss} for sample, loss in zip(batch["samples"], losses, strict=True)]
    samples.sort(key=lambda sample: -math.inf if math.isnan(sample["loss"]) else -sample["loss"])
    return {**batch, "samples": samples}


def documents(batch: Mapping[str, Any]) -> dict[str, list[str]]:
    """Unique ids of a batch's documents by source, in order, from a description of `mixture/report.py`."""
    by_source: dict[str, dict[str, None]] = {}
    for sample in batch["samples"]:
        ids = by_source.setdefault(sample["source"], {})
        ids.update(dict.fromkeys(str(document["id"]) for document in sample["documents"]))
    return {source: list(ids) for source, ids in by_source.items()}


def stopped(
    output_dir: Path, step: int, steps: int | None, reason: str, batch: Mapping[str, Any] | None, last: str | None
) -> KormoError:
    """The error that ends the run.

    Args:
        step: number of the step from 0, as `kormo data batch --step` counts.
        reason: from `LossSpikeGuard.judge`.
        batch: description of the global batch; None if the rows are not ours.
        last: name of the last complete checkpoint.
    """
    what = reason
    if batch is not None:
        rows = Counter(sample["source"] for sample in batch["samples"])
        parts = []
        for source, ids in documents(batch).items():
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            noun = "row" if rows[source] == 1 else "rows"
            parts.append(f"{rows[source]} {noun} of {source} ({', '.join(ids[:NAMED])}{more})")
        order = ", those of the highest loss first" if "loss" in batch["samples"][0] else ""
        what += f"; its batch has {', '.join(parts)}{order}"
    kept, again = (
        (f"the last good one is {last}", "resumes from the last good checkpoint")
        if last
        else ("and there is none from before", "starts from the beginning")
    )
    hint = f"`kormo data batch {output_dir}/recipe.yml --step {step} --text` shows the batch; " if batch else ""
    return KormoError(
        where=f"{output_dir}: step {step + 1:,}" + (f" of {steps:,}" if steps else ""),
        found=what,
        why=f"training on from here would spoil the model; no checkpoint was written, {kept}",
        do=f"{hint}details are in {FILE}. Lower learning_rate, change the mixture from here on, or relax "
        f"kormo.stop_on; the same command {again}",
    )


def write_report(output_dir: Path, **values: object) -> None:
    """Writes `values` to `stopped.json` in the run's folder; NaN and infinity as strings."""
    output_dir.mkdir(parents=True, exist_ok=True)
    write_json(output_dir / FILE, _sound(values))


def _sound(value: object) -> object:
    """The value with NaN and infinity as strings, since JSON has no numbers for them."""
    if isinstance(value, Mapping):
        return {key: _sound(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
