"""What a release says about the code and the packages that made it: hashes of our modules, a lock file, an SBOM."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import kormo_plugins
from kormo_plugins import __version__
from kormo_plugins.store.sums import sha256

CODE = ("*.py", "*.jinja", "*.yml", "*.json")


def code_hashes() -> dict[str, str]:
    """SHA-256 of each module of this package, by its path inside it."""
    root = Path(kormo_plugins.__file__).parent
    files = sorted(path for pattern in CODE for path in root.rglob(pattern))
    return {path.relative_to(root).as_posix(): sha256(path) for path in files}


def packages() -> dict[str, metadata.Distribution]:
    """The installed distributions by their normal name; of one that is there twice, the one that is imported."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name:
            found.setdefault(name, distribution)
    return dict(sorted(found.items()))


def lock() -> Iterator[str]:
    """The lines of a requirements file that names every installed version."""
    for name, distribution in packages().items():
        yield f"{name}=={distribution.version}"


def sbom() -> dict[str, object]:
    """A software bill of materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "kormo-plugins", "version": __version__}},
        "components": [_component(name, found) for name, found in packages().items()],
    }


def _component(name: str, distribution: metadata.Distribution) -> dict[str, object]:
    told = distribution.metadata.json
    named = str(told.get("license_expression") or told.get("license") or "")
    classified = [str(c).split(" :: ")[-1] for c in told.get("classifier") or () if str(c).startswith("License ::")]
    licence = ", ".join(classified) if "\n" in named or not named else named  # some put the whole text there
    component: dict[str, object] = {
        "type": "library",
        "name": name,
        "version": distribution.version,
        "purl": f"pkg:pypi/{name}@{distribution.version}",
    }
    if licence:
        component["licenses"] = [{"license": {"name": licence}}]
    return component
