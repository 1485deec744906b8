"""SIGTERM to a whole process group, as `timeout`, systemd and Slurm send it: status 75, and the command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from .conftest import DATA, RECIPE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = {**DATA, "workers": 2}
    data["sources"] = {
        name: {**source, "parts": 4, "generator": {**source["generator"], "megabytes": 4}}
        for name, source in DATA["sources"].items()
    }
    (tmp_path / "data.yml").write_text(yaml.safe_dump(data))
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def test_a_build_that_is_terminated_leaves_in_order(folder: Path) -> None:
    command = [sys.executable, "-m", "kormo_plugins.cli.main", "data", "build", "recipe.yml"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    build = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment,
    )  # fmt: skip
    workspace = folder / "artifacts"
    for _ in range(600):
        if list(workspace.glob(".corpus-*.partial/work/*/*")) or build.poll() is not None:
            break
        time.sleep(0.1)
    os.killpg(build.pid, signal.SIGTERM)
    _, told = build.communicate(timeout=60)
    assert build.returncode == 75, told
    assert "the same command goes on" in told and "Traceback" not in told
    assert not any(Path(f"/proc/{pid}").exists() for pid in _group(build.pid))
    lease = next((workspace / ".leases").iterdir())
    assert '"released": true' in lease.read_text()


def _group(number: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == number and fields[0] != b"Z":
            found.append(int(stat.parent.name))
    return found
