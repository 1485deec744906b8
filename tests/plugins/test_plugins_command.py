"""`kormo plugins`: the template is installed and driven for real; what blocks, traces and clashes says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins import hookspecs
from kormo_plugins.cli.main import cli
from kormo_plugins.plugins.template import write_template

ROOT = Path(__file__).parents[2]


def kormo(*words: str, path: Path | None = None, **env: str) -> Any:
    """Runs `kormo …` as a user does."""
    paths = os.pathsep.join(str(p) for p in (ROOT, path) if p)
    return subprocess.run(
        [sys.executable, "-m", "kormo_plugins.cli.main", *words], env={**os.environ, "PYTHONPATH": paths, **env},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The template as it is written, and the folder it is installed into."""
    folder = tmp_path_factory.mktemp("plugin")
    result = kormo("plugins", "new", str(folder / "korean-extras"))
    assert result.returncode == 0, result.stderr
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
           "--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "korean-extras")]  # fmt: skip
    done = subprocess.run(pip, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "korean-extras", folder / "site"


def test_the_template_passes_its_own_tests(installed: tuple[Path, Path]) -> None:
    source, site = installed
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(source)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}, timeout=120, cwd=source,
    )  # fmt: skip
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_installed_template_is_found_shown_blocked_and_traced(installed: tuple[Path, Path]) -> None:
    _, site = installed
    rows = {row["name"]: row for row in json.loads(kormo("plugins", "list", "--json", path=site).stdout)}
    assert rows["drop_word"] | {"summary": ""} == {
        "kind": "corpus_step", "name": "drop_word", "summary": "", "distribution": "korean-extras",
        "version": "0.1.0", "from": "entry point", "module": "korean_extras.plugin", "source": "",
    }  # fmt: skip
    (shown,) = json.loads(kormo("plugins", "show", "drop_word", "--json", path=site).stdout)
    assert shown["parameters"] == [
        {"name": "words", "type": "tuple[str, ...]", "required": True,
         "description": "a document with one of these is dropped"}
    ]  # fmt: skip
    assert "steps.py" in shown["file"]
    for block in ("off", "korean-extras", "korean_extras.plugin"):
        listed = kormo("plugins", "list", path=site, KORMO_PLUGINS=block)
        assert "drop_word" not in listed.stdout and "korean_extras.plugin" in listed.stderr, block
    traced = kormo("plugins", "show", "equal", path=site, KORMO_TRACE_PLUGINS="1").stderr
    assert "kormo_mixings() of korean_extras.plugin" in traced and "load mixing equal: korean_extras" in traced
    assert not kormo("plugins", "list", path=site).stderr


def test_the_installed_template_builds_data(installed: tuple[Path, Path], tmp_path: Path) -> None:
    _, site = installed
    text = [{"id": str(n), "text": f"문서 {n}번 {'lorem' if n % 3 else ''} 내용입니다."} for n in range(30)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in text))
    source = {"language": "ko", "license": "CC0-1.0", "reader": {"name": "jsonl", "path": str(tmp_path / "text.jsonl")}}
    recipe = {
        "name": "mine", "sources": {"a": source}, "steps": [{"name": "drop_word", "words": ["lorem"]}],
        "mixture": {"name": "equal"},
    }  # fmt: skip
    (tmp_path / "data.yml").write_text(yaml.safe_dump(recipe))
    words = ("data", "build", str(tmp_path / "data.yml"), "--workspace", str(tmp_path / "artifacts"))
    done = kormo(*words, path=site)
    assert done.returncode == 0, done.stderr
    (manifest,) = (tmp_path / "artifacts").glob("corpus-*/manifest.json")
    assert json.loads(manifest.read_text())["stats"]["documents"] == 10
    missing = kormo(*words, path=site, KORMO_PLUGINS="off")
    assert missing.returncode == 2 and "KORMO_PLUGINS blocks korean_extras.plugin" in missing.stderr
    assert "do:     unset KORMO_PLUGINS" in missing.stderr


