"""`kormo eval`: scores a checkpoint."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kormo_plugins.cli.eval.judged import (
    JudgedOptions,
    prepare_suites,
    print_judged,
    refuse_unused,
    run_suites,
    served_model,
)
from kormo_plugins.cli.support.output import json_option, print_json, print_table
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.evaluation import run
from kormo_plugins.evaluation.haystack import needle, needle_page
from kormo_plugins.evaluation.haystack.needle import make_ready
from kormo_plugins.evaluation.judged.suite import is_judged
from kormo_plugins.evaluation.mini import write_items
from kormo_plugins.evaluation.models import checkpoint as models
from kormo_plugins.evaluation.published import published
from kormo_plugins.evaluation.record import Record
from kormo_plugins.evaluation.run import quiet_harness
from kormo_plugins.plugins.registry import Registry, registry

if TYPE_CHECKING:
    from kormo_plugins.evaluation.harness import LocalModel
    from kormo_plugins.evaluation.models.checkpoint import Checkpoint
    from kormo_plugins.measures.scores import JudgedResult, NeedleRecord, SuiteRow

PERCENT = 100


def _say(line: str) -> None:
    click.echo(f"kormo: {line}", err=True)


def _write_items(ctx: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    """Writes the mini suite's items, and exits."""
    if folder is None:
        return
    for path in write_items(folder):
        click.echo(path)
    ctx.exit()


