"""The documents as a whole: references are current, links lead somewhere, every room explains itself, numbers agree."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import kormo_plugins

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kormo_plugins"
ROOMS = sorted(path.parent for path in PACKAGE.glob("*/*.py") if path.parent.name != "__pycache__")
ROOMS = list(dict.fromkeys(ROOMS))
DOCUMENTS = [
    path
    for pattern in ("*.md", "kormo_plugins/*/README.md", "recipes/**/*.md", ".github/*.md")
    for path in sorted(ROOT.glob(pattern))
]
MODEL_LINES = 12
"""Lines of a room's README before its files, blank ones apart: a mental model, not a manual."""


def generator() -> ModuleType:
    """`docs/generate_reference.py` as a module."""
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "docs" / "generate_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_references_are_current() -> None:
    assert generator().stale() == [], "run python docs/generate_reference.py"


def test_a_reference_that_is_not_current_is_noticed(tmp_path: Path) -> None:
    reference = generator()
    (tmp_path / "hooks.md").write_text(reference.hooks_page().replace("kormo_readers", "kormo_reader"))
    (tmp_path / "keys.md").write_text(reference.keys_page())
    assert reference.stale(tmp_path) == ["commands.md", "hooks.md"]


def test_the_references_have_every_command_key_and_hook() -> None:
    text = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
    for noun in ("kormo run", "kormo data build", "kormo plugins new"):
        assert re.search(rf"^##+ {noun}$", text["commands.md"], re.M), noun
    for key in ("| `global_batch` | integer or null (≥ 1) |", "### reader `jsonl`", "### data.sources.NAME"):
        assert key in text["keys.md"], key
    assert "[paper]" in text["keys.md"] and "| `learning_rate` |" in text["keys.md"]
    assert "## kormo_corpus_steps" in text["hooks.md"]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install -e '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "reference" / "keys" / "index.html").is_file()


def test_readme_is_finished_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_korean_readme_has_the_same_commands_and_links() -> None:
    english, korean = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
    blocks = re.compile(r"^```bash\n(.*?)^```$", re.S | re.M)
    assert blocks.findall(english) == blocks.findall(korean)
    links = re.compile(r"\]\((?!README)([^)]+)\)")
    assert links.findall(english) == links.findall(korean)
    assert len(re.findall(r"^## ", english, re.M)) == len(re.findall(r"^## ", korean, re.M))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_every_room_has_a_mental_model_and_its_files_in_reading_order(room: Path) -> None:
    text = (room / "README.md").read_text(encoding="utf-8")
    model, _, files = text.partition("## Reading order\n")
    assert len([line for line in model.splitlines() if line.strip()]) <= MODEL_LINES
    named = re.findall(r"^\d+\. `([\w/.]+)`", files, re.M)
    assert len(named) == len(set(named))
    missing = [name for name in named if not (room / name).exists()]
    assert not missing, f"{room.name}/README.md names {missing}, which are not there"
    here = {path.name for path in room.glob("*.py")} - {"__init__.py"}
    here |= {f"{path.name}/" for path in room.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    unnamed = here - {name if name.endswith("/") else name.partition("/")[0] for name in named} - {"__pycache__/"}
    unnamed -= {f"{name.partition('/')[0]}/" for name in named if "/" in name}
    assert not unnamed, f"{room.name}/README.md leaves out {sorted(unnamed)}"


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == kormo_plugins.__version__ == str(cited["version"])
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changes and f"## [{project['version']}]" in changes


def test_the_format_numbers_of_the_policy_are_where_it_says() -> None:
    policy = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("## [Unreleased]")[0]
    rows = re.findall(r"^\| .* \| (.*) \|$", policy, re.M)
    named = [
        (name, path)
        for row in rows
        for path in re.findall(r"`(kormo_plugins/[\w/]+\.py)`", row)
        for name in re.findall(r"`([A-Z_]+)`", row.partition(";")[0])
    ]
    assert len(named) >= 5
    for name, path in named:
        assert re.search(rf"^{name}\b.* = ", (ROOT / path).read_text(encoding="utf-8"), re.M), (name, path)


def test_the_forms_and_the_workflow_are_sound() -> None:
    for path in (ROOT / ".github").rglob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["run"]["steps"][-1] == {"run": "bash .ci/run"}
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}  # what is installed, fetched from nowhere
