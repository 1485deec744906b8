"""The floors of the house: every module has one, and imports only point down.

Rooms on one floor do not import each other; what they share lies below them, and what brings them together stands
above. An import counts wherever it stands in a file, and so does a module that is only named in a string
(`load="kormo_plugins.corpus.steps.web.html:Html"`, `python -m kormo_plugins.…`). What only a type
checker reads does not.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Container, Iterator, Mapping
from functools import cache
from pathlib import Path

from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.schema.axolotl import axolotl_keys

PACKAGE = Path(__file__).parents[1] / "kormo_plugins"
FLOORS = (
    {"wording"},
    {"measures", "documents", "errors", "hookspecs", "korean"},
    {"kernels"},
    {"plugins", "store", "console"},
    {"reporting", "endpoint"},
    {"architecture", "evaluation", "tokenizer", "shards", "corpus", "embedded"},
    {"training", "mixture", "monitoring"},
    {"recipe", "posttraining"},
    {"pipeline"},
    {"runs", "release"},
    {"experiments", "bridge"},
    {"cli"},
    {"__init__", "testing"},
)
"""From the ground up."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ANY = re.compile(r"\bAny\b")
NAMED = re.compile(r"\bkormo_plugins((?:\.[a-z_0-9]+)+)")


def room_of(path: Path) -> str:
    """`corpus` for `corpus/steps/web/html.py`, `errors` for `errors.py`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> Iterator[Path]:
    """Every module of ours; what lies in a folder of templates is text for somebody else's package."""
    return (path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax tree; every test of the house looks at all of them."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of each module of ours that a file imports, or names in a string that is no docstring."""
    tree = parsed(path)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((node.lineno, f"kormo_plugins{found[1]}") for found in NAMED.finditer(node.value))


def test_every_module_has_a_floor() -> None:
    assert {room_of(path) for path in modules()} == set(FLOOR)


def test_imports_point_down_and_rooms_of_a_floor_do_not_see_each_other() -> None:
    seen, wrong = 0, []
    for path in modules():
        here = room_of(path)
        for line, name in imported(path):
            there = name.split(".")[1] if name.startswith("kormo_plugins.") else ""
            if there == here or there not in FLOOR:
                continue
            seen += 1
            if FLOOR[there] >= FLOOR[here]:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)
    assert seen > 500


def test_no_room_is_a_flat_hall() -> None:
    flat = {}
    for folder in {path.parent for path in modules()} - {PACKAGE}:
        flat[folder.relative_to(PACKAGE)] = sum(path.name != "__init__.py" for path in folder.glob("*.py"))
    assert not {folder: count for folder, count in flat.items() if count > 14}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "errors.py", "hookspecs.py", "testing.py"}


HEAVY = {
    "accelerate", "axolotl", "datasets", "datatrove", "deepspeed", "fsspec", "gguf", "gradio", "httpx",
    "huggingface_hub", "jinja2", "liger_kernel", "llvmlite", "lm_eval", "loguru", "math_verify", "numba", "numpy",
    "packaging", "plotly", "psutil", "pyarrow", "rich", "safetensors", "scipy", "starlette", "tiktoken", "tokenizers",
    "torch", "torchao", "transformers", "triton", "trl",
}  # fmt: skip
"""Libraries that may be imported inside functions: each takes more than a short command has, or brings one that does
(`safetensors.torch` torch; `loguru`, `starlette` and `llvmlite` come with a neighbour here)."""
SLOW = {"importlib.metadata", "tempfile"}
"""Modules of Python's own that bring many others (`email` and `zipfile`; `random` and `hashlib`)."""
OPTIONAL = {
    "chardet", "fasttext", "gigabpe", "gigatoken", "kenlm", "lxml", "protego", "resiliparse", "sentencepiece",
    "sigstore", "trafilatura",
}  # fmt: skip
"""Libraries that need not be installed (extras); a function asks for them where they are used."""


