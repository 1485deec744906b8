"""Builds one source of a dataset recipe: reads, cleans, and writes documents and rejects.

    out/part-00000.jsonl.zst            documents for training
    out/held_out/part-00000.jsonl.zst   documents held out from training
    out/rejects/part-00000.jsonl.zst    dropped documents, each with `meta.rejected: {step, reason}`

Every input document is in exactly one of the three. The bytes depend on the recipe and the input only, not on the
number of workers or on restarts: finished parts are not repeated.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

from kormo_plugins.corpus.comparisons import named_steps, refuse_comparisons
from kormo_plugins.corpus.meta_found import look
from kormo_plugins.corpus.params import MOST_PARTS, Choice, CorpusRecipe, Source
from kormo_plugins.corpus.passes.across import Signed, sign_all
from kormo_plugins.corpus.passes.compile_ahead import compile_if_large
from kormo_plugins.corpus.passes.decide import decide
from kormo_plugins.corpus.passes.job import NamedStep, SourceBuild, StepGroup
from kormo_plugins.corpus.passes.local import RunParts, local_parts
from kormo_plugins.corpus.passes.marks import read_mark
from kormo_plugins.corpus.passes.stage import work
from kormo_plugins.corpus.readers.mapping.mapped import refuse_unmapped
from kormo_plugins.corpus.reports.spare_parts import tell_spare_parts
from kormo_plugins.corpus.reports.unread import unread
from kormo_plugins.corpus.step import is_preferring, is_source_step
from kormo_plugins.corpus.superseded import VERSION as SUPERSEDED_VERSION
from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import Divisible, HasInputs, Params, Pins, Prepares, Reader
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.store.atomic import move
from kormo_plugins.store.corpus_files import read_corpus
from kormo_plugins.wording.numbers import many

GENERATOR_PARTS = 4
"""Default number of parts of a generated source."""
VERSION = 1
"""Increment when the same recipe and input would produce different bytes."""
LAYOUT = "layout-2"
"""Empty file that identifies the file layout of work in progress; rename when `passes/part_files.py` changes."""

ProgressFactory = Callable[[str], AbstractContextManager[Callable[[int], None]]]
"""Opens a progress bar for a named pass; the returned function is called with the number of documents processed since
the last call."""
LOOK = 1.0
"""Seconds between two polls of the workers' progress."""


def _nothing() -> None:
    """For a process that has nothing else to do."""


def _unheard(line: str) -> None:
    """For lines that nobody reads."""


def _unseen(label: str) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda count: None)


def build_source(
    name: str,
    source: Source,
    recipe: CorpusRecipe,
    components: Registry,
    out: Path,
    *,
    workers: int = 1,
    watch: ProgressFactory = _unseen,
    against: Sequence[Path] = (),
    signed: Signed = sign_all,
    meanwhile: Callable[[], None] = _nothing,
    tell: Callable[[str], None] = _unheard,
) -> dict[str, object]:
    """Builds a source into the folder `out`, resuming an earlier, killed build if there is one.

    Args:
        name: name of the source.
        components: registry of readers, generators and steps.
        workers: parts processed in parallel; `executor.workers` of the recipe takes precedence.
        watch: opens the progress bars.
        against: folders of the finished sources that `deduplicate_against` names.
        signed: returns the signatures of those sources; computed from their texts by default.
        meanwhile: work for later that this process does while other processes of this machine clean, if there are any;
            what it raises ends the build.
        tell: called with lines for the user.
    Returns:
        Statistics: `documents`, `bytes`, `characters`, `conversations` (documents that are conversations), `languages`,
            `lengths`, `held_out`, `read`, `rejected`, `renamed`, `parts`, and `steps`: for each step, the number of
            documents kept and of rejects by reason; `unread` if almost nothing was read from some files.
    Raises:
        KormoError: an input is missing, a component is unknown, no usable document is left, or none has the key of
            `meta` without which a step does nothing.
    """
    job = replace(_prepared(plan(name, source, recipe, components, out)), against=tuple(against))
    refuse_unmapped(job.read, job.params, job.parts, f"sources.{name}.reader")
    tell_spare_parts(job)
    shutil.rmtree(out / "work.done", ignore_errors=True)
    _begin(out / "work")
    if recipe.executor.name == "local":
        compile_if_large(job, lambda line: tell(f"{name}: {line}"))
    with ExitStack() as processes:
        in_processes = _processes(job, recipe, workers, processes, meanwhile)
        for stage in range(len(job.segments) + 1):
            with watch(f"{name}, {_label(job, stage)}") as progress:
                _run(job, stage, in_processes, progress)
            if stage < len(job.segments):
                look(job, stage)
                decide(job, stage, recipe.held_out, signed)
    stats = _statistics(job)
    if not stats["documents"]:
        raise _nothing_left(job, stats)
    move(out / "work", out / "work.done")  # atomic rename: an incomplete folder of progress files must never be trusted
    shutil.rmtree(out / "work.done")
    return stats


