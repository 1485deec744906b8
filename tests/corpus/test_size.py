"""A large crawl through the whole of `korean_web.yml`: flat memory, and the same bytes however often it was killed.

    KORMO_TEST_MEGABYTES=2000 pytest -n 0 -s -m soak tests/corpus/test_size.py

The crawl is made of the embedded generator's sentences, drawn anew for every page, so that deduplication keeps most of
it; some pages are copies, some nearly, some hold markup, personal data or another language.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson
import pytest

from kormo_plugins.corpus.passes.decide import IN_MEMORY
from kormo_plugins.embedded.generate import EmbeddedParams, generate
from kormo_plugins.store.corpus_files import read_corpus

RECIPE = Path(__file__).parents[2] / "datasets_recipes" / "korean_web.yml"
FILE_MB = 16
KILLS = 5
BYTES_PER_DOCUMENT = 150
"""Hashes of ids, keys of a band and parents; signatures are in a file from `decide.IN_MEMORY` bytes on."""


@dataclass(frozen=True)
class Run:
    """What a build cost: processor seconds, and in MB the largest resident memory of its process, and what of it no
    file stands behind (looked at twice a second): pages of mapped files can be dropped, and are read again."""

    processor: float
    resident: float
    memory: float


@lru_cache(maxsize=1)
def sentences() -> tuple[list[str], list[str]]:
    """Korean and English sentences of the embedded generator."""
    found = []
    for language in ("ko", "en"):
        pages = generate(EmbeddedParams(language=language, megabytes=1.5))
        lines = (line.strip() for page in pages for line in page.text.split("\n"))
        found.append([line for line in lines if 20 < len(line) < 300])
    return found[0], found[1]


def page(draw: random.Random, before: list[str]) -> str:
    """One page of the crawl; `before` holds some earlier ones."""
    korean, english = sentences()
    chance = draw.random()
    if before and chance < 0.05:
        return draw.choice(before)
    if before and chance < 0.1:
        return draw.choice(before) + " " + draw.choice(korean)
    lines = draw.choices(english if chance < 0.13 else korean, k=draw.randint(3, 40))
    if chance > 0.9:
        lines[0] = f'<div class="top"><b>{lines[0]}</b>&nbsp;010-{draw.randint(1000, 9999)}-1234</div>'
    return "\n".join(lines)


def crawl(folder: Path, megabytes: float, seed: int = 0) -> Path:
    """Writes JSON lines of that size, in files of `FILE_MB`."""
    folder.mkdir(parents=True)
    draw, before, left, number = random.Random(seed), list[str](), megabytes * 1e6, 0
    while left > 0:
        room = min(left, FILE_MB * 1e6)
        left -= room
        with (folder / f"{number:05d}.jsonl").open("wb") as file:
            while room > 0:
                text = page(draw, before)
                before = [*before[-200:], text]
                room -= file.write(orjson.dumps({"text": text}) + b"\n")
        number += 1
    return folder


def build(data: Path, workspace: Path, kill_after: float | None = None) -> Run | None:
    """Runs the command; None if it was killed before it was done.

    Args:
        kill_after: seconds until the whole group of its processes is killed.
    """
    command = [sys.executable, "-m", "kormo_plugins.cli.main", "data", "build", str(RECIPE), "--workspace"]
    log = workspace.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, str(workspace)],
            env={**os.environ, "KORMO_DATA": str(data)},
            start_new_session=True,
            stdout=said,
            stderr=said,
        )
    until, memory = time.monotonic() + (kill_after or float("inf")), 0.0
    done, status, used = 0, 0, None
    while not done:
        if time.monotonic() > until:
            os.killpg(process.pid, signal.SIGKILL)
        memory = max(memory, _anonymous(process.pid))
        time.sleep(0.5)
        done, status, used = os.wait4(process.pid, os.WNOHANG)
    if kill_after is not None and status:
        return None
    assert status == 0 and used is not None, log.read_text(encoding="utf-8")[-2000:]
    return Run(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, memory)


def _anonymous(pid: int) -> float:
    """Resident memory of a process behind which no file stands, in MB; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), 0.0)


def corpus(workspace: Path) -> Path:
    (folder,) = (path for path in workspace.glob("corpus-*") if path.is_dir())
    return folder


@pytest.mark.soak
def test_a_large_crawl_killed_at_random(tmp_path: Path) -> None:
    size = float(os.environ.get("KORMO_TEST_MEGABYTES", "2000"))
    data, part = crawl(tmp_path / "crawl", size), crawl(tmp_path / "part", size / 4)
    begin = time.monotonic()
    whole = build(data, tmp_path / "whole")
    seconds = time.monotonic() - begin
    quarter = build(part, tmp_path / "quarter")
    assert whole is not None and quarter is not None
    draw, killed = random.Random(time.time_ns()), 0
    for _ in range(KILLS):
        killed += build(data, tmp_path / "killed", draw.uniform(0.05, 0.5) * seconds) is None
    assert killed, "nothing was interrupted"
    build(data, tmp_path / "killed")
    for place in ("held_out", "rejects", "."):
        parts = [sorted((corpus(tmp_path / name) / place).glob("part-*.zst")) for name in ("whole", "killed")]
        assert parts[0] and [path.name for path in parts[0]] == [path.name for path in parts[1]]
        for one, other in zip(*parts, strict=True):
            assert one.read_bytes() == other.read_bytes(), one
    sizes = [len(document.text.encode()) for document in read_corpus(corpus(tmp_path / "whole"))]
    kept = sum(sizes) / 1e6
    speed = f"{size / whole.processor:.2f} MB/s per core"
    peak = f"peak {whole.memory:,.0f} MB and mapped files (a quarter of it: {quarter.memory:,.0f} MB)"
    peak += f", resident with them {whole.resident:,.0f} MB ({quarter.resident:,.0f} MB)"
    print(f"\n{size:,.0f} MB, {kept:,.0f} MB kept: {speed}, {peak}, killed {killed} times: the same bytes")
    assert kept > 0.3 * size, "the crawl was eaten"
    hashes = (BYTES_PER_DOCUMENT * len(sizes) + IN_MEMORY) / 1e6
    assert whole.memory < 1.1 * quarter.memory + hashes, "something but hashes grows with the crawl"
