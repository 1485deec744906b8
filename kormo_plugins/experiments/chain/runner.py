"""Runs a chain, stage by stage, each as an `axolotl train` in a process of its own.

A finished and unchanged stage is skipped, a killed one is resumed, and a changed one is retrained beside its old result
(`status.py`). A lease for the chain and one for each output folder keep two runs from interfering. A signal is
forwarded to the stage, which writes a checkpoint and exits with the status of a preemption; the same command then
resumes. A stage that was preempted by the cluster is restarted, a limited number of times.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kormo_plugins.console.child_log import length, raise_full_disk
from kormo_plugins.console.children import ends_with_us
from kormo_plugins.errors import EXIT_BAD_INPUT, KormoError
from kormo_plugins.experiments.chain import status as chain_state
from kormo_plugins.experiments.chain.record import Entry, Record
from kormo_plugins.experiments.chain.spec import Chain, Stage
from kormo_plugins.experiments.launch.processes import ranks, tell
from kormo_plugins.recipe.files.override import write
from kormo_plugins.runs import identity as stage_identity
from kormo_plugins.store.lease import Lease, acquire_or_refuse
from kormo_plugins.training.guards.preemption_file import EXIT_PREEMPTED
from kormo_plugins.training.guards.preemption_file import FILE as PREEMPTED

HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that are passed on to the stage."""
POLL = 0.2
"""Seconds between two checks of a running stage."""
TELL_EVERY = 30.0
"""Seconds between two lines about a running stage."""
LAST_LINES = 20
"""Lines of a failed stage's log that are shown."""

Command = Callable[[Chain, Stage, Path], Sequence[str]]
"""The command that trains a stage from its resolved recipe."""


@dataclass
class Signals:
    """The signals received while a stage runs."""

    process: subprocess.Popen[bytes] | None = None
    seen: list[int] = field(default_factory=list)

    def __call__(self, number: int, frame: object) -> None:
        """Forwards the signal; a second interrupt ends the stage at once."""
        again = number in self.seen and number == signal.SIGINT
        self.seen.append(number)
        if self.process is not None and self.process.poll() is None:
            if again:
                tell([*ranks(self.process.pid), self.process.pid], signal.SIGKILL)
            else:
                tell(ranks(self.process.pid), number)


def run_chain(
    chain: Chain,
    command: Command,
    *,
    first: str | None = None,
    only: str | None = None,
    log: Callable[[str], None],
) -> Record:
    """Runs the stages that need to run.

    Args:
        chain: the checked chain.
        command: how a stage is trained.
        first: start with this stage; the models of earlier stages are used as they are.
        only: run only this stage.
        log: called with one line when a stage starts or ends.
    Returns:
        the outcome of each stage; `exit_status` is 0 if all are finished.
    Raises:
        KormoError: another process is running this chain, or the model that a stage starts from is missing.
    """
    selected = select(chain, first, only)
    record = Record.opened(chain)
    with _held(chain.folder / ".chain.lease", f"the chain {chain.file.name}", log), _handled() as signals:
        for stage in selected:
            entry = record.entry(stage.name)
            _run_stage(chain, stage, command, entry, record, signals, log)
            record.save()
            if entry.status not in ("skipped", "trained"):
                break
    return record


def plan(chain: Chain, first: str | None = None, only: str | None = None) -> Record:
    """What `run_chain` would do, as far as it is known before the stages have run."""
    record = Record.opened(chain)
    waiting: set[str] = set()
    for stage in select(chain, first, only):
        entry = record.entry(stage.name)
        if stage.before in waiting:
            entry.status, entry.why = "would follow", f"trained if the model of {stage.before} changes"
            if not chain_state.holds_a_run(stage.out):
                entry.status, entry.why = "would train", "not trained yet"
            waiting.add(stage.name)
            continue
        verdict = chain_state.verdict(stage.recipe, stage_identity.stage_identity(stage.recipe.identity_plan()))
        words = {"skip": "skipped", "train": "would train", "resume": "would resume", "replace": "would train again"}
        entry.status, entry.why = words[verdict.action], verdict.why
        if verdict.action == "skip":
            entry.finished("skipped", stage.out)
        else:
            waiting.add(stage.name)
    return record


def select(chain: Chain, first: str | None, only: str | None) -> list[Stage]:
    """The stages to run; the models that they start from must exist or be made by one of them.

    Raises:
        KormoError: there is no such stage, or the model of an omitted stage is not finished.
    """
    if first and only:
        raise KormoError(
            where="kormo run",
            found=f"--from {first} beside --only {only}",
            why="the two options contradict each other",
            do="give one of them",
        )
    start = chain.stages.index(chain.stage(first or only or chain.stages[0].name))
    chosen = list(chain.stages[start : start + 1 if only else None])
    names = {stage.name for stage in chosen}
    for stage in chosen:
        if stage.before is not None and stage.before not in names:
            before = chain.stage(stage.before)
            reason = chain_state.unfinished(before.recipe)
            if reason is not None:
                raise KormoError(
                    where=str(before.out),
                    found=f"no finished model of {before.name}, from which {stage.name} starts",
                    why=reason,
                    do=f"run the chain from {before.name}: `kormo run {chain.path} --from {before.name}`",
                )
    return chosen