def _begin(work: Path) -> None:
    """Creates the work folder; one with a different file layout is removed."""
    if work.exists() and not (work / LAYOUT).exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    (work / LAYOUT).touch()


def plan(name: str, source: Source, recipe: CorpusRecipe, components: Registry, out: Path) -> SourceBuild:
    """Loads and validates the components of a source and divides its steps into groups."""
    kind, choice = _origin(source)
    where = f"sources.{name}.{kind}"
    params = components.params(kind, choice.name, choice.values, where)
    read = components.load(kind, choice.name, where)
    segments: list[StepGroup] = []
    waiting: list[NamedStep] = []
    steps = named_steps(name, source, recipe, components)
    refuse_comparisons(name, source, steps)
    for step in steps:
        if is_source_step(step.make) and segments and not waiting:  # signed in the same pass
            segments[-1] = replace(segments[-1], ends=(*segments[-1].ends, step))
        elif is_source_step(step.make):
            segments.append(StepGroup(tuple(waiting), (step,)))
            waiting = []
        else:
            waiting.append(step)
    if waiting or not segments:
        segments.append(StepGroup(tuple(waiting), ()))
    return SourceBuild(name, source, read, params, _parts(source, read, params), tuple(segments), out)


def _prepared(job: SourceBuild) -> SourceBuild:
    """Does the one-time preparation before parts are distributed: trains models (into `out/models/`) and resolves hub
    commits."""

    numbers = count()

    def ready(step: NamedStep) -> NamedStep:
        """The step after preparing its model in a numbered folder."""
        if not isinstance(step.make, Prepares):
            return step
        folder = job.out / "models" / f"{next(numbers)}-{step.name}"
        folder.mkdir(parents=True, exist_ok=True)
        return replace(step, params=step.make.prepare(step.params, folder))

    segments = tuple(
        StepGroup(tuple(map(ready, segment.steps)), tuple(map(ready, segment.ends))) for segment in job.segments
    )
    params = job.read.pinned(job.params) if isinstance(job.read, Pins) else job.params
    return replace(job, segments=segments, params=params)


def _origin(source: Source) -> tuple[str, Choice]:
    if source.reader is not None:
        return "reader", source.reader
    assert source.generator is not None
    return "generator", source.generator


def _parts(source: Source, read: Reader, params: Params) -> int:
    if source.parts is not None:
        return source.parts
    if isinstance(read, Divisible):
        return min(read.parts(params), MOST_PARTS)
    return GENERATOR_PARTS if source.generator is not None else 1


