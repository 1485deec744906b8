"""A run's folder belongs to one run; its past is fixed, its future may be amended, damaged data are not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline import refusals
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.pipeline.built import Built
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.runs import folder as run
from kormo_plugins.training.checkpoints.complete import mark_complete
from kormo_plugins.training.telemetry.run_record import read_record

from ..integration.conftest import RECIPE, merged


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def _recipe(room: Path, out: str, **change: Any) -> tuple[Recipe, Built]:
    base = {"output_dir": str(room / out), "kormo": {"workspace": str(room / "artifacts")}}
    path = room / "recipe.yml"
    path.write_text(yaml.safe_dump(merged(merged(RECIPE, base), change)))
    recipe = load_recipe(path)
    return recipe, build_all(recipe, log=lambda line: None)


def _prepare(recipe: Recipe, built: Built) -> None:
    run.prepare(recipe.run_plan(), built, main=True)


def _started(room: Path, out: str, step: int = 4) -> None:
    """A run that has a whole checkpoint at `step`."""
    recipe, built = _recipe(room, out)
    _prepare(recipe, built)
    folder = recipe.output_dir / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x")
    mark_complete(folder, step)


def test_the_same_recipe_goes_on(room: Path) -> None:
    _started(room, "same")
    _prepare(*_recipe(room, "same"))
    _prepare(*_recipe(room, "same", max_steps=20, learning_rate=0.1))
    record = read_record(room / "same")
    assert record["steps"] == 20 and record["amendments"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "seed"),
        ({"kormo": {"tokenizer": {"train": {"vocab_size": 480}}}}, "tokenizer"),
        ({"kormo": {"global_batch": 4}}, "global_batch"),
        ({"kormo": {"data": {"mixture": {"weights": {"korean": 50, "english": 50}}}}}, "shares from step 0"),
        ({"kormo": {"data": {"packing": {"name": "concat"}}}}, "source english"),
    ],
)
def test_another_past_is_refused_with_what_differs(room: Path, change: dict[str, Any], named: str) -> None:
    out = f"past-{named.replace(chr(32), chr(45))}"
    _started(room, out)
    with pytest.raises(KormoError) as error:
        _prepare(*_recipe(room, out, **change))
    assert named in error.value.found and "allow_changed" in error.value.do


def test_what_is_asked_for_is_allowed(room: Path) -> None:
    _started(room, "allowed")
    change = {"seed": 8, "kormo": {"allow_changed": ["seed", "weights", "data"]}}
    _prepare(*_recipe(room, "allowed", **change))
    assert read_record(room / "allowed")["identity"]["seed"] == 8


def test_the_future_may_be_amended_and_is_logged(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _started(room, "future")
    stage = {"from_tokens": 6 * 8 * 128, "weights": {"korean": 90, "english": 10}}
    _prepare(*_recipe(room, "future", kormo={"data": {"mixture": {"stages": [stage]}}}))
    amended = read_record(room / "future")["amendments"]
    assert len(amended) == 1 and "from step 6" in amended[0] and "korean 0.9" in amended[0]
    assert "amended from step 6" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["shards", "rows"])
def test_a_flipped_bit_is_named_and_nothing_is_prepared(room: Path, kind: str) -> None:
    recipe, built = _recipe(room, f"damaged-{kind}")
    folder = getattr(built, kind)["korean"].path
    file = max(folder.glob("*.bin"), key=lambda path: path.stat().st_size)
    sound = file.read_bytes()
    file.write_bytes(sound[:100] + bytes([sound[100] ^ 4]) + sound[101:])
    try:
        with pytest.raises(KormoError) as error:
            _prepare(recipe, built)
    finally:
        file.write_bytes(sound)
    assert file.name in error.value.where
    assert not recipe.output_dir.exists()


def test_a_backend_that_cannot_isolate_is_refused(room: Path) -> None:
    recipe, _ = _recipe(room, "leaks", attn_implementation="flash_attention_2")
    with pytest.raises(KormoError) as error:
        refusals.refuse_leaking_attention(recipe.attention_plan())
    assert error.value.where == "attn_implementation" and "cu_seqlens" in error.value.do


def test_a_large_job_does_not_build(room: Path) -> None:
    recipe, _ = _recipe(room, "large")
    fresh = load_recipe(recipe.path)
    values = yaml.safe_load(recipe.path.read_text())
    values["kormo"]["workspace"] = str(room / "empty")
    recipe.path.write_text(yaml.safe_dump(values))
    refusals.refuse_long_build(fresh.build_plan(), 64)  # built already: nothing to wait for
    with pytest.raises(KormoError, match="axolotl preprocess"):
        refusals.refuse_long_build(load_recipe(recipe.path).build_plan(), 9)
