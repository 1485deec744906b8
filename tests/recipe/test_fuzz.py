"""A fuzzer over all that a recipe may say: `validate` answers with a verdict, at once, and what it calls sound builds.

A tiny recipe is resolved, and some of its values, or further keys of the schema, are retyped, deleted, negated,
emptied, blown up or nested. The quick half asks `validate`; the soak builds the data of what was called sound, where a
refusal would be a late one.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_data
from kormo_plugins.recipe.checks.devices.machine import data_not_ready
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.recipe.schema.axolotl import axolotl_keys
from kormo_plugins.store.artifact import build

ROOT = Path(__file__).parents[2]
SECONDS = 5.0
"""What a verdict may take on a busy machine; alone it is a tenth of a second."""

TINY = {
    "max_steps": 2, "sequence_len": 64, "micro_batch_size": 2, "output_dir": "out", "save_steps": 2,
    "kormo": {
        "tokens": None, "global_batch": 2, "monitor": None, "samples": None, "kernels": [],
    },
}  # fmt: skip
TOKENIZER = {"name": "kormo_bpe", "vocab_size": 400, "megabytes": 0.05, "shares": {"ko": 1.0}}
DATA: dict[str, Any] = {
    "name": "tiny",
    "sources": {
        "a": {"language": "ko", "license": "made",
              "generator": {"name": "embedded", "language": "ko", "megabytes": 0.05}},
        "b": {"language": "ko", "license": "made", "steps": [{"name": "length", "minimum": 3}],
              "reader": {"name": "text", "path": "texts"}},
    },
    "steps": [{"name": "normalize"}], "held_out": {"documents": 1}, "workers": 1,
    "packing": {"name": "best_fit", "longer": "cut"},
    "mixture": {"name": "weighted", "weights": {"a": 2, "b": 1}, "temperature": 1.0, "max_epochs": 999},
}  # fmt: skip
JUNK = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, -3.5, 1e-9, 1e30, -1e30, 10**25, float("nan"), float("inf"), "", "x", "no", "1",
     "../..", "/dev/null", "/proc/self/mem", "${HOME}", "${X", "\0", "é" * 300, "a" * 5000, "{}", [], {}, [[]], [None],
     [1, "a"], "-1",
     {"name": "x"}, {"": 1}, {"a": {"b": {"c": []}}}, [{}], {"name": None}, {1: 2}, {"extends": "x"}]
)  # fmt: skip


@cache
def base() -> dict[str, Any]:
    """The tiny recipe with all that it inherits."""
    values = copy.deepcopy(resolve(ROOT / "recipes/pretrain.yml", TINY).values)
    values["kormo"] |= copy.deepcopy({"data": DATA, "tokenizer": {"train": TOKENIZER}})  # not what is inherited
    return values


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every value inside."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*way, key)
        yield from places(child, (*way, key))


def changed(value: Any, how: str, junk: Any) -> Any:
    """A value, spoiled."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if how == "negate":
        return -value if number else not value if isinstance(value, bool) else junk
    if how == "huge":
        return value * 10**12 if number else value * 50 if isinstance(value, (str, list)) else junk
    if how == "nest":
        return [value] if not isinstance(value, list) else {"of": value}
    if how == "text":
        return str(value)
    if how == "empty":
        return type(value)() if isinstance(value, (dict, list, str)) else None
    return junk


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """The tiny recipe with one to three changes."""
    values = copy.deepcopy(base())
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.integers(0, 3)) == 0:  # a key that it does not have yet
            values[draw(st.sampled_from(sorted(axolotl_keys().keys)))] = draw(JUNK)
            continue
        *way, key = draw(st.sampled_from(list(places(values))))
        holder = values
        for name in way:
            holder = holder[name]
        how = draw(st.sampled_from(["negate", "huge", "nest", "text", "empty", "junk", "junk", "delete", "rename"]))
        if how in ("delete", "rename") and isinstance(holder, dict):
            value = holder.pop(key)
            if how == "rename":
                holder[f"{key}_x"] = value
        else:
            holder[key] = changed(holder[key], how, draw(JUNK))
    return values


def verdict(path: Path, values: dict[str, Any]) -> bool:
    """Whether a recipe is called sound; any other error than a KormoError is a bug, and so is a long time."""
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    start = time.process_time()
    try:
        validate(path)
        sound = True
    except KormoError as error:
        sound = False
        assert "\n  do:     " in error.render()
    assert time.process_time() - start < SECONDS
    return sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a few texts, which is the current one."""
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    (folder / "texts").mkdir()
    (folder / "texts/a.txt").write_text("나무가 자란다. 새가 난다.\n\n" * 50, encoding="utf-8")
    os.chdir(folder)
    yield folder
    os.chdir(before)


quick = partial(
    settings, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@given(values=recipes())
@quick(max_examples=60)
def test_every_recipe_gets_a_verdict(folder: Path, values: dict[str, Any]) -> None:
    event("sound" if verdict(folder / "fuzzed.yml", values) else "refused")


def test_the_recipe_that_is_spoiled_is_sound(folder: Path) -> None:
    assert verdict(folder / "base.yml", base())


@pytest.mark.soak
@given(values=recipes())
@quick(max_examples=400)
def test_what_is_called_sound_can_be_built(folder: Path, values: dict[str, Any]) -> None:
    if not verdict(folder / "fuzzed.yml", values):
        return
    recipe = load_recipe(folder / "fuzzed.yml")
    if not list(data_not_ready(recipe)):  # as at the start of a run
        build_data(recipe, partial(build, log=lambda line: None))
