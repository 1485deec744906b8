"""An artifact is whole or it is not there."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kormo_plugins.documents.document import Document, write_documents
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.verify import verify_folder
from kormo_plugins.store.artifact import MANIFEST, Spec, build, find
from kormo_plugins.store.lease import Lease

SPEC = Spec("corpus", "a name/with: signs", {"seed": 1})


def test_built_once_then_found(tmp_path: Path) -> None:
    calls = []

    def make(out: Path) -> dict[str, int]:
        calls.append(out)
        (out / "x").write_text("1")
        return {"documents": 3}

    first, second = build(tmp_path, SPEC, make), build(tmp_path, SPEC, make)
    assert len(calls) == 1 and first.path == second.path
    assert second.stats == {"documents": 3}
    assert first.path.name == f"corpus-a_name_with__signs-{SPEC.hash}"
    assert [path.name for path in tmp_path.glob(".*")] == [".leases"]


def test_what_another_finished_between_the_look_and_the_lease_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Lease.acquire

    def acquire(lease: Lease) -> bool:
        monkeypatch.setattr(Lease, "acquire", real)
        build(tmp_path, SPEC, lambda out: {"documents": 3})  # the other process
        return real(lease)

    monkeypatch.setattr(Lease, "acquire", acquire)
    assert build(tmp_path, SPEC, lambda out: pytest.fail("built twice")).stats == {"documents": 3}


def test_the_hash_is_of_the_inputs_not_of_the_name() -> None:
    assert Spec("corpus", "b", {"seed": 1}).hash == SPEC.hash
    assert Spec("corpus", "a name/with: signs", {"seed": 2}).hash != SPEC.hash
    assert Spec("rows", "a name/with: signs", {"seed": 1}).hash != SPEC.hash


def test_a_killed_build_is_continued_and_never_taken_for_whole(tmp_path: Path) -> None:
    def killed(out: Path) -> dict[str, int]:
        (out / "part-0").write_text("done")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, SPEC, killed)
    assert find(tmp_path, SPEC) is None

    def again(out: Path) -> dict[str, int]:
        assert (out / "part-0").read_text() == "done"
        return {}

    assert build(tmp_path, SPEC, again).path.is_dir()


@pytest.mark.parametrize("content", [None, "{", "{}", json.dumps({"hash": "other"})])
def test_a_folder_that_is_not_what_its_name_says(tmp_path: Path, content: str | None) -> None:
    built = build(tmp_path, SPEC, lambda out: {})
    manifest = built.path / MANIFEST
    manifest.unlink() if content is None else manifest.write_text(content)
    with pytest.raises(KormoError) as error:
        find(tmp_path, SPEC)
    assert "manifest.json" in error.value.where and "remove" in error.value.do


def test_a_manifest_that_was_edited_or_moved_is_not_trusted(tmp_path: Path) -> None:
    built = build(tmp_path, SPEC, lambda out: {"documents": 3})
    other = Spec("corpus", "a name/with: signs", {"seed": 2})
    shutil.copytree(built.path, tmp_path / other.folder)
    with pytest.raises(KormoError, match="matches the folder's name"):
        find(tmp_path, other)
    manifest = built.path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"documents": 3', '"documents": 4'))
    with pytest.raises(KormoError, match="changed by hand"):
        find(tmp_path, SPEC)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b"])
def test_a_manifest_may_not_list_files_outside_its_folder(tmp_path: Path, name: str) -> None:
    built = build(tmp_path, SPEC, lambda out: {})
    manifest = {**built.manifest, "files": {name: {"bytes": 1, "xxh3_128": "0"}}}
    assert "outside" in verify_folder(built.path, manifest).damaged[0].why


def test_a_full_disk_is_told_and_leaves_nothing_whole(tmp_path: Path) -> None:
    def full(out: Path) -> dict[str, int]:
        write_documents(Path("/dev/full"), [Document("a", "x" * 1_000_000)])  # a real device without space
        return {}

    with pytest.raises(KormoError) as error:
        build(tmp_path, SPEC, full)
    assert "no space left" in error.value.found
    assert find(tmp_path, SPEC) is None
    assert build(tmp_path, SPEC, lambda out: {}).path.is_dir()


@pytest.mark.parametrize("name", ["taken", "taken/below", "dangling"])
def test_a_workspace_that_cannot_be_a_folder_is_one_message(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    with pytest.raises(KormoError, match="which is not a folder"):
        build(tmp_path / name, Spec("corpus", "c", {}), lambda out: {})


STOPPED = """
import os, signal, sys, time
from pathlib import Path
from kormo_plugins.store import artifact, lease
lease.HEARTBEAT = lease.STALE_AFTER = artifact.POLL = 0.2
lease.Lease.__init__.__defaults__ = (0.1, 0.5, *lease.Lease.__init__.__defaults__[2:])
root, slow = Path(sys.argv[1]), sys.argv[2] == "slow"
def make(out):
    with (out / "half.tmp").open("w") as unfinished:
        unfinished.write("by " + sys.argv[2])
        (out / "done").write_text("finished before the stop") if slow else None
        if slow:
            (root / "stopped").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        unfinished.write(" to its end")
    assert (out / "done").read_text()
    (out / "half.tmp").rename(out / "whole")
    return {"by": sys.argv[2]}
