"""A build that was stopped or killed anywhere goes on, and ends with the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.passes import clean, stage
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store import array_file, atomic

from .builds import STEPS, texts, tree_hash
from .conftest import Build, write_rows


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(s, marks=pytest.mark.soak) for s in range(4, 30))])
def test_stopped_anywhere_and_run_again(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(120, seed))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}
    build(source, STEPS, out="whole")
    replace, dice = atomic.replace, random.Random(seed)
    left = [0]

    def dying(file: Path, write: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            file.with_name(file.name + ".tmp").write_bytes(b"half")
            raise Killed
        replace(file, write)

    for module in (array_file, atomic, clean, stage):
        monkeypatch.setattr(module, "replace", dying)
    monkeypatch.setattr(clean, "CHUNK", 800)  # many marks inside each part
    kills = 0
    while True:
        left[0] = dice.randint(2, 25)
        try:
            build(source, STEPS, out="killed")
            break
        except Killed:
            kills += 1
    assert kills
    assert tree_hash(tmp_path / "whole") == tree_hash(tmp_path / "killed")


def test_a_part_goes_on_where_its_last_chunk_ended(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 1}
    whole = build(source, STEPS, out="whole")
    monkeypatch.setattr(clean, "CHUNK", 1000)
    through, looked = clean._through, [0]

    def dying(*given: Any) -> Any:
        looked[0] += 1
        if looked[0] == 200:
            raise Killed
        return through(*given)

    monkeypatch.setattr(clean, "_through", dying)
    with pytest.raises(Killed):
        build(source, STEPS, out="killed")
    marks = len(list((tmp_path / "killed" / "work" / "0").glob("00000-*.json")))
    assert marks > 5 and not (tmp_path / "killed" / "work" / "0" / "00000.json").exists()
    assert build(source, STEPS, out="killed") == whole
    assert tree_hash(tmp_path / "whole") == tree_hash(tmp_path / "killed")
    # Twice looked at is only what the chunk of the kill had; after exact_dedup fewer go through the second time.
    assert looked[0] < 200 + 110 + 300


SCRIPT = """
import sys
from pathlib import Path
from kormo_plugins.corpus.passes import clean
from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.plugins.registry import registry
clean.CHUNK = 20_000
recipe = CorpusRecipe.model_validate_json(sys.argv[1])
build_source("s", recipe.sources["s"], recipe, registry(), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.soak) for s in range(1, 30))])
def test_killed_for_real(tmp_path: Path, components: Registry, seed: int) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(4000, 1))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 6}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    begin = time.monotonic()
    build_source("s", recipe.sources["s"], recipe, components, whole)
    seconds = time.monotonic() - begin
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, recipe.model_dump_json(), str(killed)])
    while not (killed / "work").exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(random.Random(seed).random() * seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    build_source("s", recipe.sources["s"], recipe, components, killed)
    assert tree_hash(whole) == tree_hash(killed)


def test_what_another_version_left_half_done_is_begun_anew(tmp_path: Path, build: Build) -> None:
    """Its files have other names: a mark that says a part is done must not be believed."""
    path = write_rows(tmp_path / "a.jsonl", texts(60))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 1}
    build(source, STEPS, out="whole")
    left = tmp_path / "later" / "work" / "0"
    left.mkdir(parents=True)
    (left / "00000.json").write_text('{"chunks": 1, "steps": []}', encoding="utf-8")
    build(source, STEPS, out="later")
    assert tree_hash(tmp_path / "whole") == tree_hash(tmp_path / "later")