def _run_stage(
    chain: Chain,
    stage: Stage,
    command: Command,
    entry: Entry,
    record: Record,
    signals: Signals,
    log: Callable[[str], None],
) -> None:
    now = stage_identity.stage_identity(stage.recipe.identity_plan())
    verdict = chain_state.verdict(stage.recipe, now)
    entry.why, entry.identity = verdict.why, now["hash"]
    if verdict.action == "skip":
        entry.finished("skipped", stage.out)
        log(f"{stage.name}: skipped, {verdict.why}")
        return
    with _held(stage.out.parent / f".{stage.out.name}.lease", str(stage.out), log):
        if verdict.action == "replace":
            aside = chain_state.set_aside(stage.out)
            entry.aside = str(aside)
            log(f"{stage.name}: {verdict.why}; the old result is kept as {aside}")
        recipe = write(stage.recipe, stage.changes, chain.folder / "recipes" / f"{stage.name}.yml")
        words = list(command(chain, stage, recipe))
        entry.log = str(chain.folder / "logs" / f"{stage.name}.log")
        entry.started(verdict.action)
        log(
            f"{stage.name}: {'resuming' if verdict.action == 'resume' else 'training'}, {verdict.why}; log in "
            f"{entry.log}"
        )
        begin = length(Path(entry.log))
        for attempt in range(chain.file.restarts + 1):
            entry.attempts = attempt + 1
            record.save()
            status = _train(stage, words, Path(entry.log), signals, log)
            if status == EXIT_PREEMPTED and not signals.seen and attempt < chain.file.restarts:
                log(f"{stage.name}: preempted; restart {attempt + 1} of {chain.file.restarts}")
                continue
            break
    if status not in (0, EXIT_PREEMPTED):
        raise_full_disk(Path(entry.log), begin)
    _judge(stage, entry, status, now, log)


def _judge(stage: Stage, entry: Entry, status: int, now: dict[str, object], log: Callable[[str], None]) -> None:
    """The outcome, from the exit status and the folder."""
    entry.exit_status = status
    if status == EXIT_PREEMPTED:
        entry.finished("preempted", stage.out)
        entry.why = f"stopped; the same command {chain_state.reached(stage.out)}"
        log(f"{stage.name}: {entry.why}")
        return
    reason = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
    if status == 0:
        reason = chain_state.unfinished(stage.recipe) or ""
        if not reason and stage_identity.recorded(stage.out).get("hash") != now["hash"]:
            reason = "the model in its folder was trained from another recipe"
    entry.finished("failed" if reason else "trained", stage.out)
    if reason:
        entry.why = reason
        log(f"{stage.name}: failed, {reason}")
    else:
        log(f"{stage.name}: finished in {entry.seconds:.0f} s; the model is in {stage.out}")


def _train(stage: Stage, words: list[str], log_file: Path, signals: Signals, log: Callable[[str], None]) -> int:
    """Runs a process to its end; returns its exit status, that of a preemption even if a launcher hides it."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    left_behind = log_file.with_suffix(".pid")
    _wait_for(left_behind, words, log)
    begun = time.time()
    with log_file.open("ab") as output:
        output.write(f"\n==== {time.strftime('%Y-%m-%d %H:%M:%S')}  {' '.join(words)}\n".encode())
        output.flush()
        # a separate session: an interrupt from the terminal reaches the stage only once, through this process
        signals.process = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=ends_with_us()
        )
        with suppress(OSError):  # on a full disk the stage ends by itself
            left_behind.write_text(f"{signals.process.pid}\n", encoding="utf-8")
        if signals.seen:  # received between two stages
            tell([signals.process.pid], signals.seen[-1])
        last_report = time.monotonic()
        while (status := signals.process.poll()) is None:
            time.sleep(POLL)
            if time.monotonic() - last_report >= TELL_EVERY:
                last_report = time.monotonic()
                log(f"{stage.name}: {Record.progress(stage.out)}")
    signals.process = None
    left_behind.unlink(missing_ok=True)
    marker = stage.out / PREEMPTED
    hidden = status != 0 and marker.is_file() and marker.stat().st_mtime >= begun - 1
    interrupted = bool(signals.seen) and status != 0
    return EXIT_PREEMPTED if hidden or interrupted else status


def _wait_for(left_behind: Path, words: Sequence[str], log: Callable[[str], None]) -> None:
    """Waits for the stage of a killed run, which may still be writing its checkpoint."""
    announced = False
    while left_behind.is_file() and _runs(left_behind, words):
        if not announced:
            log(
                f"this stage is still running as process {left_behind.read_text().strip()} of a killed run; waiting "
                "for it to end"
            )
            announced = True
        time.sleep(POLL)


def _runs(left_behind: Path, words: Sequence[str]) -> bool:
    try:
        pid = int(left_behind.read_text(encoding="utf-8"))
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except (OSError, ValueError):
        return False
    return set(words[1:]) <= set(arguments)  # the process id may have been reused


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a log; of a line rewritten by a progress bar, the last content."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64_000))
        text = file.read().decode("utf-8", "replace")
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1].rstrip() for line in text.split("\n"))
    return [line for line in lines if line][-count:]


def exit_status(record: Record) -> int:
    """Of the whole command: 0, 75 after a preemption, 2 if a stage refused its input, 1 for any other failure."""
    for entry in record.entries.values():
        if entry.status == "preempted":
            return EXIT_PREEMPTED
        if entry.status == "failed":
            return EXIT_BAD_INPUT if entry.exit_status == EXIT_BAD_INPUT else 1
    return 0


@contextmanager
def _held(path: Path, what: str, log: Callable[[str], None]) -> Iterator[None]:
    lease = Lease(path)
    acquire_or_refuse(lease, what, log)
    with lease.held():
        yield


@contextmanager
def _handled() -> Iterator[Signals]:
    """Forwards signals to the running stage for the length of the block."""
    signals = Signals()
    before = {number: signal.signal(number, signals) for number in HANDED_ON}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
