"""An artifact of somebody else is compared with SHA-256 digests, which XXH3 is no match for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.transfer import fetch_artifact
from kormo_plugins.store.artifact import MANIFEST, Spec, _checksum, build
from kormo_plugins.store.files import FileRecord
from kormo_plugins.store.sums import SUMS, sha256, write_sums


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, str]:
    """A small artifact with its list, and the list's own SHA-256."""

    def make(out: Path) -> Mapping[str, Any]:
        (out / "part").mkdir()
        (out / "part" / "data").write_bytes(b"right")
        (out / "more").write_bytes(b"more")
        return {}

    folder = build(tmp_path / "theirs", Spec("corpus", "a", {}), make).path
    return folder, write_sums(folder)


def forge(folder: Path, text: bytes) -> None:
    """Other bytes of the same length, with every XXH3 made to fit."""
    (folder / "part" / "data").write_bytes(text)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("checksum")
    manifest["files"]["part/data"]["xxh3_128"] = FileRecord.of(folder / "part" / "data").xxh3_128
    (folder / MANIFEST).write_text(json.dumps(manifest | {"checksum": _checksum(manifest)}))


def test_what_was_published_arrives(published: tuple[Path, str], tmp_path: Path) -> None:
    folder, identity = published
    found = fetch_artifact(str(folder), tmp_path / "ours", identity=identity.upper())
    assert found["sha256"] and (tmp_path / "ours" / "part" / "data").read_bytes() == b"right"
    assert sha256(tmp_path / "ours" / SUMS) == identity
    (folder / SUMS).unlink()
    assert not fetch_artifact(str(folder), tmp_path / "again")["sha256"]


@pytest.mark.parametrize("how", ["forged", "forged and not listed", "forged, list too", "no list", "list damaged"])
def test_what_was_not_is_refused(published: tuple[Path, str], tmp_path: Path, how: str) -> None:
    folder, identity = published
    forge(folder, b"wrong")
    if how == "no list":
        (folder / SUMS).unlink()
    elif how == "forged, list too":
        write_sums(folder)
    elif how == "forged and not listed":
        lines = (folder / SUMS).read_text().splitlines(keepends=True)
        (folder / SUMS).write_text("".join(line for line in lines if MANIFEST not in line))
    elif how == "list damaged":
        (folder / SUMS).write_bytes(b"\xff\x00")
    needs_identity = how in ("no list", "forged, list too")
    with pytest.raises(KormoError, match=r"SHA256SUMS|SHA-256"):
        fetch_artifact(str(folder), tmp_path / "ours", identity=identity if needs_identity else None)
    assert not (tmp_path / "ours" / MANIFEST).exists()
