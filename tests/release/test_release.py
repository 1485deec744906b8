"""A release is found out when one byte of it is another, and a repetition when one step is."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kormo_plugins
from kormo_plugins.errors import KormoError
from kormo_plugins.release import rebuild
from kormo_plugins.release.collect import Released, read_index, recipes_gone, release
from kormo_plugins.release.environment import code_hashes
from kormo_plugins.release.rebuild import Plan, compare, repeat_steps
from kormo_plugins.release.signature import sign
from kormo_plugins.release.verify import Author, check, differences_here
from kormo_plugins.store.sums import BUNDLE, SIGNATURE, SUMS, files_of, sha256, write_sums

from .made_release import finished_run

LOSSES = [3.0, 2.5, 2.25]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "lab", LOSSES)


@pytest.fixture
def made(run: Path, tmp_path: Path) -> Path:
    release(run, tmp_path / "release", [2])
    return tmp_path / "release"


def test_everything_is_in_it_and_agrees(made: Path) -> None:
    assert check(made) == [] and check(made, Author(sha256(made / SUMS))) == []
    names = set(files_of(made))
    assert {"release.json", "code.json", "lock.txt", "sbom.cdx.json", "licenses.json"} <= names
    assert {"runs/small/model.safetensors", "runs/small/checkpoint-2/complete.json"} <= names
    assert any(name.startswith("runs/small/written/") for name in names)
    assert any(name.startswith("artifacts/corpus-a-") for name in names)
    assert json.loads((made / "licenses.json").read_text()) == {"small": {"a": "CC0-1.0"}}
    assert [entry.checkpoints for entry in read_index(made)] == [(2,)]
    assert "numpy==" in (made / "lock.txt").read_text()
    bill = json.loads((made / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX" and any(c["name"] == "numpy" for c in bill["components"])
    assert not list(differences_here(made))


def test_whatever_the_package_computes_with_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word lists, weights and tasks as well as modules; the recipes that only a wheel holds make no difference."""
    hashes, folder = code_hashes(), Path(kormo_plugins.__file__).parent
    tracked = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True).stdout.split()
    data = {name for name in tracked if not name.endswith((".py", ".md"))}
    assert {*data, "embedded/words/people.txt", "corpus/steps/languages/weights.npz"} <= hashes.keys()
    for name in ("module.py", "words.txt", "shipped/recipes/a.yml", "__pycache__/module.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(kormo_plugins, "__file__", str(tmp_path / "__init__.py"))
    assert list(code_hashes()) == ["module.py", "words.txt"]


def test_one_byte_changed_anywhere_is_found(made: Path) -> None:
    identity = sha256(made / SUMS)
    for name in [*files_of(made), SUMS]:
        path = made / name
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        try:
            found = check(made, Author(identity))
        except KormoError as error:
            found = [error]  # type: ignore[list-item]
        assert found and name.split("/")[-1] in str(found[0]), name
        path.write_bytes(before)
    assert check(made, Author(identity)) == []


def test_a_file_more_or_less_is_found(made: Path) -> None:
    (made / "more.txt").touch()
    assert [str(finding) for finding in check(made)] == ["more.txt: not in the list: added since the release was made"]
    (made / "more.txt").unlink()
    (made / "lock.txt").unlink()
    assert [finding.where for finding in check(made)] == ["lock.txt"]


def _record(made: Path) -> None:
    (made / "runs/small/recipe.yml").write_text("seed: 7\n")


def _artifact(made: Path) -> None:
    (path,) = (made / "artifacts").glob("*/manifest.json")
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))


def _weights(made: Path) -> None:
    (made / "runs/small/model.safetensors").write_bytes(b"another")


@pytest.mark.parametrize("forge", [_record, _artifact, _weights])
def test_a_forger_who_renews_the_list_is_found_by_the_records(made: Path, forge: object) -> None:
    identity = sha256(made / SUMS)
    forge(made)  # type: ignore[operator]
    write_sums(made)
    assert check(made) and check(made, Author(identity))[0].where == SUMS


def test_what_is_not_finished_is_not_released(run: Path, tmp_path: Path) -> None:
    with pytest.raises(KormoError, match="no run has a whole checkpoint"):
        release(run, tmp_path / "out", [7])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").touch()
    with pytest.raises(KormoError, match="nothing is overwritten"):
        release(run, tmp_path / "full")
    (run / "complete.json").unlink()
    with pytest.raises(KormoError, match="finished run"):
        release(run, tmp_path / "out")
    with pytest.raises(KormoError, match="SHA256SUMS"):
        check(run)