def in_functions(node: ast.AST, inside: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom) and inside:
            yield child
        yield from in_functions(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def at_top(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        ):
            yield from at_top(child)


def named(node: ast.Import | ast.ImportFrom, ours: Container[str]) -> list[str]:
    """The modules that an import names: `from package import module` names the module, another name its package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    full = [f"{node.module}.{alias.name}" for alias in node.names]
    return list(dict.fromkeys(name if name in ours else str(node.module) for name in full))


def brought(module: str, trees: Mapping[str, ast.Module]) -> tuple[set[str], set[str]]:
    """The libraries and the modules of ours that importing `module` imports."""
    libraries: set[str] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if not name.startswith("kormo_plugins"):
            libraries.add(name.split(".")[0])
            continue
        parts = name.split(".")
        for package in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
            if package in trees and package not in seen:
                seen.add(package)
                waiting += [other for node in at_top(trees[package]) for other in named(node, trees)]
    return libraries, seen


def trees_of_modules() -> dict[str, ast.Module]:
    """Name of a module of ours -> its syntax tree."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): parsed(path)
        for path in modules()
    }


ROOT = PACKAGE.parent
SHORT = {
    "help": ("--help",),
    "validate": ("recipe", "validate", f"{ROOT}/recipes/pretrain.yml"),
    "diff": ("recipe", "diff", f"{ROOT}/recipes/pretrain.yml", f"{ROOT}/recipes/10b/pretrain.yml"),
}
"""Commands that are over in less time than a library takes."""
CALL = """
import sys
from kormo_plugins.cli.main import main
sys.argv = ["kormo", *{words!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules)
"""


