"""One holder at a time, no lease that outlives its holder, and none that a clock or a damaged file gives away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.store import lease_files
from kormo_plugins.store.lease import Lease, acquire_or_refuse
from kormo_plugins.store.lease_files import Holder
from tests.small_disk import small_disk

ELSEWHERE = Holder("x", host="elsewhere", machine="another kernel", pid=1, started="1")


def write(path: Path, number: int, content: Holder | bytes) -> Path:
    file = path.with_name(f"{path.name}.{number}")
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(asdict(content)).encode())
    return file


def test_only_one_holds_it(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "l"), Lease(tmp_path / "l")
    assert first.acquire() and not second.acquire()
    with first.held():
        assert first.still_mine() and not second.still_mine() and not second.acquire()
    assert second.acquire() and not first.still_mine()
    assert [path.name for path in tmp_path.iterdir()] == ["l.2"]


def test_a_dead_process_of_this_machine_loses_it_at_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    write(tmp_path / "l", 4, replace(Holder.this_process(), pid=int(done.stdout)))
    assert Lease(tmp_path / "l").acquire()


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path: Path) -> None:
    write(tmp_path / "l", 4, replace(Holder.this_process(), started="1"))
    assert Lease(tmp_path / "l").acquire()


def test_a_process_in_another_container_of_the_same_host_name_counts_as_alive(tmp_path: Path) -> None:
    here = Holder.this_process()
    write(tmp_path / "l", 4, replace(here, machine=here.machine + "1", pid=2**22 - 1))
    assert not Lease(tmp_path / "l").acquire()


@pytest.mark.parametrize("offset", [-3600.0, -86400.0, 3600.0, 4e9], ids=str)
def test_the_clocks_of_both_sides_may_be_wrong(tmp_path: Path, offset: float) -> None:
    """Neither a modification time long ago nor one in the future says anything; only that it does not change does."""
    file = write(tmp_path / "l", 1, ELSEWHERE)
    os.utime(file, (time.time() + offset,) * 2)
    waiting = Lease(tmp_path / "l", stale_after=0.2)
    assert not waiting.acquire()
    os.utime(file, (time.time() + offset + 5,) * 2)  # a heartbeat
    time.sleep(0.25)
    assert not waiting.acquire() and waiting.live_holder() == "process 1 on 'elsewhere'"
    time.sleep(0.25)
    assert waiting.acquire()


def test_the_heartbeat_keeps_it(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "l", heartbeat=0.05)
    lease._holder = replace(ELSEWHERE, token=lease.token)  # judged by its heartbeat alone
    waiting = Lease(tmp_path / "l", stale_after=0.4)
    assert lease.acquire()
    with lease.held():
        for _ in range(10):
            assert not waiting.acquire()
            time.sleep(0.1)


DAMAGED = [
    b"", b"[]", b"5", b"null", b'"x"', b'{"token": "x"', b"{}", b"\xff\xfe\x00", b"[" * 5000, b'{"token": 5}',
    json.dumps({**asdict(ELSEWHERE), "pid": "12"}).encode(), json.dumps({**asdict(ELSEWHERE), "released": 1}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:20]))
def test_a_damaged_lease_is_taken_over_after_a_silence(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "l", 1, content)
    waiting = Lease(tmp_path / "l", stale_after=0.1)
    assert not waiting.acquire()  # its holder may be about to fill it
    time.sleep(0.15)
    assert waiting.acquire() and waiting.still_mine()


def test_a_folder_in_the_place_of_a_lease_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "l.3").mkdir()
    waiting = Lease(tmp_path / "l", stale_after=0.1)
    assert not waiting.acquire()
    time.sleep(0.15)
    assert waiting.acquire() and waiting.still_mine()


@pytest.mark.parametrize("name", ["l.x", "l.-1", "l.0", "l.07", "l.1.tmp", "l.²", "l"])
def test_names_that_are_no_generation_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    assert Lease(tmp_path / "l").acquire()
    assert {path.name for path in tmp_path.iterdir()} == {name, "l.1"}


def test_a_holder_that_was_taken_for_dead_finds_out(tmp_path: Path) -> None:
    lost: list[bool] = []
    slow = Lease(tmp_path / "l", heartbeat=0.02, on_lost=lambda: lost.append(True))
    assert slow.acquire()
    with slow.held():
        write(tmp_path / "l", 2, ELSEWHERE)
        time.sleep(0.2)
        assert lost == [True] and not slow.still_mine()
    assert (tmp_path / "l.2").exists()  # it is another's to release


def test_a_lease_folder_that_somebody_removed_is_no_longer_held(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "l")
    assert lease.acquire()
    (tmp_path / "l.1").unlink()
    assert not lease.still_mine() and Lease(tmp_path / "l").acquire() and not lease.still_mine()
    lease.release()
    assert (tmp_path / "l.1").exists()


def test_who_holds_it_is_told(tmp_path: Path) -> None:
    holder = Lease(tmp_path / "l")
    assert holder.acquire()
    with holder.held(), pytest.raises(KormoError, match=f"process {os.getpid()} on .* is at work on this run"):
        acquire_or_refuse(Lease(tmp_path / "l"), "this run")
    acquire_or_refuse(Lease(tmp_path / "l"), "this run")


def test_a_holder_that_nobody_can_see_is_watched_for_a_while(tmp_path: Path) -> None:
    write(tmp_path / "l", 1, ELSEWHERE)
    told: list[str] = []
    acquire_or_refuse(Lease(tmp_path / "l", stale_after=0.6), "this run", told.append)
    assert len(told) == 1 and "waiting up to" in told[0]


def test_process_numbers_that_cannot_be(tmp_path: Path) -> None:
    for pid in (-1, 0, 10**30):
        assert lease_files._started(pid) is None


HOLD = """
import os, sys, time
from pathlib import Path
from kormo_plugins.store.lease import Lease
root, rounds = Path(sys.argv[1]), int(sys.argv[2])
(root / f"ready-{os.getpid()}").touch()
for number in range(rounds):
    while not (root / f"start-{number}").exists():
        time.sleep(0)
    lease, inside = Lease(root / f"lease-{number}" / "l"), root / f"inside-{number}"
    if not lease.acquire():
        continue
    try:
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        (root / f"two-{number}").touch()
    (root / f"held-{number}").touch()
    time.sleep(0.01)
    if not lease.still_mine():
        (root / f"two-{number}").touch()
    inside.unlink(missing_ok=True)
    lease.release()
