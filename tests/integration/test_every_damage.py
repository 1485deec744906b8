"""Every kind of file of a finished workspace, run and export, damaged in every way, before every command that reads it.

A command either names the file, or says and makes exactly what it does with the whole one: nothing wrong is built from
it, and nothing ends in a traceback. All of it takes an hour, and is one training and a lot of commands: `pytest -m
soak`. The records of a finished run are damaged without a training in `tests/release/test_damaged_run.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.damages import cut, flip, remove, swap
from tests.forked import Server

from .finished_room import COMMANDS, PREPARE, Result, Room, finished_room

DATA = ("build", "stats", "batch", "verify", "data report", PREPARE)
READS = {
    "artifacts": DATA,
    "out-base": ("report", "export", "list", "release", "tokenizer", "chat", PREPARE),
    "released": ("check",),
    "exported": ("back",),
}
PARTS = 8
"""Tests that the cases are divided among, so that each ends within half an hour."""


def other_shape(path: Path) -> None:
    path.write_text("[]")


def empty(path: Path) -> None:
    path.write_text("{}")


def nulls(path: Path) -> None:
    _each(path, None)


def texts(path: Path) -> None:
    _each(path, "x")


def _each(path: Path, value: Any) -> None:
    """Every value of the first object is another."""
    text = path.read_text()
    found = json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text)
    path.write_text(json.dumps(dict.fromkeys(found, value) if isinstance(found, dict) else [value]))


ANY: tuple[Callable[[Path], None], ...] = (flip, cut, swap, remove)
JSON: tuple[Callable[[Path], None], ...] = (other_shape, empty, nulls, texts)


@dataclass
class Damaged:
    """The room, and what each command does with it whole."""

    room: Room
    whole: dict[str, Result] = field(default_factory=dict)

    def run(self, name: str) -> Result:
        words, made = COMMANDS[name]
        return self.room.run(words, made)

    def fault(self, file: str, damage: Callable[[Path], None], name: str) -> str:
        """What is wrong with a command on a damaged file; empty where nothing is."""
        if name not in self.whole:
            self.whole[name] = self.run(name)
            assert self.whole[name].code == 0, self.whole[name]
        damage(self.room.folder / file)
        result, whole = self.run(name), self.whole[name]
        if result.trace:
            return result.trace
        told = result.stderr + result.stdout
        if result.code:
            named = Path(file).name in told or Path(file).parent.name in told
            return "" if named else f"ended with {result.code} and does not name it: {told[-500:]}"
        name = Path(file).name
        said = name in result.stderr or result.stdout.count(name) > whole.stdout.count(name)
        if said or (result.stdout, result.made) == (whole.stdout, whole.made):
            return ""
        changed = sorted(key for key in {*result.made, *whole.made} if result.made.get(key) != whole.made.get(key))
        return f"said nothing, and made others: {changed[:5]} {result.stdout[:300]}"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, forks: Server) -> Iterator[Damaged]:
    before = Path.cwd()
    yield Damaged(finished_room(tmp_path_factory.mktemp("damaged"), forks))
    os.chdir(before)


def cases(room: Room) -> Iterator[tuple[str, Callable[[Path], None], str]]:
    for file in room.files():
        records = JSON if file.endswith((".json", ".jsonl")) else ()
        for damage in (*ANY, *records):
            for name in READS[file.split("/")[0]]:
                yield file, damage, name


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_every_damage_is_noticed_or_harmless(damaged: Damaged, part: int) -> None:
    everything = list(cases(damaged.room))
    assert len(everything) > 200
    found = []
    for file, damage, name in everything[part::PARTS]:
        if fault := damaged.fault(file, damage, name):
            found.append(f"{name} of {file}, {damage.__name__}: {fault}")
    assert not found, f"{len(found)} faults\n" + "\n".join(found[:40])