@cache
def imported_by_short_commands() -> dict[str, frozenset[str]]:
    """Name in `SHORT` -> the modules that the command has imported when it ends."""
    axolotl_keys()  # its cache is filled: a miss takes seconds and other modules
    modules_of, environment = {}, {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, words in SHORT.items():
        code = [sys.executable, "-c", CALL.format(words=words)]
        with tempfile.TemporaryDirectory() as empty:  # nothing is built there
            done = subprocess.run(code, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        modules_of[name] = frozenset(done.stdout.splitlines()[-1].split())
    return modules_of


def test_only_what_is_heavy_is_imported_inside_functions() -> None:
    """A module of ours may be, where it brings a heavy library that the importing one does not bring, or where that
    keeps it away from a short command that has the importing one."""
    commands = imported_by_short_commands().values()
    trees = trees_of_modules()
    libraries = cache(lambda module: brought(module, trees)[0])
    wrong = []
    for module, tree in trees.items():
        for node in in_functions(tree):
            for name in named(node, trees):
                library = name.split(".")[0]
                if library == "kormo_plugins":
                    light = not (libraries(name) & HEAVY) - libraries(module)
                    light = light and not any(module in command and name not in command for command in commands)
                else:
                    light = library not in HEAVY | OPTIONAL and name not in SLOW
                if light:
                    wrong.append(f"{module}:{node.lineno} imports {name} inside a function; it costs next to nothing")
    assert not wrong, "\n".join(wrong)


WITHOUT = {
    "help": HEAVY | SLOW | {"pluggy", "pydantic.main", "yaml", "socket"},
    "validate": HEAVY | SLOW | {"email", "secrets", "zipfile"} | {f"kormo_plugins.{name}" for name in (
        "bridge", "corpus.build", "corpus.passes", "corpus.reports", "endpoint", "evaluation.catalogue",
        "evaluation.judged", "evaluation.suites", "experiments", "mixture.dataset", "monitoring.monitor", "pipeline",
        "posttraining.preference_pairs", "recipe.checks.axolotl_keys.fate_text", "recipe.cost.advice",
        "recipe.cost.plan", "recipe.diff", "recipe.load", "recipe.projections", "recipe.schema.axolotl_entry",
        "recipe.schema.axolotl_model", "recipe.schema.json_schema", "release", "reporting.page", "runs",
        "training.settings", "training.trainer",
    )},
    "diff": HEAVY | SLOW | {f"kormo_plugins.{name}" for name in (
        "bridge", "corpus.build", "corpus.passes", "experiments", "pipeline", "runs", "shards",
    )},
}  # fmt: skip
"""What a short command leaves alone: modules, with all that is in them."""
MOST_MODULES = {"help": 17, "validate": 146}
"""How many of our own modules a short command imports at most; only ever lowered, or raised with a reason."""


def test_the_parameters_of_a_component_bring_no_heavy_library() -> None:
    """A recipe that names a component imports its model of parameters, whatever command reads the recipe."""
    trees = trees_of_modules()
    libraries = cache(lambda module: brought(module, trees)[0])
    brings = {}
    for entry in registry().entries():
        params = entry.component.params
        module = params.partition(":")[0] if isinstance(params, str) else getattr(params, "__module__", "")
        if module and (heavy := libraries(module) & HEAVY):
            brings[f"{entry.kind} {entry.component.name}: {module}"] = heavy
    assert not brings


def test_short_commands_import_little() -> None:
    for command, imported_modules in imported_by_short_commands().items():
        found = {name for name in imported_modules for bad in WITHOUT[command] if f"{name}.".startswith(f"{bad}.")}
        assert not found, f"kormo {' '.join(SHORT[command])} imports {sorted(found)}"
        ours = [name for name in imported_modules if name.startswith("kormo_plugins")]
        assert len(ours) <= MOST_MODULES.get(command, len(ours)), (command, sorted(ours))


LONGEST_FUNCTION, LONGEST_FILE = 60, 400
ONE_LOOP = {
    "corpus/scan/kernels/korean_kernel.py": "korean",
    "corpus/scan/kernels/numbers_kernel.py": "personal",
    "corpus/steps/languages/kernel.py": "measure",
}
"""Compiled kernels that stay one function; each says why."""


def test_functions_and_files_are_short() -> None:
    long, loops = [], set()
    for path in modules():
        text, name = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix()
        if len(text.splitlines()) > LONGEST_FILE:
            long.append(f"{name}: {len(text.splitlines())} lines")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION and ONE_LOOP.get(name) == node.name:
                    loops.add(name)
                elif lines > LONGEST_FUNCTION:
                    long.append(f"{name}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)
    assert loops == set(ONE_LOOP), "shorter now: take it off the list"


def test_any_grows_rarer() -> None:
    """Lines that name `Any`, and its occurrences, per 1,000 lines: the bounds are only ever lowered."""
    lines = [line for path in modules() for line in path.read_text(encoding="utf-8").splitlines()]
    found = [len(ANY.findall(line)) for line in lines]
    assert 1000 * sum(map(bool, found)) / len(lines) < 6.95
    assert 1000 * sum(found) / len(lines) < 7.25


def undocumented(path: Path) -> Iterator[str]:
    """Functions and classes with a public name and no docstring, those inside functions too."""
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
        if ast.get_docstring(node) is None and not decorators & {"overload", "setter"}:
            yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"


def test_what_has_a_public_name_says_what_it_gives() -> None:
    assert not [name for path in modules() for name in undocumented(path)]


RENAMES = {"store/atomic.py", "store/lease.py"}
"""The modules that may give a file or folder another name; everybody else asks them."""


def renaming(path: Path) -> Iterator[int]:
    """Lines that rename: `os.rename`, `os.replace`, `shutil.move`, and a path's `rename` and `replace`.

    A text's `replace` has two arguments, a path's one.
    """
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        name = node.func.attr
        module = of in ("os", "shutil") and name in ("rename", "renames", "replace", "move")
        if module or (name in ("rename", "replace") and len(node.args) == 1 and not node.keywords):
            yield node.lineno


def test_one_place_renames(tmp_path: Path) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in modules()
        if path.relative_to(PACKAGE).as_posix() not in RENAMES
        for line in renaming(path)
    ]
    assert not found, f"use store/atomic.py: {found}"
    (tmp_path / "all.py").write_text(
        "os.rename(a, b)\nos.replace(a, b)\nshutil.move(a, b)\na.rename(b)\na.replace(b)\n"
    )
    assert list(renaming(tmp_path / "all.py")) == [1, 2, 3, 4, 5]
    assert list(renaming(PACKAGE / "store" / "atomic.py"))
