"""The files that come with the package: recipes, chains, ablations, DeepSpeed configurations, dataset recipes.

    kormo:pretrain.yml                    recipes/pretrain.yml
    kormo:10b/pretrain.yml                recipes/10b/pretrain.yml
    kormo:deepspeed/zero2.json            recipes/deepspeed/zero2.json
    kormo:datasets_recipes/local.yml      datasets_recipes/local.yml

A wheel has both folders in `kormo_plugins/shipped/`; in a checkout they are beside the package. Their relative location
is the same, so a recipe that names a dataset recipe by a relative path works in both.
"""

from __future__ import annotations

import os
from pathlib import Path

import kormo_plugins
from kormo_plugins.errors import KormoError, closest

SCHEME = "kormo:"
FOLDERS = ("recipes", "datasets_recipes")
SUFFIXES = (".yml", ".json", ".sbatch", ".md")


def shipped_root() -> Path:
    """The folder that holds `recipes/` and `datasets_recipes/`."""
    package = Path(kormo_plugins.__file__).parent
    inside = package / "shipped"
    return inside if inside.is_dir() else package.parent


def is_shipped(path: Path | str) -> bool:
    """Whether a path is the name of a shipped file (`kormo:…`)."""
    return str(path).startswith(SCHEME)


def located(path: Path | str, where: str = "the command line") -> Path:
    """The file that a path names; for `kormo:NAME` the shipped file.

    Args:
        where: what named it, for messages.
    Raises:
        KormoError: nothing is shipped under that name.
    """
    if not is_shipped(path):
        return Path(path)
    name, root = str(path).removeprefix(SCHEME), shipped_root()
    candidates = [root / name] if name.split("/")[0] in FOLDERS else [root / FOLDERS[0] / name]
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts
    for candidate in candidates:
        if inside and candidate.is_file():
            return candidate
    near = closest(name, shipped_names()).replace("'", f"'{SCHEME}", 1)
    raise KormoError(
        where=where,
        found=repr(str(path)),
        why="no such file comes with this version of kormo-plugins",
        do=near or "`kormo init --list` prints the names",
    )


def beside(folder: Path, name: str, where: str) -> Path:
    """The file that another file names: relative to its folder, or a shipped file.

    Args:
        folder: of the file that contains the name.
        where: key with the name, for messages.
    Raises:
        KormoError: nothing is shipped under that name.
    """
    return located(name, where) if is_shipped(name) else Path(os.path.normpath(folder / name))


def shipped_names() -> list[str]:
    """The names of all shipped files, without `kormo:`."""
    root = shipped_root()
    names = []
    for folder in FOLDERS:
        base = root if folder != FOLDERS[0] else root / folder
        files = sorted(path for path in (root / folder).rglob("*") if path.suffix in SUFFIXES)
        names += [path.relative_to(base).as_posix() for path in files]
    return names
