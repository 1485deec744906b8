"""An editor's view of a recipe, by the YAML language server itself (`npm install -g yaml-language-server`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kormo_plugins.cli.recipe.schema import FILE_KINDS, schema_of
from kormo_plugins.recipe.schema import editor as modeline

from .language_server import LanguageServer

COMMAND = shutil.which("yaml-language-server")
pytestmark = pytest.mark.skipif(COMMAND is None, reason="there is no yaml-language-server on the PATH")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """The server, in a folder with the schemas of this installation and a plugin of a third party."""
    folder = tmp_path_factory.mktemp("editor")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("kormo_plugins.recipe.schema.json_schema.AXOLOTL_PLUGINS", ())
        modeline.write_schemas({kind: schema_of(kind, ("kormo_recipe_stub",)) for kind in FILE_KINDS})
        assert COMMAND is not None
        with LanguageServer(COMMAND, folder) as server:
            yield server


@pytest.mark.parametrize(
    "kind, text, offered, not_offered",
    [
        ("recipe", "|", "sequence_len", "global_batch"),
        ("recipe", "kormo:\n  |", "global_batch", "learning_rate"),
        ("recipe", "kormo:\n  collator:\n    name: |", "document_mask", "best_fit"),
        ("recipe", "kormo:\n  data:\n    packing:\n      name: |", "stub_packing", "stub_mixing"),
        ("recipe", "kormo:\n  monitor:\n    held_out:\n      |", "documents", "prompts"),
        ("data", "steps:\n  - name: |", "stub_step", "stub_reader"),
        ("data", "steps:\n  - name: stub_step\n    |", "size", "minimum"),  # a third party's parameters, and no others
        ("data", "steps:\n  - name: length\n    |", "minimum", "size"),
        ("ablation", "|", "variants", "stages"),
        ("chain", "stages:\n  - |", "recipe", "variants"),
    ],
)
def test_it_completes(editor: LanguageServer, kind: str, text: str, offered: str, not_offered: str) -> None:
    path = editor.fresh(kind)
    found = editor.complete(path, f"{modeline.line(path.relative_to(editor.folder), kind)}\n{text}\n")
    assert offered in found and not_offered not in found
    assert found[offered] or kind == "chain", "it is offered without its description"


@pytest.mark.parametrize(
    "kind, text, told",
    [
        ("recipe", "learning_rat: 1", "learning_rat is not allowed"),
        ("recipe", "kormo: {globl_batch: 8}", "globl_batch is not allowed"),
        ("recipe", "kormo: {architecture: {name: kormo, hiden_size: 8}}", "hiden_size is not allowed"),
        ("recipe", "kormo: {monitor: {held_out: {documnts: 8}}}", "documnts is not allowed"),
        ("recipe", "kormo: {collator: {name: causl}}", '"causal"'),
        ("recipe", "kormo: {global_batch: 0}", "minimum of 1"),
        ("data", "steps: [{name: stub_step, siez: 1}]", "siez is not allowed"),
    ],
)
def test_it_underlines_what_is_wrong(editor: LanguageServer, kind: str, text: str, told: str) -> None:
    path = editor.fresh(kind)
    found = editor.open(path, f"{modeline.line(path.relative_to(editor.folder), kind)}\n{text}\n")
    assert any(told in message for message in found), found


@pytest.mark.parametrize("name", ["recipes/pretrain.yml", "datasets_recipes/korean_web.yml", "recipes/chains/nano.yml"])
def test_it_finds_nothing_in_what_is_shipped(editor: LanguageServer, name: str) -> None:
    assert editor.open(editor.folder / name, (ROOT / name).read_text(encoding="utf-8")) == []