def test_a_chain_is_released_from_any_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records name recipes, artifacts and runs as they were seen from where it was started."""
    lab = tmp_path / "lab"
    record = json.loads((run / "run.json").read_text())
    (artifact,) = record["artifacts"].values()
    record |= {"artifacts": {"corpus/a": str(Path(artifact).relative_to(lab))}, "recipe": "written.yml"}
    (run / "run.json").write_text(json.dumps(record))
    (lab / "outputs/chain").mkdir(parents=True)
    (lab / "outputs/chain/chain.json").write_text(json.dumps({"stages": [{"output": "small"}]}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    release(lab / "outputs/chain", tmp_path / "release")
    assert {"chain.json", "artifacts", "runs"} <= {path.name for path in (tmp_path / "release").iterdir()}
    assert list((tmp_path / "release/runs/small/written").iterdir()) and not recipes_gone(lab / "outputs/chain")
    (lab / "written.yml").unlink()
    assert recipes_gone(lab / "outputs/chain") == [Path("written.yml")]
    shutil.rmtree(artifact)
    with pytest.raises(KormoError, match="no manifest of corpus/a"):
        release(lab / "outputs/chain", tmp_path / "again")


@pytest.mark.parametrize(
    ("losses", "tolerance", "told"),
    [
        (LOSSES, 0.0, None),
        ([3.0, 2.5000001, 2.25], 0.0, "small: step 2: loss 2.5000001 instead of 2.5"),
        ([3.0, 2.5000001, 2.25], 1e-6, None),
        ([3.0, 2.5], 0.0, "small: step 3: loss None instead of 2.25"),
    ],
)
def test_the_first_step_that_differs_is_named(
    made: Path, tmp_path: Path, losses: list[float], tolerance: float, told: str | None
) -> None:
    again = finished_run(tmp_path / "again", losses)
    (tmp_path / "out/runs").mkdir(parents=True)
    shutil.copytree(again, tmp_path / "out/runs/small")
    plan = Plan(made, tmp_path / "out", lambda recipe: [], tolerance, print)
    found = list(compare(plan, read_index(made)[0]))
    assert [str(finding) for finding in found] == ([] if told is None else [told])


LOGGED = """
import json, pathlib, sys
lines = [json.dumps({"step": step, "loss": loss}) for step, loss in json.loads(sys.argv[1])]
pathlib.Path(sys.argv[2]).with_name("metrics.jsonl").write_text("\\n".join(lines) + "\\n")
"""
"""A training that logs what it is told to."""


@pytest.mark.parametrize(
    ("logged", "told"),
    [
        ([(4, 9.0), (6, 1.0)], []),  # the mean of steps 3 and 4: the repetition has step 4 alone
        ([(4, 2.0), (6, 1.5)], ["small: step 6: loss 1.5 instead of 1.0"]),
        ([(4, 2.0)], ["small: step 6: loss None instead of 1.0"]),
    ],
)
def test_a_window_compares_the_steps_that_it_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[tuple[int, float]], told: list[str]
) -> None:
    monkeypatch.setattr(rebuild, "_recipe", lambda plan, released, *rest: plan.run(released) / "requested.yml")
    run = finished_run(tmp_path / "lab", [0.0] * 6)
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in ((2, 3.0), (4, 2.0), (6, 1.0))]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    release(run, tmp_path / "release", [3])
    words = [sys.executable, "-c", LOGGED, json.dumps(logged)]
    plan = Plan(tmp_path / "release", tmp_path / "out", lambda recipe: [*words, str(recipe)], 0.0, print)
    for last in (4, 5, 7):
        with pytest.raises(KormoError, match=rf"logged at step {last}.*end at a logged step: 6"):
            repeat_steps(plan, 3, last)
    assert [str(found) for found in repeat_steps(plan, 3, 6)] == told


KILLED = """
import sys
from pathlib import Path
from kormo_plugins.release.rebuild import Plan, _train
_train(Plan(Path(), Path(), lambda recipe: [sys.executable, "-c", sys.argv[2], sys.argv[1]], 0.0, print),
       Path(sys.argv[1]), None)
"""
AT_WORK = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(100)
"""


def test_no_training_is_left_at_work_when_its_command_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(pid_file), AT_WORK]) as command:
        while not pid_file.is_file() or not pid_file.read_text():
            time.sleep(0.05)
        command.kill()
    training = Path("/proc") / pid_file.read_text()
    end = time.monotonic() + 20
    while training.exists() and time.monotonic() < end:
        time.sleep(0.05)
    left = training.exists()
    if left:
        os.kill(int(training.name), signal.SIGKILL)
    assert not left


