"""The cache of Axolotl's schema: filled once, never believed when it is stale, never in the way when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.schema import axolotl as axolotl_schema
from kormo_plugins.recipe.schema import axolotl_entry
from kormo_plugins.recipe.schema.axolotl import axolotl_keys

from .kormo_recipe_stub import SOUND, Write


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An empty cache, and a stand-in for the build that counts; `source` is the file of a plugin's model."""
    calls: list[list[str]] = []
    source = tmp_path / "source.py"
    source.write_text("1", encoding="utf-8")

    def build(plugins: list[str]) -> dict[str, Any]:
        calls.append(plugins)
        schema = {"type": "object", "properties": {"seed": {"type": "integer"}}, "additionalProperties": False}
        stamps = {str(source): axolotl_schema.stamp(source)} if plugins else {}
        return {"schema": schema, "definitions": {}, "command_line": ["debug"], "sources": stamps}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(axolotl_entry, "made", build)
    return calls


def test_it_is_built_once_for_each_set_of_plugins(builds: list[list[str]]) -> None:
    for _ in range(3):
        assert axolotl_keys([]).keys == ("seed",)
        axolotl_keys(["b.B", "kormo_plugins.KormoPlugin", "a.A", "b.B"])
        axolotl_keys(["a.A", "b.B"])
    assert builds == [[], ["a.A", "b.B"]]


def test_a_changed_plugin_is_read_again(builds: list[list[str]], tmp_path: Path) -> None:
    axolotl_keys(["a.A"])
    (tmp_path / "source.py").write_text("changed", encoding="utf-8")
    axolotl_keys(["a.A"])
    (tmp_path / "source.py").unlink()
    with pytest.raises(FileNotFoundError):  # the stand-in wants its file; what counts is that it was asked
        axolotl_keys(["a.A"])
    assert len(builds) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": {}, "sources": {}}', "\x00"])
def test_a_damaged_entry_is_built_again(builds: list[list[str]], content: str) -> None:
    axolotl_keys([])
    (entry,) = axolotl_schema.cache_folder().iterdir()
    entry.write_text(content, encoding="utf-8")
    assert axolotl_keys([]).keys == ("seed",)
    assert json.loads(entry.read_text(encoding="utf-8"))["schema"]["properties"]
    assert len(builds) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    builds: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert axolotl_keys([]).keys == ("seed",)
    assert len(builds) == 1


@pytest.mark.parametrize(
    "plugin", ["Liger", "axolotl.integrations.ligre.LigerPlugin", "axolotl.integrations.liger.Lige"]
)
def test_a_plugin_that_is_not_there_is_refused_without_a_build(builds: list[list[str]], plugin: str) -> None:
    with pytest.raises(KormoError) as caught:
        axolotl_keys([plugin])
    assert caught.value.where == f"plugins: {plugin}"
    assert builds == []


@pytest.mark.axolotl
def test_a_plugin_that_fails_to_import_is_told_from_the_child_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import nothing_of_this_name\nclass Plugin: ...\n"
    (tmp_path / "kormo_broken_plugin.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KormoError, match="nothing_of_this_name"):
        axolotl_keys(["kormo_broken_plugin.Plugin"])


def test_the_real_schema_knows_the_keys_of_the_documentation() -> None:
    view = axolotl_keys([])
    assert len(view.keys) > 300
    assert {"base_model", "datasets", "micro_batch_size", "deepspeed", "fsdp_config", "model_config"} <= set(view.keys)
    assert {"debug", "prompter"} <= view.command_line
    assert "adamw_torch" in view.schema["properties"]["optimizer"]["anyOf"][0]["enum"]
    assert "warmup_stable_decay" in view.schema["properties"]["lr_scheduler"]["anyOf"][0]["enum"]


@pytest.mark.axolotl
def test_full_runs_axolotls_own_validators(write: Write) -> None:
    write(SOUND.replace("chat_template\n", "chat_template\nadapter: qlora\nload_in_4bit: false\n"))
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); from kormo_plugins.cli.main import main; main()"
    command = [sys.executable, "-c", code, "recipe", "validate", "--full", "--json", "sound.yml", "recipe.yml"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 2, out.stderr
    good, bad = json.loads(out.stdout)
    assert good["ok"] is True and good["full"] is True
    assert bad["ok"] is False and "load_in_4bit to be True for qlora" in bad["error"]["why"]
