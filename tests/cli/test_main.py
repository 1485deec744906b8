"""The `kormo` command: quick, clean on stdout, and honest about what is a bug."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
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


def _modules(arguments: list[str], folder: Path, cache: Path) -> tuple[set[str], float]:
    """The top-level modules that a command imports, and its seconds."""
    code = (
        "import sys\nfrom kormo_plugins.cli.main import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    root = str(Path(main.__file__).parents[2])
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": root,
        "AXOLOTL_DO_NOT_TRACK": "1",
    }
    start = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return set(out.stdout.rsplit("MODULES", 1)[1].split()), time.perf_counter() - start


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["data", "--help"],
        ["data", "batch", "--help"],
        ["tokenizer", "report", "--help"],
        ["export", "--help"],
        ["plugins", "list"],
        ["recipe", "show", "child.yml"],
        ["recipe", "validate", "child.yml"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(
    arguments: list[str], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.getbasetemp() / "schema-cache"
    if "validate" in arguments:
        _modules(arguments, folder, cache)  # fills the cache of Axolotl's schema, in a process of its own
    modules, seconds = _modules(arguments, folder, cache)
    print(f"kormo {' '.join(arguments)}: {seconds:.2f} s")
    assert not modules & set(HEAVY)


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