def test_every_process_that_is_started_ends_with_its_command() -> None:
    calls = [
        (path.name, node)
        for path in (Path(rebuild.__file__).parents[1]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Popen")
    ]
    assert len(calls) >= 3
    assert not [name for name, call in calls if "ends_with_us" not in ast.unparse(call)]


def test_the_run_of_a_window_is_the_one_that_went_so_far(tmp_path: Path) -> None:
    """Two stages of a chain may both have a checkpoint of step 80."""
    runs = [Released("long", "", (80, 160)), Released("short", "", (80,)), Released("longer", "", (80,))]
    for released, end in zip(runs, (160, 80, 200), strict=True):
        folder = tmp_path / "runs" / released.name
        folder.mkdir(parents=True)
        steps = range(10, end + 1, 10)
        (folder / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in steps))
    assert rebuild._only(tmp_path, runs[:2], 80, 100) is runs[0]
    assert rebuild._only(tmp_path, runs, 80, 200) is runs[2]
    with pytest.raises(KormoError, match=r"long, longer have such steps.*--run long"):
        rebuild._only(tmp_path, runs, 80, 100)
    with pytest.raises(KormoError, match=r"90, 100, 110 \(long\); none after this checkpoint \(short\)"):
        rebuild._only(tmp_path, runs[:2], 80, 95)


def test_the_first_artifact_that_differs_is_named_with_the_reason(made: Path, tmp_path: Path) -> None:
    again = finished_run(tmp_path / "again", LOSSES)
    (tmp_path / "out/runs").mkdir(parents=True)
    shutil.copytree(again, tmp_path / "out/runs/small")
    plan = Plan(made, tmp_path / "out", lambda recipe: [], 0.0, print)
    (manifest,) = (tmp_path / "again/artifacts").glob("*/manifest.json")
    value = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**value, "hash": "0" * 12, "inputs": {"version": 2}}))
    assert [str(f) for f in compare(plan, read_index(made)[0])] == ["corpus/a: its input version is 2 instead of 1"]
    manifest.write_text(json.dumps({**value, "files": {"part.txt": {"bytes": 1}}}))
    assert "part.txt has other bytes" in str(next(iter(compare(plan, read_index(made)[0]))))


# ---- signatures ------------------------------------------------------------------------------------------------------

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """An author's SSH key and a stranger's."""
    made = (tmp_path / "author", tmp_path / "stranger")
    for path in made:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return made


@needs_ssh
def test_who_signed_is_found_and_every_byte_of_the_signature_counts(made: Path, keys: tuple[Path, Path]) -> None:
    author, stranger = (path.with_suffix(".pub") for path in keys)
    assert [found.where for found in check(made, Author(key=author))] == [SIGNATURE]  # nobody signed it yet
    identity = sha256(made / SUMS)
    sign(made, keys[0])
    assert check(made) == [] and check(made, Author(identity, author)) == []
    assert [found.where for found in check(made, Author(key=stranger))] == [SIGNATURE]
    whole = (made / SIGNATURE).read_bytes()
    for place in (*range(0, len(whole), 23), len(whole) - 1):
        (made / SIGNATURE).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert check(made), place
    (made / SIGNATURE).write_bytes(whole)
    (made / "lock.txt").write_text("numpy==0\n")
    write_sums(made)  # a forger's list, with the author's signature of another one
    assert [found.where for found in check(made)] == [SIGNATURE]
    sign(made, keys[1])  # and with one of their own
    assert check(made) == [] and [found.where for found in check(made, Author(key=author))] == [SIGNATURE]


@needs_ssh
def test_keys_that_are_none_are_told(made: Path, tmp_path: Path) -> None:
    with pytest.raises(KormoError, match=r"kormo release --sign.*the release itself is written"):
        sign(made, tmp_path / "none")
    sign_with = tmp_path / "text.pub"
    sign_with.write_text("thesis")
    (made / SIGNATURE).write_text("thesis")
    assert "not a signature" in check(made)[0].what
    (made / SIGNATURE).unlink()
    for key in (sign_with, tmp_path / "none.pub"):
        assert [found.where for found in check(made, Author(key=key))] == [SIGNATURE]  # nothing is signed


def test_a_bundle_of_sigstore_is_checked_without_a_service(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    author = Author(signer="me@lab.example", issuer="https://accounts.example")
    assert [str(found) for found in check(made, author)] == [
        f"{BUNDLE}: missing: nobody signed this release with sigstore"
    ]
    (made / BUNDLE).write_text("{}")
    assert check(made) == []  # whose it is nobody has asked
    pytest.importorskip("sigstore", reason="sigstore is not installed")
    assert [found.where for found in check(made, author)] == [BUNDLE]
    monkeypatch.setitem(sys.modules, "sigstore.verify", None)
    with pytest.raises(KormoError, match="pip install sigstore"):
        check(made, author)
