"""A recipe that does not name our plugin, where Axolotl finds it by its entry point and where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checks.validate import named_in_file
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.recipe.schema.axolotl_plugins import OURS, is_ours, is_registered
from kormo_plugins.training.compat import variants
from tests.integration.conftest import RECIPE


def written(folder: Path, **change: Any) -> Path:
    """A sound recipe as a file, its `plugins` left out unless given."""
    path = folder / "recipe.yml"
    values = {key: value for key, value in RECIPE.items() if key != "plugins"}
    path.write_text(yaml.safe_dump({**values, **change}, allow_unicode=True))
    return path


@pytest.fixture(params=[True, False])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Axolotl finds us."""
    names = OURS if request.param else ()
    monkeypatch.setattr(variants, "entry_point_plugins", lambda: names)
    return bool(names)


@pytest.mark.parametrize("change", [{}, {"plugins": None}, {"plugins": []}])
def test_the_resolved_recipe_names_us(change: dict[str, Any], found: bool, tmp_path: Path) -> None:
    """So that it means the same on every Axolotl, and has the identity of the recipe that named us."""
    path = written(tmp_path, **change)
    if not found:
        with pytest.raises(KormoError, match=r"add kormo_plugins\.KormoPlugin to plugins"):
            load_recipe(path)
        return
    recipe = load_recipe(path, {"seed": 9})
    assert recipe.resolved.values["plugins"] == [OURS[0]] and recipe.seed == 9


def test_what_a_recipe_lists_stays(found: bool, tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, plugins=[OURS[0]]))
    assert recipe.resolved.values["plugins"] == [OURS[0]]


def test_a_child_needs_to_name_us_only_where_nobody_finds_us(found: bool, tmp_path: Path) -> None:
    own = {"extends": "parent.yml"}
    if found:
        return named_in_file(own, tmp_path / "child.yml")
    with pytest.raises(KormoError, match="does not list kormo_plugins"):
        named_in_file(own, tmp_path / "child.yml")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (OURS[0], True),
        ("kormo_plugins:KormoPlugin", True),
        (".".join(["kormo_plugins", "bridge", "plugin", "KormoPlugin"]), True),
        ("kormo_plugins.Other", False),
        ("other.KormoPlugin", False),
        ("KormoPlugin", False),
        ("", False),
    ],
)
def test_names_of_ours(name: str, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "entry_point_plugins", lambda: ())
    assert is_ours(name) is ours and is_registered([name]) is ours
