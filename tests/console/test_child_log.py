"""What is known of a program in another process: its own message, and a disk that has no room for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.console.child_log import length, raise_full_disk, told_in
from kormo_plugins.errors import KormoError, full_disk
from tests.small_disk import small_disk


def test_the_last_message_of_this_program_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert told_in(log, 0) is None and length(log) == 0
    log.write_text(KormoError(where="a", found="b", why="c", do="d").render() + "\nand more\n")
    told = told_in(log, 0)
    assert told is not None and (told.where, told.found, told.why, told.do) == ("a", "b", "c", "d")
    assert told_in(log, length(log)) is None, "an earlier program said that"
    raise_full_disk(log, 0)
    log.write_text(f"steps\n{full_disk(tmp_path / 'x').render()}\n")
    with pytest.raises(KormoError, match="no space left on the disk mounted at") as error:
        raise_full_disk(log, 0)
    assert error.value.where == str(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_a_disk_without_room_for_a_message_is_named(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path) as disk:
            (tmp_path / "log.txt").write_text("steps\n")
            raise_full_disk(tmp_path / "log.txt", 0)
            disk.leave(0)
            with pytest.raises(KormoError, match="no space left"):
                raise_full_disk(tmp_path / "log.txt", 0)
            assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
    except PermissionError as error:
        pytest.skip(str(error))
