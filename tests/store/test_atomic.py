"""What a write that fails leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.store.atomic import write_text


def test_an_error_without_a_message_of_ours_is_not_its_own_cause(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as told:
        write_text(tmp_path / "gone" / "file", "text")
    assert told.value.__cause__ is None and not list(tmp_path.iterdir())
