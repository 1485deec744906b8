"""Runs the tasks one by one and skips finished ones.

Tasks run separately, so that each can be recorded and skipped by itself; the harness seeds the prompts per task, so the
score does not depend on other tasks. A group's score is computed as in the harness: the mean weighted by items, and the
pooled standard error.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.evaluation.catalogue import Named
from kormo_plugins.evaluation.harness import Model, generation_settings
from kormo_plugins.evaluation.plan import SEEDS, Ready
from kormo_plugins.evaluation.published import scores_of
from kormo_plugins.evaluation.record import Record
from kormo_plugins.evaluation.suites import SuiteTask
from kormo_plugins.measures.scores import Score, SuiteRow, TaskRow

Say = Callable[[str], None]


class _Sample(TypedDict):
    """A request and its answer, as the harness stores them: prompt and settings first."""

    arguments: tuple[tuple[str, object], ...]


def score(
    ready: Sequence[Ready], load: Callable[[], Model], record: Record, say: Say
) -> dict[tuple[str, str], TaskRow]:
    """Runs unfinished tasks. Returns (suite, task) -> row.

    Args:
        load: returns the model; called when the first task needs it.
    """
    rows: dict[tuple[str, str], TaskRow] = {}
    model, finished = None, 0
    begin = time.monotonic()
    for number, one in enumerate(ready, 1):
        row = record.task(one.hash)
        if row is None:
            model = model or load()
            row = _run(one, model)
            record.add_task(row)
            spent = time.monotonic() - begin
            say(f"[{number}/{len(ready)}] {one.name}: {_told(row)} ({row['n']:,} items, {spent:,.0f} s so far)")
        else:
            finished += 1
        rows[one.suite, one.name] = row
    if finished:
        say(f"{finished} of {len(ready)} tasks are already finished, with the same weights and questions")
    return rows


def _told(row: TaskRow) -> str:
    return ", ".join(f"{name.removesuffix(',none')} {one['value']:.4f}" for name, one in row["metrics"].items())


def _run(one: Ready, model: Model) -> TaskRow:
    """Runs one task and returns its row."""
    import lm_eval
    import torch

    random.seed(SEEDS["random"])
    np.random.seed(SEEDS["numpy"])
    torch.manual_seed(SEEDS["torch"])
    one.task.set_fewshot_seed(seed=SEEDS["fewshot"])
    model.speak(one.chat)
    found = lm_eval.evaluate(
        lm=model,
        task_dict={one.name: one.task},
        limit=one.limit,
        log_samples=True,
        apply_chat_template=one.chat,
        fewshot_as_multiturn=one.chat,
    )
    metrics = _metrics(found["results"][one.name])
    if one.chat and one.task.OUTPUT_TYPE == "generate_until":
        new = generation_settings(one.task).get("max_gen_toks") or model.max_gen_toks
        metrics["stops,none"] = _stops(found["samples"][one.name], model, new)
    return {
        "task": one.name,
        "hash": one.hash,
        "metrics": metrics,
        "n": found["n-samples"][one.name]["effective"],
        "shots": found["n-shot"].get(one.name, 0),
        "limit": one.limit,
        "chat": one.chat,
        "cut": one.cut,
        "dataset": one.dataset,
        "version": found["versions"].get(one.name),
        "harness": lm_eval.__version__,
    }


def _metrics(found: Mapping[str, object]) -> dict[str, Score]:
    """`metric,filter` -> value and standard error (None where the harness has none)."""
    metrics: dict[str, Score] = {}
    for key, value in found.items():
        name, comma, filter_name = key.partition(",")
        if not comma or name.endswith("_stderr") or not isinstance(value, (int, float)):
            continue
        error = found.get(f"{name}_stderr,{filter_name}")
        metrics[key] = {"value": float(value), "stderr": float(error) if isinstance(error, (int, float)) else None}
    return metrics


def _stops(samples: Sequence[_Sample], model: Model, new: int) -> Score:
    """Share of answers that end with an end token, and its binomial standard error."""
    ended = [model.ended(sample["arguments"][0][0], new) for sample in samples]
    share = sum(ended) / len(ended)
    return {"value": share, "stderr": (share * (1 - share) / len(ended)) ** 0.5}


def suite_row(suite: str, line: SuiteTask, named: Named, parts: Sequence[TaskRow], limit: int | None) -> SuiteRow:
    """Aggregates the rows of a line's tasks into one row.

    Raises:
        KormoError: the tasks do not have the line's metric.
    """
    known = sorted({name for one in parts for name in one["metrics"]})
    metric = line.metric or next((one for one in ("acc", "exact_match") if f"{one},none" in known), "")
    key = f"{metric},{line.filter}" if metric else known[0]
    have = [one for one in parts if key in one["metrics"]]
    if not have:
        raise KormoError(
            where=f"suite {suite}: {line.task}",
            found=f"the metric {line.metric!r} with the filter {line.filter!r}",
            why=f"the task has: {', '.join(known)}",
            do=closest(line.metric, known) or "name one of these",
        )
    mean = combine(have, key, named.weight_by_size)
    row: SuiteRow = {
        "suite": suite,
        "task": line.task,
        "metric": key.removesuffix(",none"),
        "value": mean["value"],
        "stderr": mean["stderr"],
        "n": sum(one["n"] for one in have),
        "shots": have[0]["shots"],
        "limit": limit,
        "chat": have[0]["chat"],
        "cut": sum(one["cut"] for one in have),
        "chance": line.chance,
        "published": scores_of(line.published),
        "why": line.why,
        "unverified": line.unverified,
        "harness": have[0]["harness"],
    }
    if all("stops,none" in one["metrics"] for one in have):
        row["stops"] = combine(have, "stops,none", named.weight_by_size)["value"]
    return row


def mean_row(suite: str, rows: Sequence[SuiteRow], published: str) -> SuiteRow:
    """Unweighted mean of the rows with a published score, and the published mean of the same tasks."""
    parts = [row for row in rows if row["published"]]
    errors = [row["stderr"] for row in parts if row["stderr"] is not None]
    return {
        "suite": suite,
        "task": f"mean of {len(parts)} tasks",
        "metric": "mean",
        "value": sum(row["value"] for row in parts) / len(parts),
        "stderr": sum(error**2 for error in errors) ** 0.5 / len(parts) if len(errors) == len(parts) else None,
        "n": sum(row["n"] for row in parts),
        "shots": None,
        "limit": parts[0]["limit"],
        "chat": parts[0]["chat"],
        "cut": 0,
        "chance": None,
        "published": scores_of(published),
        "why": "each task counts alike, as in the card",
        "unverified": "",
        "harness": parts[0]["harness"],
    }


def combine(rows: Sequence[TaskRow], key: str, weight_by_size: bool) -> Score:
    """Aggregate value and standard error of several tasks, by the harness's formulas."""
    from lm_eval.api.metrics import aggregate_subtask_metrics, pooled_sample_stderr

    values, sizes = [one["metrics"][key]["value"] for one in rows], [one["n"] for one in rows]
    errors = [one["metrics"][key]["stderr"] for one in rows]
    if len(rows) == 1:
        return {"value": values[0], "stderr": errors[0]}
    known = all(error is not None for error in errors) and sum(sizes) > len(sizes)
    return {
        "value": float(aggregate_subtask_metrics(values, sizes, weight_by_size)),
        "stderr": float(pooled_sample_stderr(errors, sizes)) if known else None,
    }
