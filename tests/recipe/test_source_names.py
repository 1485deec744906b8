"""Names of sources: one line of text."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checks.validate import validate


@pytest.mark.parametrize(
    "name", ['""', '" "', r'"a\nb"', r'"a\rb"', r'"a\tb"', r'"\e[31mred"', r'"a\u2028b"', r'"a\x85"']
)
def test_a_source_without_a_name_that_can_be_said_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.yml"
    path.write_text(f"sources: {{{name}: {{reader: {{name: jsonl, path: rows.jsonl}}}}}}\n")
    with pytest.raises(KormoError) as refused:
        validate(path)
    assert refused.value.where == f"{path}: sources" and refused.value.found.startswith("a source with the name '")


@pytest.mark.parametrize("name", ["위키 백과", "a.b/c", "1st", "é", "👩‍🔬"])
def test_any_other_name_is_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.yml"
    path.write_text(f"sources: {{'{name}': {{reader: {{name: jsonl, path: rows.jsonl}}}}}}\n", encoding="utf-8")
    assert validate(path).kind == "dataset recipe"