def _published(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Prints the published scores, and exits."""
    if not wanted:
        return
    values = published()
    click.echo(f"In percent ({values.source}):")
    _print_published(values.models, values.scores)
    click.echo("\nJudged by a language model, of 10:")
    _print_published(values.judged_models, values.judged)
    needle = ", ".join(f"{language} {score}" for language, score in values.needle.items())
    click.echo(f"\nNeedle in a haystack, KORMo-10B, in percent: {needle}")
    ctx.exit()


def _print_published(models: list[str], scores: Mapping[str, Sequence[float | None]]) -> None:
    body = [[name, *("" if one is None else f"{one:.2f}" for one in row)] for name, row in scores.items()]
    print_table(["", *models], body)


def _numbers(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Parses `512,1024`."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers, such as 512,1024") from None


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="A suite's name, or a suite file (.yml).")
@click.option("--tasks", default="", metavar="A,B", help="Tasks or groups by their names in lm-evaluation-harness.")
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number of items per task.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the datasets, with one folder for each.",
)
@click.option("--needle", is_flag=True, help="Run needle in a haystack over lengths and depths.")
@click.option(
    "--lengths", callback=_numbers, metavar="N,N", help="Haystack lengths in tokens. [default: up to the context]"
)
@click.option("--depths", callback=_numbers, metavar="N,N", help="Needle depths in percent. [default: 0,25,50,75,100]")
@click.option("--haystack", type=click.Path(path_type=Path), metavar="FILE", help="Text to hide needles in.")
@click.option("--cut-long", is_flag=True, help="Truncate prompts longer than the context on the left.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Requests per batch. [default: by memory; for choices 8 on a GPU, else 32]",
)
@click.option("--device", metavar="NAME", help="Device: cuda, cuda:1, cpu. [default: a GPU if there is one]")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of evaluation.json. [default: CHECKPOINT]"
)
@click.option("--judge", metavar="PLACE", help="Judge of a judged suite: an endpoint, a chat model's folder, or none.")
@click.option("--judge-model", metavar="NAME", help="Name of the judge model at its endpoint.")
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="FILE", help="answers.jsonl of another model to compare with."
)
@click.option(
    "--human", type=click.Path(path_type=Path), metavar="FILE", help="Human-written Korean text to compare with."
)
@click.option("--yes", is_flag=True, help="Allow more requests to a judge than the suite's max_requests.")
@click.option("--endpoint", metavar="URL", help="A server of this model (vLLM, transformers serve) for generation.")
@click.option("--endpoint-model", metavar="NAME", help="Name of this model at the endpoint. [default: CHECKPOINT]")
@click.option(
    "--plugin", "modules", multiple=True, metavar="MODULE", help="Load this plugin module too, like kormo.plugins."
)
@click.option(
    "--write-items",
    type=click.Path(path_type=Path),
    metavar="DIR",
    callback=_write_items,
    is_eager=True,
    expose_value=False,
    help="Write the mini suite's items, for decontamination, and exit.",
)
@click.option(
    "--published",
    is_flag=True,
    callback=_published,
    is_eager=True,
    expose_value=False,
    help="Print the published scores of KORMo-10B and its baselines, and exit.",
)
@json_option
def evaluate(
    checkpoint: Path,
    suites: tuple[str, ...],
    tasks: str,
    limit: int | None,
    data: Path | None,
    needle: bool,
    lengths: tuple[int, ...] | None,
    depths: tuple[int, ...] | None,
    haystack: Path | None,
    cut_long: bool,
    batch_size: int | None,
    device: str | None,
    out: Path | None,
    judge: str | None,
    judge_model: str | None,
    against: Path | None,
    human: Path | None,
    yes: bool,
    endpoint: str | None,
    endpoint_model: str | None,
    modules: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score a checkpoint on benchmarks and on needle in a haystack.

    CHECKPOINT is a finished run's folder, one of its checkpoints, or any folder in the format of transformers. Without
    --suite, --tasks or --needle, the suite mini is run, which needs no data. The suites judged, mt_bench, ko_mt_bench
    and logickor are judged by the model given with --judge. Scores are stored in evaluation.json; finished tasks are
    skipped.
    """
    _calm_libraries()
    if not needle:
        _refuse_without_needle(lengths, depths, haystack)
    components = registry(modules)
    named = [one.strip() for one in tasks.split(",") if one.strip()]
    judged = [name for name in suites if is_judged(name)]
    plain = [name for name in suites if name not in judged]
    options = JudgedOptions(judge, judge_model, against, human, yes, endpoint, endpoint_model, data, limit, batch_size)
    refuse_unused(options, judged)
    with contextlib.redirect_stdout(sys.stderr):  # the harness prints to stdout, which is reserved for results
        lines = run.find_lines(plain or (() if named or needle or judged else ("mini",)), named, limit, components)
        model = models.open_checkpoint(checkpoint, components)
        _check_device(device)
        if needle:  # raises errors of its options before the suites run
            make_ready(model, components, lengths, depths, haystack)
        load = _loader(batch_size, device)
        prepared = prepare_suites(judged, options, components, load, _say)
        record = _record(out or checkpoint, model)
        rows: list[SuiteRow] = []
        if lines:
            loader = partial(served_model, options, model, load) if endpoint else partial(load, model)
            rows = run.evaluate(lines, model, record, components, data=data, cut_long=cut_long, load=loader, say=_say)
        verdicts = run_suites(prepared, options, model, record, load, _say)
        found = _needle(model, components, record, lengths, depths, haystack, device) if needle else None
    _report(record, rows, verdicts, found, as_json)


def _report(
    record: Record,
    rows: list[SuiteRow],
    verdicts: Sequence[JudgedResult],
    found: NeedleRecord | None,
    as_json: bool,
) -> None:
    if as_json:
        more = {**({"judged": verdicts} if verdicts else {}), **({"needle": found} if found else {})}
        return print_json({"model": record.model, "results": rows, **more})
    if rows:
        _print(rows)
    if verdicts:
        print_judged(verdicts)
    if found:
        _print_needle(found)
    click.echo(f"\n{record.path}")


def _calm_libraries() -> None:
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    for noisy in ("torchao", "torch.utils._pytree"):  # warns of missing GPU kernels and its own deprecations
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _refuse_without_needle(*options: object) -> None:
    if any(options):
        raise KormoError(
            where="kormo eval",
            found="--lengths, --depths or --haystack",
            why="these options only affect needle in a haystack",
            do="pass --needle too",
        )


def _check_device(name: str | None) -> None:
    """Refuses a device that does not exist; the harness would silently use the CPU."""
    import torch

    if name is None:
        return
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise KormoError(
            where="kormo eval: --device",
            found=name,
            why=in_words(error),
            do="name a device of this machine (cpu, cuda:0), or leave it out",
        ) from None


def _record(folder: Path, model: Checkpoint) -> Record:
    record = Record(folder, model)
    if record.set_aside is not None:
        _say(f"the earlier evaluation in {folder} is of other weights; it is kept as {record.set_aside.name}")
    return record


def _loader(batch_size: int | None, device: str | None) -> Callable[[Checkpoint], LocalModel]:
    """Returns a loader of the harness's model of a checkpoint."""
    loaded: dict[str, LocalModel] = {}

    def load(checkpoint: Checkpoint) -> LocalModel:
        """The model of a checkpoint, loaded once per hash of its weights."""
        from kormo_plugins.evaluation.models.model import Model, default_device

        quiet_harness()
        place = device or default_device()
        if checkpoint.hash not in loaded:
            loaded[checkpoint.hash] = Model(checkpoint.path, batch_size=batch_size, device=place)
        return loaded[checkpoint.hash]

    return load


def _percent(value: float | None) -> str:
    return "" if value is None else f"{PERCENT * value:.2f}"


def _print(rows: list[SuiteRow]) -> None:
    """Prints our scores and the published ones, then the baselines'."""
    ends = any("stops" in row for row in rows)
    compared = any(row["published"] for row in rows)
    header = ["task", "metric", "shots", "items", "score", "±", "chance"]
    header += ["stops"] * ends + ["KORMo-10B"] * compared
    body = []
    for row in rows:
        kormo = row["published"].get("KORMo-10B")
        cells = [
            row["task"],
            row["metric"],
            "" if row["shots"] is None else str(row["shots"]),
            f"{row['n']:,}",
            _percent(row["value"]),
        ]
        cells += [_percent(row["stderr"]), _percent(row["chance"])]
        body.append(cells + [_percent(row.get("stops"))] * ends + [f"{kormo:.2f}" if kormo else ""] * compared)
    print_table(header, body)
    for row in rows:
        for note in (row["unverified"], f"{row['cut']:,} prompts were truncated on the left" if row["cut"] else ""):
            if note:
                click.echo(f"{row['task']}: {note}")
    if compared:
        models = published().models
        click.echo(f"\nPublished, in percent ({published().source}):")
        print_table(
            ["task", *models],
            [[row["task"], *[f"{row['published'][name]:.2f}" for name in models]] for row in rows if row["published"]],
        )


def _needle(
    model: Checkpoint,
    components: Registry,
    record: Record,
    lengths: Sequence[int] | None,
    depths: Sequence[int] | None,
    haystack: Path | None,
    device: str | None,
) -> NeedleRecord:
    found = needle.search(model, components, lengths=lengths, depths=depths, haystack=haystack, device=device, say=_say)
    record.set_needle(found)
    page = record.path.with_name("needle.html")
    needle_page.write(found, page)
    _say(f"the heat map is in {page}")
    return found


def _print_needle(found: NeedleRecord) -> None:
    rows = [
        [one["language"], f"{one['length']:,}", f"{one['depth']}%", _percent(one["choice"]), _percent(one["generated"])]
        for one in found["cells"]
    ]
    print_table(["language", "tokens", "depth", "choice", "generated"], rows)
    click.echo(f"chance of a right choice: {_percent(found['chance'])}")
