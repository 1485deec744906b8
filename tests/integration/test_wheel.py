"""The package as others get it: a wheel, an environment without a checkout, an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AXOLOTL = "import sys\nfrom axolotl.cli.main import main\nsys.argv[0] = 'axolotl'\nmain()\n"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with our wheel, which sees this one's packages but not the checkout.

    A path that is named in a `.pth` file is searched, and its own `.pth` files (an editable install) are not read.
    """
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    bin_ = folder / "env" / "bin"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name, code in (("axolotl", AXOLOTL), ("kormo", "from kormo_plugins.cli.main import main\nmain()\n")):
        (bin_ / name).write_text(f"#!{bin_ / 'python'}\n{code}")
        (bin_ / name).chmod(0o755)
    return bin_ / "python"


def run(python: Path, folder: Path, *words: str) -> str:
    """The output of a command of the new environment, run in a folder; the checkout is on no path."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PATH": f"{python.parent}:/usr/bin:/bin", "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([str(python.parent / words[0]), *words[1:]], cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.soak
@pytest.mark.axolotl
def test_a_wheel_trains_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    where = run(python, tmp_path, "python", "-c", "import kormo_plugins; print(kormo_plugins.__file__)")
    assert str(python.parent.parent) in where
    assert "pretrain" in run(python, tmp_path, "kormo", "run", "kormo:chains/nano.yml", "--dry-run")
    run(python, tmp_path, "kormo", "init", "lab")
    lab = tmp_path / "lab"
    changes = ["kormo.tokens=8192", "kormo.monitor=null", "kormo.report=false", "kormo.samples.prompts=[]"]
    run(python, lab, "kormo", "train", "recipe.yml", *changes, "--launcher", "python")
    assert (lab / "outputs/lab/export/model.safetensors").is_file()
    assert "kormo_plugins/shipped/recipes/pretrain.yml" in (lab / "outputs/lab/run.json").read_text()