def source_inputs(
    name: str, source: Source, recipe: CorpusRecipe, components: Registry | None = None
) -> dict[str, object]:
    """Everything that the documents of a source depend on, as a JSON value, for the hash of the artifact.

    Local files are identified by name, size and checksum, hub datasets by commit, components by parameters and version.

    Raises:
        KormoError: an input is missing, or a component is unknown.
    """
    job = plan(name, source, recipe, components or registry(), Path())
    kind, choice = _origin(source)
    if isinstance(job.read, HasInputs):
        content = job.read.inputs(job.params)
    else:
        content = job.params.model_dump(mode="json") if job.params is not None else {}
    steps = [step for segment in job.segments for step in (*segment.steps, *segment.ends)]
    ends = [end for segment in job.segments for end in segment.ends]
    supersedes = source.deduplicate_against and any(is_preferring(end.make, end.params) for end in ends)
    return ({"supersedes": SUPERSEDED_VERSION} if supersedes else {}) | {
        "build": VERSION,
        "source": name,
        "origin": {kind: choice.name, "version": _version(job.read), "content": content},
        "provenance": source.model_dump(
            mode="json",
            exclude={"reader", "generator", "steps", "parts", "control_tokens", "deduplicate_against", "tokens"},
        ),
        "parts": job.parts,
        "steps": [step_inputs(step) for step in steps],
        "held_out": recipe.held_out.model_dump(mode="json"),
    }


def step_inputs(step: NamedStep) -> dict[str, object]:
    """Everything besides the documents that a step's results depend on, as a JSON value."""
    return {
        "name": step.name,
        "version": _version(step.make),
        "params": step.params.model_dump(mode="json") if step.params is not None else {},
        "inputs": step.make.inputs(step.params) if isinstance(step.make, HasInputs) else None,
    }


def _version(component: object) -> object:
    """`VERSION` of a component, or of the module of a function."""
    module = sys.modules.get(getattr(component, "__module__", ""))
    return getattr(component, "VERSION", getattr(module, "VERSION", 1))


def funnel(name: str, stats: Mapping[str, Any]) -> str:
    """One line from the statistics of `build_source`: documents read, and those dropped by each step, with reasons."""
    parts = [f"{many(stats['read']['documents'], 'document')} read"]
    for step in stats["steps"]:
        parts += [f"{note} ({count:,})" for note, count in step.get("notes", {}).items()]
        if step["rejects"]:
            reasons = sorted(step["rejects"].items(), key=lambda item: -item[1])
            why = ", ".join(f"{reason} {count:,}" for reason, count in reasons[:3]) + (
                ", …" if len(reasons) > 3 else ""
            )
            what = "reading rejected" if step["name"] == "read" else f"{step['name']} dropped"
            parts.append(f"{what} {sum(step['rejects'].values()):,} ({why})")
    return f"{name}: " + "; ".join(
        [*parts, f"{stats['documents']:,} kept, {stats['held_out']['documents']:,} held out"]
    )


def _label(job: SourceBuild, stage: int) -> str:
    """Display name of a pass: `1 of 3: read, normalize, exact_dedup`."""
    total = len(job.segments) + 1
    if stage == total - 1:
        return f"{total} of {total}: write"
    segment = job.segments[stage]
    steps = [step.name for step in (*segment.steps, *segment.ends)]
    return f"{stage + 1} of {total}: {', '.join((['read'] if stage == 0 else []) + steps)}"


def _processes(
    job: SourceBuild, recipe: CorpusRecipe, workers: int, open_: ExitStack, meanwhile: Callable[[], None]
) -> RunParts | None:
    """What runs the parts in other processes; None: this process does.

    Args:
        open_: closes the processes of this machine.
        meanwhile: done here while these work.
    """
    executor = recipe.executor
    local = executor.name == "local"
    # A cluster has its own capacity: it gets all parts at once unless the recipe sets a limit.
    workers = min(executor.workers or (workers if local else job.parts), job.parts)
    if local and workers == 1:
        return None
    if local and not executor.options:
        return open_.enter_context(local_parts(job, workers, meanwhile))
    from kormo_plugins.corpus.passes.engine import run

    return lambda stage, todo: run(job, stage, executor, workers)


