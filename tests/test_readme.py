"""README and CONTRIBUTING tell the truth: paths exist, snippets run, every command parses, and what is cheap is run."""

from __future__ import annotations

import re
import shlex
import sys
import types
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.documents import Document, Reject
from kormo_plugins.recipe.resolve import resolve
from kormo_plugins.registry import Registry

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EVERY = "\n".join(
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md", "CONTRIBUTING.md")
)
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", EVERY, re.S)


def commands() -> list[str]:
    """The lines of all bash blocks, comments taken away, continued lines joined, `a && b` parted."""
    lines = []
    for block in (block for kind, block in BLOCKS if kind == "bash"):
        joined = re.sub(r"\\\n\s*", " ", block)
        for line in joined.splitlines():
            lines += [part.strip() for part in re.sub(r"\s#.*", "", line).split("&&") if part.strip()]
    return [line for line in lines if not line.startswith("#")]


COMMANDS = commands()
CHEAP = ("kormo recipe validate", "kormo recipe diff", "kormo recipe plan", "kormo plugins list", "kormo plugins show",
         "kormo plugins hooks", "kormo eval --published")  # fmt: skip
"""Commands that need nothing built and take a second; they are run as they stand."""


def test_every_path_exists() -> None:
    paths = set(re.findall(r"\b(?:recipes|datasets_recipes|kormo_plugins|tests)/[\w./*-]+\w", TEXT))
    assert len(paths) > 5
    for path in paths:
        assert list(ROOT.glob(path)) or (ROOT / path).exists(), path


def test_the_plugin_in_20_lines_is_one() -> None:
    code = next(block for kind, block in BLOCKS if kind == "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    module = types.ModuleType("readme_plugin")
    sys.modules["readme_plugin"] = module
    try:
        exec(compile(code, "README.md", "exec"), module.__dict__)
        step = Registry(["readme_plugin"]).load("corpus_step", "no_shouting")(None)
    finally:
        del sys.modules["readme_plugin"]
    assert step(Document("1", "STOP SHOUTING")) == Reject("shouting")
    calm = Document("2", "Not at all")
    assert step(calm) is calm


def test_the_example_recipe_resolves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    text = next(block for kind, block in BLOCKS if kind == "yaml" and "extends:" in block)
    values = yaml.safe_load(text)
    child = ROOT / "recipes" / "pretrain_local.yml"
    assert (child.parent / values["extends"]).is_file() and (child.parent / values["kormo"]["data"]).is_file()
    assert resolve(child).values["kormo"]["data"]["name"] == "local"


def test_every_command_names_a_recipe_that_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kormo_plugins.recipe.validate import validate
    from kormo_plugins.workspace.ablation_spec import cells, read_spec
    from kormo_plugins.workspace.chain import load_chain

    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    monkeypatch.chdir(ROOT)
    recipes = {word for line in COMMANDS for word in line.split() if word.endswith(".yml")}
    assert {"recipes/pretrain.yml", "recipes/10b/pretrain.yml", "recipes/chains/nano.yml"} <= recipes
    for recipe in recipes:
        assert (ROOT / recipe).is_file(), recipe
        if "/chains/" in recipe:
            assert load_chain(Path(recipe)).stages
        elif "/ablations/" in recipe:
            assert cells(Path(recipe), read_spec(Path(recipe)))
        else:
            validate(recipe)


@pytest.mark.parametrize("line", sorted({line for line in COMMANDS if line.startswith("kormo ")}))
def test_every_kormo_command_parses_and_the_cheap_ones_run(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)[1:]
    if line.startswith(CHEAP):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output + result.stderr
        return
    command, context = cli, click.Context(cli, info_name="kormo")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: there is no {words[0]!r}"
        context = click.Context(found, parent=context, info_name=words.pop(0))
        command = found
    with command.make_context(context.info_name, words, parent=context.parent) as parsed:
        assert not [word for word in parsed.args if word.startswith("-")] or parsed.allow_extra_args


def test_every_command_starts_with_a_program_that_there_is() -> None:
    ours = ("axolotl ", "kormo ", "pytest", "ruff ", "mypy", "pip install", "KORMO_DATA=", "python tests/benchmarks/")
    others = ("sbatch recipes/slurm/", "vllm serve my-llama", "python convert_hf_to_gguf.py my-llama", "llama-server ")
    for line in COMMANDS:
        assert line.startswith(ours + others), line
