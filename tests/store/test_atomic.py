"""What a write that fails leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.store.atomic import publish_folder, set_aside, write_text


def test_an_error_without_a_message_of_ours_is_not_its_own_cause(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as told:
        write_text(tmp_path / "gone" / "file", "text")
    assert told.value.__cause__ is None and not list(tmp_path.iterdir())


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "record").write_text(str(number))
        set_aside(tmp_path / "record", tmp_path / "aside")
    assert [(tmp_path / f"aside{end}").read_text() for end in ("", ".2", ".3")] == ["0", "1", "2"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for text in ("old", "new"):
        (tmp_path / "partial" / "in").mkdir(parents=True)
        (tmp_path / "partial" / "in" / "file").write_text(text)
        publish_folder(tmp_path / "partial", tmp_path / "out")
    assert (tmp_path / "out" / "in" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