def _run(job: SourceBuild, stage: int, in_processes: RunParts | None, progress: Callable[[int], None]) -> None:
    todo = [part for part in range(job.parts) if not job.done(stage, part)]
    if in_processes is None:
        for part in todo:
            work(job, stage, part, progress)
    elif todo:
        over = Event()
        watcher = Thread(target=_look, args=(job, stage, progress, over), daemon=True)
        watcher.start()
        try:
            in_processes(stage, todo)
        finally:
            over.set()
            watcher.join()


def _look(job: SourceBuild, stage: int, progress: Callable[[int], None], over: Event) -> None:
    """Reports progress from the progress files that workers write, on any machine."""
    columns: set[str] = set()
    while True:
        ended = over.wait(LOOK)
        for mark in job.folder(stage).glob("?????-????.json"):
            if mark.name not in columns:
                columns.add(mark.name)
                progress(read_mark(mark)["items"])
        if ended:
            return


def _statistics(job: SourceBuild) -> dict[str, object]:
    def outcome(stage: int, part: int) -> dict[str, Any]:
        """The record that a part of a pass wrote."""
        return read_mark(job.folder(stage) / f"{part:05d}.json")

    last = len(job.segments)
    steps: list[dict[str, Any]] = []
    for stage in range(last + 1):
        steps += _added([outcome(stage, part)["steps"] for part in range(job.parts)])
    unread_files = unread(steps[0].pop("files", {}))
    final = [outcome(last, part) for part in range(job.parts)]
    counted = ("documents", "bytes", "characters", "conversations")
    total: dict[str, object] = {key: sum(f["kept"][key] for f in final) for key in counted}
    return (
        total
        | {
            "held_out": {key: sum(f["held_out"][key] for f in final) for key in ("documents", "bytes")},
            "read": {"documents": steps[0]["documents_in"], "bytes": steps[0]["bytes_in"]},
            "rejected": sum(sum(step["rejects"].values()) for step in steps),
            "renamed": sum(f["renamed"] for f in final),
            "parts": job.parts,
            "languages": _summed([f["kept"]["languages"] for f in final]),
            "lengths": _summed([f["kept"]["lengths"] for f in final]),
            "steps": steps,
        }
        | ({"unread": unread_files} if unread_files else {})
    )


def _added(parts: list[list[dict[str, object]]]) -> list[dict[str, object]]:
    """Sums the tallies of all parts, step by step."""
    return [_summed(list(same)) | {"name": same[0]["name"]} for same in zip(*parts, strict=True)]


def _summed(values: list[Mapping[str, Any]]) -> dict[str, object]:
    """Sums nested counts; keys in order, numeric keys (`lengths`) in numeric order."""
    keys = sorted({key for value in values for key in value}, key=lambda key: key.zfill(3) if key.isdigit() else key)
    sums: dict[str, object] = {}
    for key in keys:
        items = [value[key] for value in values if key in value]
        if isinstance(items[0], Mapping):
            sums[key] = _summed(items)
        elif not isinstance(items[0], str):
            sums[key] = sum(items)
    return sums


def _nothing_left(job: SourceBuild, stats: dict[str, Any]) -> KormoError:
    reasons: Counter[str] = Counter()
    for step in stats["steps"]:
        reasons.update({f"{step['name']}: {reason}": count for reason, count in step["rejects"].items()})
    reasons_text = (
        "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(5)) or "the input is empty"
    )
    first = next(iter(read_corpus(job.out / "rejects")), None)
    place = f" ({first.meta['place']})" if first and "place" in first.meta else ""
    example = f"; the first reject is {first.id}{place}: {first.text[:160]!r}" if first else ""
    key = "encoding" if any(reason.endswith("(encoding)") for reason in stats["steps"][0]["rejects"]) else "columns"
    return KormoError(
        where=f"sources.{job.name}",
        found=f"{many(stats['read']['documents'], 'document')} read, none usable: {reasons_text}",
        why=f"a model cannot be trained on a source without documents{example}",
        do=f"correct {key} of the reader (see `kormo data peek`) or the steps; "
        f"all rejects are kept in {job.out / 'rejects'}",
    )
