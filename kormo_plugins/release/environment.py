"""Records the environment of a release: hashes of our files, a lock file, an SBOM."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import kormo_plugins
from kormo_plugins import __version__
from kormo_plugins.store.sums import sha256

NO_CODE = {".md", ".pyc", ".nbi", ".nbc"}
"""Pages for people, and what Python and numba compile."""
SHIPPED = "shipped"
"""A wheel's copy of the recipes; a checkout has them elsewhere, and a release holds the recipe that was trained."""


def code_hashes() -> dict[str, str]:
    """SHA-256 of each file of this package that can change a result, by its relative path: modules, word lists,
    weights, tasks and templates."""
    root = Path(kormo_plugins.__file__).parent
    names = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    code = [name for name in names if name.suffix not in NO_CODE and name.parts[0] != SHIPPED and name.name[0] != "."]
    return {name.as_posix(): sha256(root / name) for name in code}


@lru_cache(maxsize=1)
def packages() -> dict[str, metadata.PackageMetadata]:
    """Metadata of the installed distributions by normalized name; of a duplicate, the one that is imported.

    Cached: `importlib.metadata` parses a file of hundreds of lines on each access.
    """
    packages_by_name: dict[str, metadata.PackageMetadata] = {}
    for distribution in metadata.distributions():
        package_metadata = distribution.metadata
        name = str(package_metadata["Name"] or "").lower().replace("_", "-")
        if name:
            packages_by_name.setdefault(name, package_metadata)
    return dict(sorted(packages_by_name.items()))


def lock() -> Iterator[str]:
    """The lines of a requirements file with every installed version."""
    for name, package in packages().items():
        yield f"{name}=={package['Version']}"


def sbom() -> dict[str, object]:
    """A software bill of materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "kormo-plugins", "version": __version__}},
        "components": [_component(name, package) for name, package in packages().items()],
    }


def _component(name: str, package: metadata.PackageMetadata) -> dict[str, object]:
    named = str(_one(package, "License-Expression") or _one(package, "License") or "")
    classified = [
        str(c).split(" :: ")[-1] for c in package.get_all("Classifier") or () if str(c).startswith("License ::")
    ]
    licence = ", ".join(classified) if "\n" in named or not named else named  # some contain the whole licence text
    component: dict[str, object] = {
        "type": "library",
        "name": name,
        "version": package["Version"],
        "purl": f"pkg:pypi/{name}@{package['Version']}",
    }
    if licence:
        component["licenses"] = [{"license": {"name": licence}}]
    return component


def _one(package: metadata.PackageMetadata, key: str) -> str | None:
    """An optional field; `[…]` would emit a warning if it is missing."""
    values: list[str] = package.get_all(key) or []
    return values[0] if values else None
