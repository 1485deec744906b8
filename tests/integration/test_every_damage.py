"""Every kind of file of a finished workspace, run and export, damaged in every way, before every command that reads it.

A command either names the file, or says and makes exactly what it does with the whole one: nothing wrong is built from
it, and nothing ends in a traceback. All of it takes an hour, and is one training and a lot of commands: `pytest -m
soak`. The records of a finished run are damaged without a training in `tests/release/test_damaged_run.py`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.runs import folder as run_folder
from tests.damages import cut, flip, remove, swap
from tests.forked import Server

from .conftest import Lab

PREPARE = "prepare"
"""What a training does before its first step."""
COMMANDS: dict[str, tuple[list[str], str]] = {
    "build": (["data", "build", "base.yml", "--json"], ""),
    "stats": (["data", "stats", "base.yml", "--json"], ""),
    "batch": (["data", "batch", "base.yml", "--step", "0", "--text", "--json"], ""),
    "verify": (["data", "verify", "artifacts", "--json"], ""),
    "data report": (["data", "report", "base.yml", "--out", "made", "--json"], "made"),
    "report": (["report", "out-base", "--out", "made.html"], "made.html"),
    "export": (["export", "out-base", "--to", "llama", "made", "--json"], "made"),
    "back": (["export", "exported", "--to", "kormo", "made", "--json"], "made"),
    "list": (["checkpoint", "list", "out-base", "--hashes", "--json"], ""),
    "release": (["release", "out-base", "made"], "made"),
    "check": (["reproduce", "released", "--check", "--json"], ""),
    "tokenizer": (["tokenizer", "report", "out-base", "--text", "base.yml", "--json"], ""),
    "chat": (["chat", "out-base", "--max-new-tokens", "4"], ""),
    PREPARE: ([], ""),
}
"""Command -> its words, and the file or folder that it makes."""
DATA = ("build", "stats", "batch", "verify", "data report", PREPARE)
READS = {
    "artifacts": DATA,
    "out-base": ("report", "export", "list", "release", "tokenizer", "chat", PREPARE),
    "released": ("check",),
    "exported": ("back",),
}


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


@dataclass(frozen=True)
class Result:
    """What a command did: status, streams, traceback, and the files that it made."""

    code: int
    stdout: str
    stderr: str
    trace: str
    made: dict[str, bytes]


class Room:
    """A finished lab that is damaged and mended; every command runs in a child of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, folder.with_name(folder.name + "-kept")
        for name in ("artifacts", "out-base"):
            shutil.copytree(folder / name, self.kept / name)
        os.chdir(folder)
        for words in (["release", "out-base", "released"], ["export", "out-base", "--to", "llama", "exported"]):
            assert CliRunner().invoke(cli, words).exit_code == 0
        for name in ("released", "exported"):
            shutil.copytree(folder / name, self.kept / name)
        self.whole: dict[str, Result] = {}

    def files(self) -> list[str]:
        """One file of each kind, by its path in the room."""
        found: dict[str, str] = {}
        for path in sorted(self.kept.rglob("*")):
            name = path.relative_to(self.kept).as_posix()
            if path.is_file() and path.stat().st_size and not re.search(r"\.lease|/\.leases/|debug\.log", name):
                kind = re.sub(r"-\w+-[0-9a-f]{12}", "", re.sub(r"\d+", "N", name.replace("english", "korean")))
                found.setdefault(kind, name)
        return list(found.values())

    def run(self, name: str) -> Result:
        """A command on the room as it is; what it made is looked at and removed."""
        words, made = COMMANDS[name]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "wb") as answer:
                pickle.dump(_prepared() if name == PREPARE else _invoked(words), answer)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            code, stdout, stderr, trace = pickle.load(answer)
        os.waitpid(child, 0)
        place = self.folder / made
        found = [place] if made and place.is_file() else sorted(place.rglob("*")) if made else []
        files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found if path.is_file()}
        self.restore()
        return Result(code, stdout, stderr, trace, files)

    def restore(self) -> None:
        """The room as it was."""
        for name in READS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(self.kept / name, self.folder / name)
        for name in ("made", "made.html"):
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def fault(self, file: str, damage: Callable[[Path], None], name: str) -> str:
        """What is wrong with a command on a damaged file; empty where nothing is."""
        if name not in self.whole:
            self.whole[name] = self.run(name)
            assert self.whole[name].code == 0, self.whole[name]
        damage(self.folder / file)
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


def _invoked(words: list[str]) -> tuple[int, str, str, str]:
    result = CliRunner().invoke(cli, words, input="hello\n/quit\n")
    error = result.exception
    trace = "" if error is None or isinstance(error, SystemExit) else "".join(traceback.format_exception(error))
    return result.exit_code, result.stdout, result.stderr, trace


def _prepared() -> tuple[int, str, str, str]:
    told = StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        try:
            recipe = load_recipe(Path("base.yml"))
            built = build_all(recipe, log=lambda line: None)
            run_folder.prepare(recipe, built, main=True)
        except KormoError as error:
            return 2, "", error.render(), ""
        except BaseException:
            return 1, "", "", traceback.format_exc()
    return 0, "", told.getvalue(), ""


TIME = 3600
"""Seconds that the training may take, on however busy a machine."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, forks: Server) -> Iterator[Room]:
    lab, before = Lab(tmp_path_factory.mktemp("damaged"), forks), Path.cwd()
    trained = lab.axolotl("train", str(lab.recipe("base")), "--launcher", "python", fresh=True, timeout=TIME)
    assert trained.returncode == 0, trained.stderr[-4000:]
    yield Room(lab.folder)
    os.chdir(before)


def cases(room: Room) -> Iterator[tuple[str, Callable[[Path], None], str]]:
    for file in room.files():
        records = JSON if file.endswith((".json", ".jsonl")) else ()
        for damage in (*ANY, *records):
            for name in READS[file.split("/")[0]]:
                yield file, damage, name


def faults(room: Room, chosen: list[tuple[str, Callable[[Path], None], str]]) -> list[str]:
    found = [(f"{name} of {file}, {damage.__name__}", room.fault(file, damage, name)) for file, damage, name in chosen]
    return [f"{what}: {fault}" for what, fault in found if fault]


@pytest.mark.soak
def test_every_damage_is_noticed_or_harmless(room: Room) -> None:
    everything = list(cases(room))
    assert len(everything) > 200
    found = faults(room, everything)
    assert not found, f"{len(found)} faults\n" + "\n".join(found[:40])
