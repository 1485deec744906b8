"""SIGTERM to a whole process group, as `timeout`, systemd and Slurm send it: status 75, and the command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import yaml

from kormo_plugins.cli.main import CONTINUES, cli, stopped

from ..console.test_signals import in_group
from .conftest import DATA, RECIPE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = {**DATA, "workers": 2}
    data["sources"] = {
        name: {**source, "parts": 4, "generator": {**source["generator"], "megabytes": 8}}
        for name, source in DATA["sources"].items()
    }
    (tmp_path / "data.yml").write_text(yaml.safe_dump(data))
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def test_a_build_that_is_terminated_leaves_in_order(folder: Path) -> None:
    for _ in range(4):  # a build of a few seconds may be over before the signal comes
        code, group, told = _terminated(folder)
        if code:
            break
        shutil.rmtree(folder / "artifacts")
    assert code == 75, told
    assert "the same command continues" in told and "Traceback" not in told
    assert not any(Path(f"/proc/{pid}").exists() for pid in in_group(group))
    lease = next((folder / "artifacts" / ".leases").iterdir())
    assert '"released": true' in lease.read_text()


def _terminated(folder: Path) -> tuple[int, int, str]:
    """Exit status, process group and stderr of a build whose group gets SIGTERM once it is at work."""
    command = [sys.executable, "-m", "kormo_plugins.cli.main", "data", "build", "recipe.yml"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    build = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment,
    )  # fmt: skip
    for _ in range(1200):
        if any((folder / "artifacts").glob(".corpus-*.partial/work/*/*")) or build.poll() is not None:
            break
        time.sleep(0.02)
    if build.poll() is None:
        os.killpg(build.pid, signal.SIGTERM)
    _, told = build.communicate(timeout=60)
    return build.returncode, build.pid, told


def test_a_command_that_cannot_go_on_says_so(tmp_path: Path) -> None:
    """Training a tokenizer is stopped while it reads its text from a pipe that never ends."""
    (tmp_path / "t.yml").write_text("name: kormo_bpe\nvocab_size: 300\nmegabytes: 1\n")
    os.mkfifo(tmp_path / "text.txt")
    words = ["tokenizer", "train", "t.yml", "--text", "text.txt", "--out", "out"]
    command = [sys.executable, "-m", "kormo_plugins.cli.main", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for _ in range(1200):
            if list(tmp_path.glob("out.*.tmp")) or process.poll() is not None:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 75, told
    assert "the same command begins anew" in told and "continues" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.yml", "text.txt"]


def test_every_command_that_continues_exists() -> None:
    for command in CONTINUES:
        found: click.Command | None = cli
        for name in command:
            assert isinstance(found, click.Group)
            found = found.get_command(click.Context(found), name)
        assert found is not None, command
    assert "begins anew" in stopped(["--traceback", "export", "data", "build"])
    assert "continues" in stopped(["--traceback", "data", "build", "r.yml"])
