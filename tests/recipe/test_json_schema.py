"""`kormo recipe schema`: valid, complete, and of the same opinion as the checks where a schema can have one."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.cli.recipe.schema import FILE_KINDS, schema_of
from kormo_plugins.corpus.params import Choice as CorpusChoice
from kormo_plugins.corpus.params import CorpusRecipe, Source
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.schema import editor
from kormo_plugins.recipe.schema import json_schema as module
from kormo_plugins.recipe.schema.axolotl_plugins import EVERY
from kormo_plugins.recipe.schema.json_schema import CHOICES, json_schema
from kormo_plugins.recipe.schema.kormo_block import Choice, KormoBlock

from .test_schema_agrees import files

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[2]
FILES = [*editor.files_in([ROOT / "recipes", ROOT / "datasets_recipes"])]


@pytest.fixture(scope="module", autouse=True)
def _plain() -> Iterator[None]:
    """Axolotl without its plugins, whose import takes ten seconds more; the soak test has them."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "AXOLOTL_PLUGINS", ())
    yield
    patch.undo()


@lru_cache
def validator(kind: str) -> Any:
    """A validator of one kind of file."""
    schema = json.loads(json.dumps(schema_of(kind)))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(kind: str, value: Any) -> list[str]:
    """What the schema refuses."""
    return [error.message for error in validator(kind).iter_errors(value)]


OTHERS = sorted({*FILES} - {*files()})


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_other_shipped_file_is_valid(path: Path) -> None:
    """Those that the checks take by themselves are in `test_schema_agrees.py`."""
    assert faults(editor.kind_in(path), read_yaml(path)) == []


def test_every_shipped_recipe_says_where_its_schema_is() -> None:
    for path in FILES:
        relative = path.relative_to(ROOT)
        line = editor.line(relative, editor.kind_in(path))
        assert editor.marked(path) == line, f"{relative}: run: kormo recipe schema --mark {relative.parts[0]}"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("recipe", {"learning_rat": 1}),
        ("recipe", {"learning_rate": "fast"}),
        ("recipe", {"optimizer": "adamw_torchh"}),
        ("recipe", {"kormo": {"globl_batch": 1}}),
        ("recipe", {"kormo": {"global_batch": 0}}),
        ("recipe", {"kormo": {"precision": {"weights": "float16"}}}),
        ("recipe", {"kormo": {"architecture": {"hiden_size": 1}}}),
        ("recipe", {"kormo": {"architecture": {"name": "kormo", "hidden_size": 1.5}}}),
        ("recipe", {"kormo": {"architecture": {"hidden_size": "wide"}}}),
        ("recipe", {"kormo": {"monitor": {"held_out": {"documnts": 4}}}}),
        ("recipe", {"kormo": {"monitor": {"collapse": {"samples": "many"}}}}),
        ("recipe", {"kormo": {"monitor": {"mini": {"name": "mini"}}}}),
        ("recipe", {"kormo": {"architecture": {"name": "kormoo"}}}),
        ("recipe", {"kormo": {"data": {"mixture": {"max_epoch": 1}}}}),
        ("recipe", {"kormo": {"tokenizer": {"train": {"name": "kormo_bpe", "vocab": 1}}}}),
        ("data", {"steps": [{"name": "length", "minimun": 1}]}),
        ("data", {"steps": [{"minimum": 1}]}),
        ("data", {"sources": {"a": {"languag": "ko"}}}),
        ("data", {"sources": {"a": {"reader": {"name": "folder", "pth": "x"}}}}),
        ("data", {"mixture": {"name": "weighted", "weights": {"a": {"share": 1, "off": {}}}}}),
        ("tokenizer", {"name": "kormo_bpe", "vocb_size": 1}),
        ("chain", {"name": "x", "stages": [{"name": "a", "recip": "b.yml"}]}),
        ("ablation", {"question": "?", "base": "b.yml", "variants": {"a": {}}, "seed": [1], "measure": {}}),
    ],
)
def test_what_is_misspelt_is_refused(kind: str, value: Any) -> None:
    assert faults(kind, value) != []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("recipe", {"extends": ["a.yml", "b.yml"], "kormo": {"data": "x.yml", "tokenizer": {"train": "t.yml"}}}),
        ("recipe", {"kormo": {"extends": "part.yml", "data": {"extends": "x.yml", "mixture": {"weights": {"a": 1}}}}}),
        ("recipe", {"kormo": {"architecture": {"hidden_size": 64}}}),
        ("data", {"sources": {"a": {"generator": {"name": "openai_endpoint", "url": "${ENDPOINT}"}}}}),
    ],
)
def test_a_file_may_say_only_a_part(kind: str, value: Any) -> None:
    assert faults(kind, value) == []


@pytest.mark.soak
def test_the_keys_of_axolotls_own_plugins_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "liger_rope" not in json_schema("recipe", registry())["properties"]
    monkeypatch.setattr(module, "AXOLOTL_PLUGINS", (EVERY,))
    assert {"liger_rope", "cut_cross_entropy"} <= set(json_schema("recipe", registry())["properties"])


def test_every_component_and_every_key_is_documented() -> None:
    schema = json_schema("recipe", registry())
    for entry in registry().entries():
        if entry.kind != "evaluation_task":
            found = schema["$defs"][f"{entry.kind}.{entry.component.name}"]
            assert entry.component.summary in found["description"]
            assert all(
                "description" in part for name, part in found["properties"].items() if name not in ("name", "extends")
            )
    assert all(
        "description" in part for name, part in schema["$defs"]["KormoBlock"]["properties"].items() if name != "extends"
    )


def test_every_choice_of_a_component_is_known_to_the_schema() -> None:
    for model in (KormoBlock, CorpusRecipe, Source):
        for name, field in model.model_fields.items():
            inside = {field.annotation, *typing.get_args(field.annotation)}
            if inside & {Choice, CorpusChoice}:
                assert (model.__name__, name) in CHOICES


def test_the_command_prints_json_alone_and_marks_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "a.yml").write_text("# mine\nkormo: {}\n", encoding="utf-8")
    (tmp_path / "r" / "d.yml").write_text(f"{editor.MARK}wrong.json\nsources: {{}}\n", encoding="utf-8")
    run = CliRunner()
    for kind in FILE_KINDS:
        assert json.loads(run.invoke(cli, ["recipe", "schema", "--kind", kind]).stdout)["$schema"]
    for _ in range(2):  # the second time there is nothing left to do
        assert run.invoke(cli, ["recipe", "schema", "--mark", "r"]).exit_code == 0
        assert (
            tmp_path / "r" / "a.yml"
        ).read_text() == f"{editor.MARK}../.kormo/recipe.schema.json\n# mine\nkormo: {{}}\n"
        assert (tmp_path / "r" / "d.yml").read_text() == f"{editor.MARK}../.kormo/data.schema.json\nsources: {{}}\n"
    assert json.loads((tmp_path / ".kormo" / "recipe.schema.json").read_text()) == json_schema("recipe", registry())
    assert run.invoke(cli, ["recipe", "schema", "--out", "x/s.json"]).stdout == ""
    assert json.loads((tmp_path / "x" / "s.json").read_text())["type"] == "object"
