"""The schema and `kormo recipe validate` are of one opinion: each key of each shipped recipe, spoiled in turn.

What the schema refuses, the checks refuse; what the checks refuse for what it is, so does the schema. Left to the
checks is what no schema of one file can know: what must be there in the end, what goes with what, and which files
there are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.cli.recipe.schema import schema_of
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.schema import editor
from kormo_plugins.recipe.schema.json_schema import json_schema

from .test_malformed import BLOCK, KEYS, WITH_DATA, Bad

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[2]
KINDS = ("recipe", "data", "tokenizer")
SPOILED = ([[["x"]]], "no such word", -7.25, True, {"zz": 1})
BEYOND = (
    "no such file", "exactly one of", "no weight for the source", "Axolotl does not load kormo-plugins",
    "DeepSpeed does not know", "there is no model to train", "not set", "no length", "number of decay steps",
    "must be above 0", "column, or question", "without kormo.data", "beside kormo.data", "an effect only together with",
    "give a number that is", "both set the length", "takes no such argument", "no such strategy", "without workers",
    "without do_sample", "has no such setting", "no such added token", "is in that language", "which is a file",
    "among its input", "allows a name that long", "environment variables are allowed", "of this world",
    "become tokens", "cannot be tokenized",
    "a tokenizer is trained on", "cannot be negative", "moments in the dtype", "products of bfloat16",
    "in a run of", "the two disagree", "the schedule expects",
)  # fmt: skip
"""Parts of the messages of checks that look beyond one value of one file."""

Keys = tuple[str, ...]


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    """A validator of each kind of file, with the keys of Axolotl alone (its plugins take ten seconds to import)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kormo_plugins.recipe.schema.json_schema.AXOLOTL_PLUGINS", ())
        return {kind: jsonschema.Draft202012Validator(json.loads(json.dumps(schema_of(kind)))) for kind in KINDS}


def keys_in(values: Mapping[str, Any], above: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every key at every depth, with its value."""
    for key, value in values.items():
        yield (*above, str(key)), value
        if isinstance(value, dict):
            yield from keys_in(value, (*above, str(key)))


def nested(keys: Keys, value: Any) -> Any:
    """The mapping that says `value` under these keys."""
    for key in reversed(keys):
        value = {key: value}
    return value


def merged(values: Any, more: Any) -> Any:
    """`more` over `values`, mapping by mapping."""
    values = copy.copy(values)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = merged(values[key], value) if both else value
    return values


def opinions(path: Path, validator: Any, change: Any) -> tuple[str, str]:
    """What the checks and what the schema say of a file with a change; empty for nothing."""
    try:
        validate(path, change)
        checks = ""
    except KormoError as error:
        checks = error.render()
    fault = next(validator.iter_errors(merged(read_yaml(path), change)), None)
    return checks, "" if fault is None else fault.message[:300]


def agree(path: Path, kind: str, validators: Mapping[str, Any], spoiled: tuple[Any, ...], seen: set[Any]) -> int:
    """Spoils each key of a file that was not met before; the number of changes that were compared."""
    compared = 0
    for keys, value in keys_in(read_yaml(path)):
        if keys[-1] == "extends" or "weights" in keys or (kind, keys) in seen:
            continue
        seen.add((kind, keys))
        misspelt = (*keys[:-1], keys[-1] + "_x")
        for change in (nested(misspelt, value), *(nested(keys, other) for other in spoiled)):
            checks, schema = opinions(path, validators[kind], change)
            assert checks or not schema, f"{path} {change}: the schema alone says: {schema}"
            beyond = any(part in checks for part in BEYOND)
            assert schema or not checks or beyond, f"{path} {change}: the schema takes it, but: {checks}"
            compared += 1
    return compared


def files() -> list[Path]:
    """Shipped files that can be checked by themselves."""
    found = editor.files_in([ROOT / "recipes", ROOT / "datasets_recipes"])
    return [path for path in found if editor.kind_in(path) in KINDS and path.parent.name != "sizes"]


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    monkeypatch.setenv("KORMO_EVAL_DATA", str(tmp_path))
    monkeypatch.setenv("KORMO_ENDPOINT", "http://127.0.0.1:1/v1")
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", ["recipes/pretrain.yml", "datasets_recipes/tokenizer_nano.yml"])
def test_they_agree_on_the_quick_start(name: str, validators: Any) -> None:
    path = ROOT / name
    assert agree(path, editor.kind_in(path), validators, SPOILED[:1], set()) > 8


@pytest.mark.soak
def test_they_agree_on_every_key_of_every_shipped_file(validators: Any) -> None:
    seen: set[Any] = set()
    assert sum(agree(path, editor.kind_in(path), validators, SPOILED, seen) for path in files()) > 2000


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_both_take_what_is_shipped(path: Path, validators: Any) -> None:
    assert opinions(path, validators[editor.kind_in(path)], {}) == ("", "")


ELSEWHERE = {
    "key of another dataset kind", "a plugin's key without the plugin", "Liger's own plugin", "not listed",
    "unknown Axolotl plugin", "no precision", "two tokenizers", "nameless tokenizer", "missing tokenizer recipe",
    "missing dataset recipe", "plugin that is not there", "packed twice", "data twice", "datasets beside data",
    "two lengths", "no length", "no length at all", "epochs", "no batch", "no row length", "unset variable",
    "malformed variable", "a weight too many", "a weight missing", "reader and generator",
}  # fmt: skip
"""Malformed recipes whose fault is not one value of one file."""
MALFORMED = [bad for bad in (*KEYS, *BLOCK, *WITH_DATA) if bad.name not in ELSEWHERE]


@pytest.fixture(scope="module")
def with_stubs() -> dict[str, Any]:
    """Validators that know the components which the malformed recipes name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kormo_plugins.recipe.schema.json_schema.AXOLOTL_PLUGINS", ())
        made = {kind: json_schema(kind, registry(("kormo_recipe_stub",))) for kind in ("recipe", "data")}
    return {kind: jsonschema.Draft202012Validator(json.loads(json.dumps(schema))) for kind, schema in made.items()}


@pytest.mark.parametrize("bad", MALFORMED, ids=lambda bad: bad.name)
def test_the_schema_refuses_what_is_malformed(bad: Bad, with_stubs: Any, write: Any) -> None:
    write(bad.text)
    faults = [
        fault.message
        for path in Path().glob("*.yml") if path.name not in ("sound.yml", "data.yml")
        for fault in with_stubs["data" if path.name == "bad.yml" else "recipe"].iter_errors(read_yaml(path))
    ]  # fmt: skip
    assert faults