spec = artifact.Spec("corpus", "a", {"v": 1})
print(artifact.build(root / "w", spec, make, lambda line: print(line, file=sys.stderr)).stats["by"])
"""


def test_a_builder_that_is_stopped_and_goes_on_publishes_nothing(tmp_path: Path) -> None:
    """The holder stands still until another has taken over, then goes on: it finds its folder gone, and waits."""
    command = [sys.executable, "-c", STOPPED, str(tmp_path)]
    with subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as slow:
        while not (tmp_path / "stopped").exists():
            time.sleep(0.02)
        other = subprocess.run([*command, "other"], capture_output=True, text=True, timeout=60)
        slow.send_signal(signal.SIGCONT)
        told = slow.communicate(timeout=60)
    assert other.stdout == told[0] == "other\n", other.stderr + told[1]
    assert "another process has taken over the build" in told[1] and "another process is building" in other.stderr
    built = find(tmp_path / "w", Spec("corpus", "a", {"v": 1}))
    assert built is not None and (built.path / "whole").read_text() == "by other to its end"
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == [".leases", built.path.name]


def test_two_finished_at_once_are_one_artifact(tmp_path: Path) -> None:
    """A process that lost its lease between the question and the rename cannot overwrite what is there."""

    def overtaken(out: Path) -> dict[str, str]:
        (tmp_path / SPEC.folder).parent.mkdir(exist_ok=True)
        lease = next((tmp_path / ".leases").iterdir())
        kept = lease.read_bytes()
        lease.unlink()
        build(tmp_path, SPEC, lambda other: {"by": "the other"})
        for path in (tmp_path / ".leases").iterdir():
            path.unlink()
        lease.write_bytes(kept)
        out.mkdir(exist_ok=True)
        (out / "late").write_text("x")
        return {"by": "the late one"}

    assert build(tmp_path, SPEC, overtaken).stats == {"by": "the other"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".leases", SPEC.folder]


@pytest.mark.parametrize("damage", ["cut", "grown", "flipped", "removed", "swapped", "a folder"])
@pytest.mark.parametrize("name", ["one", "deep/two"])
def test_an_artifact_whose_files_are_others_is_not_found(tmp_path: Path, damage: str, name: str) -> None:
    def make(out: Path) -> dict[str, int]:
        (out / "deep").mkdir()
        (out / "one").write_text("one text")
        (out / "deep" / "two").write_text("two text")
        return {}

    built = build(tmp_path, SPEC, make)
    path = built.path / name
    data = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "swapped":
        path.write_bytes((built.path / ("one" if "deep" in name else "deep/two")).read_bytes())
    elif damage != "removed":
        changed = {"cut": data[:-1], "grown": data + b"x", "flipped": bytes([data[0] ^ 1]) + data[1:]}
        path.write_bytes(changed[damage])
    for _ in range(2):
        with pytest.raises(KormoError) as error:
            build(tmp_path, SPEC, make)
        assert error.value.where == str(path) and f"remove {built.path}" in error.value.do


def test_numpys_short_write_is_a_full_disk(tmp_path: Path) -> None:
    def full(out: Path) -> dict[str, int]:
        np.zeros(1 << 20).tofile("/dev/full")
        return {}

    with pytest.raises(KormoError, match="no space left"):
        build(tmp_path, SPEC, full)
