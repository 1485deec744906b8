"""The `kormo` command: quick, clean on stdout, and honest about what is a bug."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli import main
from kormo_plugins.cli.main import NOUNS, cli
from kormo_plugins.errors import KormoError

HEAVY = ("torch", "transformers", "axolotl", "tokenizers", "datatrove", "numba", "datasets")
CHILD = """\
extends: parent.yml
plugins: [kormo_plugins.KormoPlugin]
learning_rate: 3e-4
kormo:
  samples: {prompts: ["a: b", "two\\nlines"]}
"""
PARENT = """\
learning_rate: 1.0
seed: 1
datasets:
  - path: x
kormo:
  precision: {weights: float32, compute: float32, optimizer: float32}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a child and its parent, made the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "child.yml").write_text(CHILD, encoding="utf-8")
    (tmp_path / "parent.yml").write_text(PARENT, encoding="utf-8")
    return tmp_path


LIGHT = (
    "--version", "data --help", "data batch --help", "tokenizer report --help", "export --help", "plugins list",
    "recipe show child.yml",
)  # fmt: skip
"""Commands that import nothing heavy; others are in `tests/test_house.py`."""


def test_nothing_heavy_is_imported(folder: Path) -> None:
    """One command after another in one process; what is there after each is printed."""
    code = (
        "import sys\nfrom kormo_plugins.cli.main import main\n"
        f"for words in {LIGHT!r}:\n"
        "    sys.argv[1:] = words.split()\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code, words\n"
        f"    print('HEAVY', words, *sorted(set(sys.modules) & set({HEAVY!r})), sep=':')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2]), "AXOLOTL_DO_NOT_TRACK": "1"}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert [line for line in out.stdout.splitlines() if line.startswith("HEAVY")] == [f"HEAVY:{w}" for w in LIGHT]


def test_parameter_models_are_light() -> None:
    """Checking a recipe imports the models of the components that it names, so none may pull in anything heavy."""
    code = (
        "import sys\nfrom kormo_plugins.plugins.modules import resolve\n"
        "from kormo_plugins.plugins.registry import registry\n"
        "for entry in registry().entries():\n"
        "    before = set(sys.modules)\n"
        "    resolve(entry.component.params, entry.component.name)\n"
        "    new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        f"    assert not new & set({HEAVY!r}), (entry.kind, entry.component.name, sorted(new))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2])}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr


def test_show_prints_yaml_that_says_the_same(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["recipe", "show", "child.yml", "--origins"])
    as_json = json.loads(CliRunner().invoke(cli, ["recipe", "show", "child.yml", "--origins", "--json"]).stdout)
    values = yaml.safe_load(result.stdout)
    assert values == as_json["values"]
    assert values["kormo"]["samples"]["prompts"] == ["a: b", "two\nlines"]
    assert as_json["files"] == ["parent.yml", "child.yml"]
    assert as_json["origins"]["seed"] == "parent.yml"
    lines = {line.split(":")[0].strip(): line for line in result.stdout.splitlines() if ":" in line}
    assert lines["seed"].endswith("# parent.yml")
    assert lines["learning_rate"].endswith("# child.yml")


def test_the_nouns_of_the_table_exist_and_say_what_the_table_says() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == sorted(NOUNS)
    for noun, (_, summary) in NOUNS.items():
        command = cli.get_command(context, noun)
        assert isinstance(command, click.Command)
        assert (command.help or "").splitlines()[0] == summary


def test_a_misspelt_noun_is_told_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["recpe", "show", "x"])
    assert result.exit_code == 2
    assert "Did you mean 'recipe'?" in result.stderr


def test_plugins_list_as_json_is_json() -> None:
    rows = json.loads(CliRunner().invoke(cli, ["plugins", "list", "--json"]).stdout)
    assert {"kind", "name", "distribution", "version", "from", "summary"} <= set(rows[0])
    only = json.loads(CliRunner().invoke(cli, ["plugins", "list", "--json", "--kind", "objective"]).stdout)
    assert only == [row for row in rows if row["kind"] == "objective"]
    refused = CliRunner().invoke(cli, ["plugins", "list", "--kind", "objectiv"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Did you mean 'objective'?" in refused.stderr


@pytest.mark.parametrize("asked", ["option", "variable"])
def test_the_traceback_is_there_when_asked_for(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["recipe", "show", "nothing.yml"]
    assert CliRunner().invoke(cli, arguments).exit_code == 2
    if asked == "variable":
        monkeypatch.setenv("KORMO_TRACEBACK", "1")
    result = CliRunner().invoke(cli, ["--traceback", *arguments] if asked == "option" else arguments)
    assert isinstance(result.exception, KormoError)


def test_a_bug_keeps_its_traceback_and_asks_for_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        """A broken command."""
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(cli, "get_command", lambda context, name: broken)
    monkeypatch.setattr(cli, "list_commands", lambda context: ["broken"])
    result = CliRunner().invoke(cli, ["broken"])
    assert isinstance(result.exception, ZeroDivisionError)
    assert "this is a bug" in result.stderr
    assert "kormo-plugins" in result.stderr and f"axolotl {metadata.version('axolotl')}" in result.stderr


def test_axolotl_can_take_the_group_as_a_command() -> None:
    """What `axolotl.cli.plugins.LazyCommand` does with the entry point `axolotl.cli_commands`."""
    with cli.make_context("kormo", ["plugins", "list", "--json"]) as context:
        assert isinstance(cli, click.Command)
        assert cli.invoke(context) is None
