"""The floors of the house: every module has one, and imports only point down.

Rooms on one floor do not import each other; what they share lies below them, and what brings them together stands
above. An import counts wherever it stands in a file, and so does a module that is only named in a string
(`load="kormo_plugins.corpus.steps.web.html:Html"`, `python -m kormo_plugins.…`). What only a type
checker reads does not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "kormo_plugins"
FLOORS = (
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


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of each module of ours that a file imports, or names in a string that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
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


def test_any_grows_rarer() -> None:
    """Lines that name `Any`, per 1,000 lines: the bound is what there is today, and is only ever lowered."""
    lines = [line for path in modules() for line in path.read_text(encoding="utf-8").splitlines()]
    assert 1000 * sum(bool(ANY.search(line)) for line in lines) / len(lines) < 9.95


RENAMES = {"store/atomic.py", "store/lease.py"}
"""The modules that may give a file or folder another name; everybody else asks them."""


def renaming(path: Path) -> Iterator[int]:
    """Lines that rename: `os.rename`, `os.replace`, `shutil.move`, and a path's `rename` and `replace`.

    A text's `replace` has two arguments, a path's one.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
