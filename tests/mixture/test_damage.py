"""Damaged, swapped or foreign data is named, with the file, and never trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.row_plans.rows import Rows, build_rows
from kormo_plugins.shards.reader import Shards
from kormo_plugins.shards.verify import verify

from .made_sources import OpenMixture, write_source


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    shards = write_source(tmp_path / "shards" / "ko", [50, 700, 3, 90, 128, 17] * 20, shards=3)
    build_rows(shards, 128, "best_fit", None, tmp_path / "rows" / "ko")
    return shards, tmp_path / "rows" / "ko"


def data_files(built: tuple[Path, Path]) -> list[Path]:
    return [path for folder in built for path in sorted(folder.glob("*.bin"))]


def test_whole_folders_pass(built: tuple[Path, Path]) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(built[0], progress=lambda done, total: seen.append((done, total)))["files"] == 15
    assert seen[-1][0] == seen[-1][1]
    assert verify(built[1])["files"] == 3


def test_one_flipped_bit_in_any_file_is_found(built: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(0)
    for path in data_files(built):
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(KormoError, match=path.name) as error:
            verify(path.parent)
        assert error.value.where == str(path) and "checksum" in error.value.found
        path.write_bytes(whole)


@pytest.mark.parametrize("how", ["cut", "missing"])
def test_a_short_or_missing_file_is_found_on_opening(built: tuple[Path, Path], how: str) -> None:
    for path in data_files(built):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1]) if how == "cut" else path.unlink()
        with pytest.raises(KormoError, match=path.name):
            Rows(built[1], Shards(built[0]))
        with pytest.raises(KormoError, match=path.name):
            verify(path.parent)
        path.write_bytes(whole)


def test_swapped_shards_are_found(built: tuple[Path, Path], tmp_path: Path) -> None:
    shards, rows = built
    one, two = shards / "shard-00000.ids.bin", shards / "shard-00001.ids.bin"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second), two.write_bytes(first)
    with pytest.raises(KormoError, match=r"shard-00000\.ids\.bin"):
        verify(shards)
    other = write_source(tmp_path / "other", [50, 700, 3, 90, 128, 17] * 20, shards=3, seed=9)
    with pytest.raises(KormoError, match=r"rows\.json.*rebuilt or replaced"):
        Rows(rows, Shards(other))


def test_an_unfinished_folder_is_named(built: tuple[Path, Path]) -> None:
    (built[0] / "shards.json").unlink()
    with pytest.raises(KormoError, match=r"shards\.json.*never finished"):
        Shards(built[0])
    with pytest.raises(KormoError, match="no finished manifest"):
        verify(built[0])


@pytest.mark.parametrize("edit", [{"format": "kormo-shards-9"}, "[1]", "{"])
def test_a_manifest_that_is_not_ours_is_refused(built: tuple[Path, Path], edit: dict | str) -> None:
    path = built[0] / "shards.json"
    path.write_text(edit if isinstance(edit, str) else json.dumps({**json.loads(path.read_text()), **edit}))
    with pytest.raises(KormoError, match=r"shards\.json"):
        Shards(built[0])


def test_a_manifest_may_not_point_outside_its_folder(built: tuple[Path, Path]) -> None:
    path = built[0] / "shards.json"
    manifest = json.loads(path.read_text())
    files = manifest["shards"][0]["files"]
    files["../../etc/passwd"] = files.popitem()[1]
    path.write_text(json.dumps(manifest))
    with pytest.raises(KormoError, match="outside its folder"):
        Shards(built[0])
    with pytest.raises(KormoError, match="outside its folder"):
        verify(built[0])


def test_a_plan_that_points_outside_is_stopped_before_it_is_read(mixture: OpenMixture, tmp_path: Path) -> None:
    data = mixture(sources={"ko": [100] * 50}, steps=2, global_batch=50)
    path = data.rows["ko"].folder / "segments.start.bin"
    starts = np.fromfile(path, "<i8")
    starts[:] = 10**15
    starts.tofile(path)
    with pytest.raises(KormoError, match="outside its shard"):
        mixture(sources={"ko": [100] * 50}, steps=2, global_batch=50).__getitems__(range(50))


def test_another_tokenizer_is_refused(mixture: OpenMixture, tmp_path: Path) -> None:
    sources = {"a": [100] * 9, "b": [100] * 9}
    mixture(sources=sources)
    path = tmp_path / "data" / "shards" / "b"
    write_source(path, sources["b"], seed=1, tokenizer="another")
    build_rows(path, 128, "best_fit", None, tmp_path / "data" / "rows-best_fit-128" / "b")
    with pytest.raises(KormoError, match=r"b/shards\.json: tokenizer"):
        mixture(sources=sources)


def test_a_plan_of_another_recipe_is_refused(mixture: OpenMixture, tmp_path: Path) -> None:
    sources = {"a": [100] * 9}
    mixture(sources=sources)
    folder = tmp_path / "data"
    shutil.copytree(folder / "rows-best_fit-128", folder / "rows-best_fit-64")
    shutil.copytree(folder / "rows-best_fit-128", folder / "rows-concat-128")
    with pytest.raises(KormoError, match="row_length"):
        mixture(sources=sources, row_length=64)
    with pytest.raises(KormoError, match="policy"):
        mixture(sources=sources, packing={"name": "concat"})
    with pytest.raises(KormoError, match="params"):
        mixture(sources=sources, packing={"name": "best_fit", "longer": "drop"})
