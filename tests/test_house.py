"""The floors of the house: imports only point down, and rooms do not see each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "kormo_plugins"
ROOMS = (
    "architecture",
    "tokenizer",
    "corpus",
    "mixture",
    "training",
    "kernels",
    "posttraining",
    "evaluation",
    "reporting",
)
FLOORS = {"shards": 1, **dict.fromkeys(ROOMS, 2), "recipe": 3, "workspace": 4, "cli": 5}
"""Modules that stand in no folder are below all of these, but for the two that bring everything together."""
TOP = ("bridge.py", "testing.py", "__init__.py")


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in it; what only a type checker reads is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.startswith("kormo_plugins."))


def test_imports_point_down_and_rooms_do_not_see_each_other() -> None:
    seen = 0
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        if "templates" in place.parts or str(place) in TOP:
            continue
        mine = place.parts[0] if len(place.parts) > 1 else ""
        for name in imported(path):
            other = name.split(".")[1]
            if other not in FLOORS or other == mine:
                continue
            seen += 1
            assert FLOORS[other] < FLOORS.get(mine, 0), f"{place} imports {name}"
    assert seen > 100
