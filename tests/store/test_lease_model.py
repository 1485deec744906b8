"""Every interleaving of a few processes on one lease, with deaths and pauses: never two holders.

The real `Lease` runs against files in memory. Each look at the files and each change of them is one step; after a
step any process may go on, die, or be stopped for so long that it is taken for dead. The search walks through all
states that can be reached: a state is the files and what each process has seen so far, which decides its next step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.store.lease import Lease
from kormo_plugins.store.lease_files import Generations, Holder, Seen

Files = frozenset[tuple[int, Holder]]
Step = tuple[str, tuple[Any, ...]]


class Waits(Exception):
    """The process has come to a step that has not been taken yet."""

    def __init__(self, step: Step) -> None:
        self.step = step


class Recorded(Generations):
    """Answers the steps taken so far from the record, and stops at the next one."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        super().__init__(Path("lease"))
        self._answers: Iterator[Any] = iter(answers)

    def take(self, name: str, *arguments: Any) -> Any:
        for answer in self._answers:
            return answer
        raise Waits((name, arguments))

    def numbers(self) -> list[int]:
        return list(self.take("numbers"))

    def create(self, number: int, holder: Holder) -> bool:
        return bool(self.take("create", number, holder))

    def read(self, number: int) -> Seen | None:
        seen: Seen | None = self.take("read", number)
        return seen

    def release(self, number: int, holder: Holder) -> None:
        self.take("release", number, holder)

    def remove(self, numbers: list[int]) -> None:
        for number in sorted(numbers):  # one step each
            self.take("remove", number)


class ModelLease(Lease):
    """Asks the model whether a holder is dead, instead of the process table and the clock."""

    def _is_gone(self, number: int, seen: Seen, now: float) -> bool:
        assert isinstance(self._files, Recorded)
        return bool(self._files.take("gone", seen.holder.token if seen.holder else ""))


@dataclass(frozen=True)
class Process:
    """Answers so far, and how it stands: `running`, `paused` (long enough to be taken for dead), `dead`, `ended`."""

    answers: tuple[Any, ...] = ()
    state: str = "running"
    was_paused: bool = False
    inside: bool = False


@dataclass(frozen=True)
class State:
    files: Files
    processes: tuple[Process, ...]
    deaths: int
    pauses: int


def attempt(name: str, files: Recorded) -> None:
    """What a builder does: acquire, work, ask before it publishes, release."""
    lease = ModelLease(Path("lease"), files=files)
    lease._holder = Holder(name)
    if lease.acquire():
        files.take("enter")
        files.take("publish" if lease.still_mine() else "fenced")
        lease.release()
        files.take("leave")


def next_step(name: str, answers: tuple[Any, ...]) -> Step | None:
    try:
        attempt(name, Recorded(answers))
    except Waits as waits:
        return waits.step
    return None


def after(state: State, which: int, step: Step) -> State:
    """The state after one step of one process."""
    kind, arguments = step
    files, process, answer = dict(state.files), state.processes[which], None
    if kind == "numbers":
        answer = tuple(sorted(files))
    elif kind == "create":
        answer = arguments[0] not in files
        files.setdefault(*arguments)
    elif kind == "read":
        answer = Seen(files[arguments[0]], 0) if arguments[0] in files else None
    elif kind == "release":
        if arguments[0] in files:
            files[arguments[0]] = replace(arguments[1], released=True)
        process = replace(process, inside=False)
    elif kind == "remove":
        assert arguments[0] < max(files), "removed the newest generation"
        files.pop(arguments[0], None)
    elif kind == "gone":
        holder = {str(n): p for n, p in enumerate(state.processes)}.get(arguments[0])
        answer = holder is None or holder.state in ("dead", "paused")
    elif kind in ("enter", "leave"):
        process = replace(process, inside=kind == "enter")
    processes = list(state.processes)
    processes[which] = replace(process, answers=(*process.answers, answer))
    return replace(state, files=frozenset(files.items()), processes=tuple(processes))


def changed(state: State, which: int, /, **how: Any) -> State:
    processes = list(state.processes)
    processes[which] = replace(processes[which], **how)
    return replace(state, processes=tuple(processes))


def successors(state: State, steps: Callable[[str, tuple[Any, ...]], Step | None]) -> Iterator[State]:
    for which, process in enumerate(state.processes):
        if process.state == "paused":
            yield changed(state, which, state="running")
        if process.state != "running":
            continue
        step = steps(str(which), process.answers)
        if step is None:
            yield changed(state, which, state="ended", answers=())
            continue
        yield after(state, which, step)
        if state.deaths:
            yield replace(changed(state, which, state="dead", answers=()), deaths=state.deaths - 1)
        if state.pauses:
            yield replace(changed(state, which, state="paused", was_paused=True), pauses=state.pauses - 1)


def check(state: State) -> None:
    """Of those inside, at most one was never stopped for long, and at most one would still publish."""
    inside = [(n, p) for n, p in enumerate(state.processes) if p.inside and p.state in ("running", "paused")]
    assert sum(not process.was_paused for _, process in inside) <= 1, f"two holders: {state}"
    newest = dict(state.files).get(max(dict(state.files), default=0))
    would_publish = [n for n, _ in inside if newest is not None and newest.token == str(n)]
    assert len(would_publish) <= 1


def explore(start: State) -> tuple[int, int]:
    """Walks through all states; returns their number, and in how many of the last ones a newcomer gets the lease."""
    known: dict[tuple[str, tuple[Any, ...]], Step | None] = {}

    def steps(name: str, answers: tuple[Any, ...]) -> Step | None:
        if (name, answers) not in known:
            known[name, answers] = next_step(name, answers)
        return known[name, answers]

    seen, waiting, ends = {start}, [start], 0
    while waiting:
        state = waiting.pop()
        check(state)
        if all(process.state in ("dead", "ended") for process in state.processes):
            ends += 1
            assert gets_it(state), f"nobody can have it any more: {state}"
        for following in successors(state, steps):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return len(seen), ends


def gets_it(state: State) -> bool:
    """Whether a process that comes when all others have ended becomes the holder."""
    state = replace(state, processes=(*state.processes, Process()))
    which = len(state.processes) - 1
    while (step := next_step(str(which), state.processes[which].answers)) is not None:
        state = after(state, which, step)
        if state.processes[which].inside:
            return True
    return False


DEAD, FREE = Holder("abandoned"), Holder("before", released=True)


@pytest.mark.parametrize(
    ("files", "processes", "deaths", "pauses"),
    [
        ((), 2, 1, 1),
        (((3, DEAD),), 2, 1, 1),
        (((3, DEAD),), 3, 0, 0),
        (((2, DEAD), (5, FREE)), 2, 1, 1),
        (((5, FREE),), 3, 0, 0),
    ],
)
def test_never_two_holders(files: tuple[tuple[int, Holder], ...], processes: int, deaths: int, pauses: int) -> None:
    states, ends = explore(State(frozenset(files), (Process(),) * processes, deaths, pauses))
    assert states > 1_000 and ends > 0


@pytest.mark.soak
def test_never_two_holders_of_three_that_die_and_pause() -> None:
    states, _ = explore(State(frozenset({(3, DEAD)}), (Process(),) * 3, 1, 1))
    assert states > 100_000