@pytest.mark.soak
def test_the_installed_template_mixes_the_rows_of_a_recipe(installed: tuple[Path, Path], tmp_path: Path) -> None:
    from ..cli.conftest import DATA, RECIPE

    _, site = installed
    data = {**DATA, "steps": [{"name": "drop_word", "words": ["서울"]}], "mixture": {"name": "equal"}}
    path = tmp_path / "recipe.yml"
    block = {**RECIPE["kormo"], "data": data, "workspace": str(tmp_path / "artifacts")}
    path.write_text(yaml.safe_dump({**RECIPE, "kormo": block}))
    done = kormo("data", "build", str(path), path=site)
    assert done.returncode == 0, done.stderr
    stats = json.loads(kormo("data", "stats", str(path), "--json", path=site).stdout)
    assert all(abs(source["share"] - 1 / 3) < 0.01 for source in stats["sources"].values()), stats


def test_a_version_of_us_that_is_too_old(installed: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "later_dist.py").write_text("")
    info = tmp_path / "later_dist-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: later-dist\nVersion: 1.2\nRequires-Dist: kormo-plugins>=9\n"
    )
    (info / "entry_points.txt").write_text("[kormo_plugins]\nlater = later_dist\n")
    result = kormo("plugins", "list", path=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "later-dist 1.2" in result.stderr and "needs kormo-plugins>=9" in result.stderr
    assert kormo("plugins", "list", path=tmp_path, KORMO_PLUGINS="later-dist").returncode == 0


def test_a_block_that_blocks_nothing_is_refused() -> None:
    result = kormo("plugins", "list", KORMO_PLUGINS="kormo_plugins.corpus.plugn")
    assert result.returncode == 2 and "Did you mean 'kormo_plugins.corpus.plugin'?" in result.stderr


def test_a_recipe_that_names_a_blocked_module_is_refused(tmp_path: Path) -> None:
    text = "from kormo_plugins import hookimpl\n@hookimpl\ndef kormo_packings():\n    return []\n"
    (tmp_path / "mine.py").write_text(text)
    assert kormo("plugins", "list", "--plugin", "mine", path=tmp_path).returncode == 0
    result = kormo("plugins", "list", "--plugin", "mine", path=tmp_path, KORMO_PLUGINS="off")
    assert result.returncode == 2 and "the recipe names a plugin that the environment blocks" in result.stderr


def test_hooks_are_the_contract() -> None:
    rows = json.loads(CliRunner().invoke(cli, ["plugins", "hooks", "--json"]).stdout)
    assert {row["hook"]: row["kind"] for row in rows} == {hook: kind for kind, hook in hookspecs.KINDS.items()}
    for row in rows:
        assert row["signature"].startswith(row["hook"] + "(") and len(row["doc"]) > 25
        assert row["protocols"] and all(part["members"] and part["doc"] for part in row["protocols"])
        for argument in row["arguments"]:  # a hook that takes some has to say what they are
            assert argument in row["doc"], (row["hook"], argument)


@pytest.mark.parametrize(
    "words, told",
    [
        (("show", "best_fti"), "Did you mean 'best_fit'?"),
        (("show", "best_fit", "--kind", "packin"), "Did you mean 'packing'?"),
        (("list", "--kind", "packin"), "Did you mean 'packing'?"),
        (("new", "x", "--name", "9lives"), "use letters, digits and hyphens"),
        (("new", "x", "--name", "kormo-plugins"), "the name of this package"),
    ],
)
def test_bad_input_is_told(words: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(cli, ["plugins", *words])
    assert result.exit_code == 2 and told in result.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    result = CliRunner().invoke(cli, ["plugins", "new", str(tmp_path), "--name", "mine"])
    assert result.exit_code == 2 and sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt"]


def test_a_folder_name_becomes_a_package(tmp_path: Path) -> None:
    made = write_template(tmp_path / "My_Filters", "My_Filters")
    assert (made.distribution, made.package) == ("my-filters", "my_filters")
    assert (tmp_path / "My_Filters/src/my_filters/plugin.py").is_file()
    for file in made.files:
        assert "$" not in file and "$" not in (tmp_path / "My_Filters" / file).read_text()
