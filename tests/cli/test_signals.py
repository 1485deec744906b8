"""SIGTERM to a whole process group, as `timeout`, systemd and Slurm send it: status 75, and the command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

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
