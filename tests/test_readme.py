"""README, CONTRIBUTING and docs/ tell the truth: paths exist, snippets run, commands parse, and what is cheap is run.

Every block of every kind has its test: `python` is executed, `yaml` is validated as what it is, `bash` is parsed by the
command that it calls, with its recipes checked, and run where that takes a second. Commands that need a built corpus or
a trained model are run, in order and as they stand, by `integration/test_readme_commands.py`.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.evaluation.judged.suite import load_judged
from kormo_plugins.experiments.ablation.spec import cells, read_spec
from kormo_plugins.experiments.chain.spec import load_chain
from kormo_plugins.experiments.ladder import spec as ladder
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.checks.validate import validate

from .test_contributing import SNIPPETS, TASK

ROOT = Path(__file__).parents[1]
GENERATED = ("reference/", "contributing.md", "changelog.md")
"""Pages that are made of code, or of files that are read here already."""


def site_pages() -> list[str]:
    """The written pages of `docs/`, in the order of the navigation."""
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    return [f"docs/{name}" for name in named if not name.startswith(GENERATED)]


PAGES = ("README.md", *site_pages(), "README.ko.md", "CONTRIBUTING.md")
EVERY = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in PAGES)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", EVERY, re.S | re.M)
YAML = list(dict.fromkeys(block for kind, block in BLOCKS if kind == "yaml"))
DATA_KEYS = {*CorpusRecipe.model_fields, *MixtureRecipe.model_fields}
PROGRAMS = ("kormo", "axolotl", "pytest", "python", "pip", "ruff", "mypy", "npm", "mkdocs")


def commands() -> list[str]:
    """The lines of all bash blocks, comments taken away, continued lines joined, `a && b` parted."""
    lines = []
    for block in (block for kind, block in BLOCKS if kind == "bash"):
        joined = re.sub(r"\\\n\s*", " ", block)
        for line in joined.splitlines():
            lines += [part.strip() for part in re.sub(r"(^|\s)#.*", "", line).split("&&") if part.strip()]
    return list(dict.fromkeys(lines))


def mentioned() -> list[str]:
    """Commands inside sentences and tables, with at least one word behind the program; one with `…` is a pattern."""
    found = re.findall(rf"`((?:{'|'.join(PROGRAMS)})\s[^`]*)`", re.sub(r"```.*?```", "", EVERY, flags=re.S))
    return sorted({" ".join(line.split()) for line in found if "…" not in line})


COMMANDS = commands()
CHEAP = ("kormo recipe validate", "kormo recipe diff", "kormo recipe plan", "kormo plugins ", "kormo eval --published")
"""Commands that need nothing built and take a second; they are run as they stand."""
DRY = ("kormo train", "kormo ablate", "kormo run")
"""Those that are run with `--dry-run`."""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipes in a folder of their own, made the current one, and one document of the user's."""
    for name in ("recipes", "datasets_recipes"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text.jsonl").write_text('{"text": "서울은 대한민국의 수도이다."}\n', encoding="utf-8")
    monkeypatch.setenv("KORMO_DATA", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_path_exists() -> None:
    paths = set(re.findall(r"\b(?:recipes|datasets_recipes|kormo_plugins|tests)/[\w./*-]+\w", EVERY))
    assert len(paths) > 30
    for path in paths:
        assert list(ROOT.glob(path)) or (ROOT / path).exists(), path


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {kind for kind, _ in BLOCKS} <= {"bash", "yaml", "python", "json", "text", ""}
    assert EVERY.count("```") == 2 * len(BLOCKS)
    shell = [
        block
        for kind, block in BLOCKS
        if kind in ("", "text") and re.search(rf"^(?:{'|'.join(PROGRAMS)}) ", block, re.M)
    ]
    assert not shell, "commands in a block that does not say bash"


def test_the_plugin_in_20_lines_is_one() -> None:
    ours = [block for kind, block in BLOCKS if kind == "python" and block not in SNIPPETS]  # those are tested there
    for block in ours:
        compile(block, "docs", "exec")
    ours = [block for block in ours if "no_shouting" in block]
    assert len(ours) == 1
    assert len([line for line in ours[0].splitlines() if line.strip()]) <= 20
    module = types.ModuleType("readme_plugin")
    sys.modules["readme_plugin"] = module
    try:
        exec(compile(ours[0], "README.md", "exec"), module.__dict__)
        step = Registry(["readme_plugin"]).load("corpus_step", "no_shouting")(None)
    finally:
        del sys.modules["readme_plugin"]
    assert step(Document("1", "STOP SHOUTING")) == Reject("shouting")
    calm = Document("2", "Not at all")
    assert step(calm) is calm


def test_every_json_snippet_is_json() -> None:
    for text in (text for kind, text in BLOCKS if kind == "json"):
        json.loads(text)


@pytest.mark.parametrize("text", YAML, ids=lambda text: text.split(":")[0])
def test_every_yaml_snippet_is_sound(text: str, copy: Path) -> None:
    if text.startswith("task:"):
        assert text == TASK  # tested in test_contributing.py
        return
    values: dict[str, Any] = yaml.safe_load(text)
    if {"name", "stages"} <= set(values):
        assert load_chain(written(copy / "recipes" / "chains", text)).stages
    elif "sizes" in values:
        path = written(copy / "recipes" / "ladders", text)
        assert ladder.rungs(path, ladder.read_spec(path))
    elif values.get("kind") == "judged":
        assert load_judged(str(written(copy / "recipes", text))).title
    elif "question" in values:
        path = written(copy / "recipes" / "ablations", text)
        assert cells(path, read_spec(path))
    elif set(values) - {"extends"} <= DATA_KEYS:
        if not {"extends", "sources"} & set(values):  # a part of a dataset recipe
            whole = yaml.safe_load((copy / "datasets_recipes" / "embedded.yml").read_text(encoding="utf-8"))
            text = yaml.safe_dump({**whole, **values}, allow_unicode=True)
        assert validate(written(copy / "datasets_recipes", text)).keys
    else:
        part = "" if "extends" in values else "extends: pretrain.yml\nplugins: [kormo_plugins.KormoPlugin]\n"
        unseen = copy / "recipes" / "my" / "unseen.yml"
        unseen.parent.mkdir()
        shutil.copy(copy / "datasets_recipes" / "nano" / "generators_unseen.yml", unseen)
        assert validate(written(copy / "recipes", part + text)).keys


def written(folder: Path, text: str) -> Path:
    """A snippet as a file of a folder."""
    path = folder / "snippet.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_command_names_a_recipe_that_is_sound(copy: Path) -> None:
    recipes = {word for line in COMMANDS for word in line.split() if word.endswith(".yml")}
    assert {"recipes/pretrain.yml", "recipes/10b/pretrain.yml", "recipes/chains/nano.yml"} <= recipes
    for recipe in {recipe for recipe in recipes if not recipe.startswith("my-lab/")}:  # which `kormo init` writes
        assert (ROOT / recipe).is_file(), recipe
        if "/chains/" in recipe:
            assert load_chain(Path(recipe)).stages
        elif "/ablations/" in recipe:
            assert cells(Path(recipe), read_spec(Path(recipe)))
        elif "/ladders/" in recipe:
            assert ladder.rungs(Path(recipe), ladder.read_spec(Path(recipe)))
        elif recipe != "datasets_recipes/tokenizer.yml":
            validate(recipe)


def parsed(words: list[str]) -> None:
    """Lets `kormo` parse a command line without running it; a value that is missing (`kormo run`) is none of its
    mistakes."""
    command, context = cli, click.Context(cli, info_name="kormo")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no {words[0]!r}"
        context = click.Context(found, parent=context, info_name=words[0])
        command, words = found, words[1:]
    try:
        with command.make_context(context.info_name, list(words), parent=context.parent) as made:
            assert not [word for word in made.args if word.startswith("-")] or made.allow_extra_args
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        assert not [word for word in words if word.startswith("-")]
    except click.BadOptionUsage:  # an option that is only named
        assert words[-1].startswith("--")
    except click.exceptions.Exit as end:  # an option that does its work at once
        assert end.exit_code == 0


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("kormo ")])
def test_every_kormo_command_parses_and_the_cheap_ones_run(
    line: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(line)[1:]
    parsed(words)
    if line.startswith("kormo recipe schema"):
        monkeypatch.setattr("kormo_plugins.recipe.schema.json_schema.AXOLOTL_PLUGINS", ())  # ten seconds more
    elif line.startswith(DRY):
        end = words.index("--") if "--" in words else len(words)
        words.insert(end, "--dry-run")
    elif not line.startswith(CHEAP):
        return
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output + result.stderr
    assert result.stdout or "schema" in line


def test_no_two_commands_train_into_one_folder() -> None:
    """A reader who follows the pages would be refused: the folder holds another run."""
    folders = [folder for line in COMMANDS for folder in re.findall(r"output_dir=(\S+)", line)]
    assert len(folders) == len(set(folders)) >= 2


@pytest.mark.parametrize("line", [line for line in mentioned() if line.startswith("kormo ")])
def test_every_kormo_command_in_a_sentence_parses(line: str, copy: Path) -> None:
    parsed(shlex.split(line)[1:])


def test_every_axolotl_command_parses() -> None:
    from axolotl.cli.main import cli as axolotl

    lines = [re.sub(r"^\w+=\S+ ", "", line) for line in [*COMMANDS, *mentioned()]]
    lines = [line for line in lines if line.startswith("axolotl ")]
    assert len(lines) >= 8
    for line in lines:
        name, *words = shlex.split(line)[1:]
        if name == "lm-eval":  # Axolotl's `main` adds it
            continue
        command = axolotl.commands[name]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        own = words[: words.index("--")] if "--" in words else words
        assert not {word.split("=")[0] for word in own if word.startswith("--")} - known, line
        assert words[len(own) :] == [] or "torchrun" in own, f"{line}: launcher options without a launcher"


def test_every_command_starts_with_a_program_that_there_is() -> None:
    ours = (
        "axolotl ",
        "kormo ",
        "pytest",
        "ruff ",
        "mypy",
        "pip install",
        "KORMO_DATA=",
        "python tests/benchmarks/",
        "python docs/",
        "python -m kormo_plugins.",
    )
    others = (
        "sbatch recipes/slurm/",
        "vllm serve outputs/",
        "transformers serve outputs/",
        "llama-server ",
        "ollama create ",
        "sigstore ",
        "lmplz ",
        "build_binary ",
    )
    for line in COMMANDS:
        assert line.startswith(ours + others), line


def test_what_else_is_called_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    markers = subprocess.run(
        [sys.executable, "-m", "pytest", "--markers"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    for line in [*COMMANDS, *mentioned()]:
        for extra in re.findall(r"pip install -e '\.\[(\w+)\]'", line):
            assert extra in extras, line
        for marker in re.findall(r"pytest -m (\w+)", line):
            assert f"@pytest.mark.{marker}:" in markers.stdout, line
        for path in re.findall(r"(?:pytest|python|sbatch) .*?((?:tests|recipes)/\S+)", line):
            assert (ROOT / path).is_file(), line
    subprocess.run(["bash", "-n", str(ROOT / "recipes/slurm/train.sbatch")], check=True)
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)
