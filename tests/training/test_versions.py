"""Which Axolotl is taken, and what is said about one that is not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.schema import axolotl as schema
from kormo_plugins.training.compat import versions

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "version", ["0.19.0", "0.19.3", "0.20.0", "0.21.0", "0.21.1.post1", "0.21.0.dev0", "0.21.0+local"]
)
def test_supported_versions_pass(version: str) -> None:
    assert versions.require_supported(version) == version


@pytest.mark.parametrize("version", ["0.18.1", "0.19.0.dev0", "0.22.0", "0.22.0.dev0", "0.22.0rc1", "1.0.0", None])
def test_others_are_refused_with_the_line_to_type(version: str | None) -> None:
    with pytest.raises(KormoError) as error:
        versions.require_supported(version)
    assert (version or "not installed") in error.value.found
    assert "pip install 'axolotl[deepspeed]>=0.19,<0.22'" in error.value.do
    if version is not None:
        assert versions.SUPPORTED in error.value.why and "Python 3." in error.value.found


@pytest.mark.parametrize(("python", "first"), [((3, 11), "pip"), ((3, 12), "pip"), ((3, 13), "pip install setuptools")])
def test_the_line_is_the_one_for_this_python(python: tuple[int, int], first: str) -> None:
    """That it is enough on 3.13 is what `.ci/compat python3.13 0.21` shows; the documentation has the same words."""
    line = versions.install_line(python)
    assert line.startswith(first) and line.endswith(versions.INSTALL)
    assert ("zstandard==0.22.0" in line) == (python >= (3, 13))
    assert versions.ZSTANDARD in (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")


def test_the_package_requires_what_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"axolotl[deepspeed]{versions.SUPPORTED}" in project["dependencies"]


def test_the_installed_one_is_supported() -> None:
    assert versions.require_supported(versions.installed())


@pytest.mark.parametrize("version", ["0.22.0", None])
def test_a_recipe_is_refused_before_anything_is_imported(version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: version)
    with pytest.raises(KormoError, match="pip install"):
        schema.axolotl_keys()
