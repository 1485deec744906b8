"""A finished workspace, run, release and export, and every command that reads them, each in a child of its own.

What a test does to the folders is undone after each command; a command that is forked from this process starts at once.
"""

from __future__ import annotations

import importlib
import os
import pickle
import re
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.runs import folder as run_folder
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
TIME = 3600
"""Seconds that the training may take, on however busy a machine."""
KEPT = ("artifacts", "out-base")
MADE = ("released", "exported")


@dataclass(frozen=True)
class Result:
    """What a command did: status, streams, traceback, and the files that it made."""

    code: int
    stdout: str
    stderr: str
    trace: str
    made: dict[str, bytes]


def nothing() -> None:
    """What a child does before its command, by default."""


class Room:
    """A finished lab; every command runs in a child of this process, in the lab's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, folder.with_name(folder.name + "-kept")
        self.known: set[tuple[str, ...]] = set()
        os.chdir(folder)
        for words in (["release", "out-base", "released"], ["export", "out-base", "--to", "llama", "exported"]):
            assert CliRunner().invoke(cli, words).exit_code == 0
        for name in (*KEPT, *MADE):
            shutil.copytree(folder / name, self.kept / name)

    def files(self) -> list[str]:
        """One file of each kind, by its path in the room."""
        found: dict[str, str] = {}
        for path in sorted(self.kept.rglob("*")):
            name = path.relative_to(self.kept).as_posix()
            if path.is_file() and path.stat().st_size and not re.search(r"\.lease|/\.leases/|debug\.log", name):
                kind = re.sub(r"-\w+-[0-9a-f]{12}", "", re.sub(r"\d+", "N", name.replace("english", "korean")))
                found.setdefault(kind, name)
        return list(found.values())

    def run(self, words: list[str], made: str = "", before: Callable[[], None] = nothing) -> Result:
        """A command on the room as it is; what it made is looked at, then everything is as it was.

        What the first run of a command imports is imported here too: most of each later run would be that. Nothing else
        of it is kept, so that none begins with what another has read.

        Args:
            words: of the command; none: what a training does before its first step.
            made: file or folder that it makes.
            before: called in the child.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            before()
            with os.fdopen(writing, "wb") as answer:
                pickle.dump((*(_invoked(words) if words else _prepared()), sorted(sys.modules)), answer)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            code, stdout, stderr, trace, modules = pickle.load(answer)
        os.waitpid(child, 0)
        if (kind := tuple(words[:2])) not in self.known:
            self.known.add(kind)
            _import(modules)
        place = self.folder / made
        found = [place] if made and place.is_file() else sorted(place.rglob("*")) if made else []
        files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found if path.is_file()}
        self.restore()
        return Result(code, stdout, stderr, trace, files)

    def restore(self) -> None:
        """The room as it was: what has another size or time is copied again, and what is new is removed."""
        for name in (*KEPT, *MADE):
            was, now = _stats(self.kept / name), _stats(self.folder / name)
            for path in sorted(now.keys() - was.keys(), reverse=True):  # what is in a folder before the folder
                there = self.folder / name / path
                shutil.rmtree(there) if there.is_dir() and not there.is_symlink() else there.unlink(missing_ok=True)
            for path, stat in was.items():
                there = self.folder / name / path
                if stat is None:
                    there.mkdir(parents=True, exist_ok=True)
                elif now.get(path) != stat:
                    there.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(self.kept / name / path, there)
        for made in (self.folder / "made", self.folder / "made.html"):
            shutil.rmtree(made) if made.is_dir() else made.unlink(missing_ok=True)


def _import(names: list[str]) -> None:
    """What is not imported yet; names that are no module's own (`__mp_main__`) are passed over."""
    for name in names:
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)


def _stats(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Size and time of every file below a folder; None for folders."""
    found: dict[str, tuple[int, int] | None] = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        whole = path.is_dir() and not path.is_symlink()
        found[path.relative_to(folder).as_posix()] = None if whole else (stat.st_size, stat.st_mtime_ns)
    return found


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
            run_folder.prepare(recipe.run_plan(), built, main=True)
        except KormoError as error:
            return 2, "", error.render(), ""
        except BaseException:
            return 1, "", "", traceback.format_exc()
    return 0, "", told.getvalue(), ""


def finished_room(folder: Path, forks: Server) -> Room:
    """Trains once, and leaves this process in the room."""
    lab = Lab(folder, forks)
    trained = lab.axolotl("train", str(lab.recipe("base")), "--launcher", "python", fresh=True, timeout=TIME)
    assert trained.returncode == 0, trained.stderr[-4000:]
    return Room(lab.folder)