"""


def test_many_processes_on_an_abandoned_lease(tmp_path: Path) -> None:
    """They all find the same dead holder at once; in every round one at a time is inside."""
    rounds, number_of_processes = 60, 6
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    for number in range(rounds):
        (tmp_path / f"lease-{number}").mkdir()
        dead = replace(Holder.this_process(), pid=int(done.stdout))
        write(tmp_path / f"lease-{number}" / "l", 1 + number % 3, dead)
    command = [sys.executable, "-c", HOLD, str(tmp_path), str(rounds)]
    processes = [subprocess.Popen(command) for _ in range(number_of_processes)]
    try:
        while len(list(tmp_path.glob("ready-*"))) < number_of_processes:
            time.sleep(0.05)
        for number in range(rounds):
            (tmp_path / f"start-{number}").touch()
            time.sleep(0.02)
        assert [process.wait(timeout=60) for process in processes] == [0] * number_of_processes
    finally:
        for process in processes:
            process.kill()
    assert len(list(tmp_path.glob("held-*"))) == rounds
    assert not list(tmp_path.glob("two-*"))


def test_a_full_disk_leaves_no_lease_that_others_wait_for(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path) as disk:
            (tmp_path / "other").write_bytes(bytes(4096))
            held = Lease(tmp_path / "held")
            assert held.acquire()
            disk.leave(0)
            with pytest.raises(KormoError, match="no space left"):
                Lease(tmp_path / "l").acquire()
            assert not list(tmp_path.glob("l.*"))
            held.release()  # in the space that it has
            disk.grow()
            assert Lease(tmp_path / "l").acquire() and Lease(tmp_path / "held").acquire()
    except PermissionError as error:
        pytest.skip(str(error))
