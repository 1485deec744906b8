"""The file that is proposed for one that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checks.validate import validate


@pytest.mark.parametrize(
    ("missing", "there", "meant"),
    [
        ("x.yml", "h.yml", None),
        ("pretrain.yml", "h.yml", None),
        ("ab.yml", "cd.yml", None),
        ("data.yml", "ab.yml", None),
        ("pretran.yml", "pretrain.yml", "pretrain.yml"),
        ("pretrain.yaml", "pretrain.yml", "pretrain.yml"),
        ("pretrain", "pretrain.yml", "pretrain.yml"),
        ("stage2.yml", "stage1.yml", "stage1.yml"),
    ],
)
def test_a_file_is_proposed_by_its_name_and_not_by_its_ending(
    tmp_path: Path, missing: str, there: str, meant: str | None
) -> None:
    (tmp_path / there).touch()
    with pytest.raises(KormoError, match="there is no such file") as refused:
        validate(tmp_path / missing)
    proposed = f"Did you mean {str(tmp_path / meant)!r}?" if meant else f"there are: {there}"
    assert refused.value.do.endswith(proposed)
