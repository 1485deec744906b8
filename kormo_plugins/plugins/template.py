"""`kormo plugins new`: a plugin distribution that installs and passes its own tests at once.

The files are in `plugins/templates/plugin/`, with `$package`, `$distribution` and `$version` to fill in. They are the
shortest complete example of the contract: one corpus step, one mixing policy, and tests with `kormo_plugins.testing`.
"""

from __future__ import annotations

import keyword
import re
import shutil
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import NamedTuple

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError


class Made(NamedTuple):
    """What was written."""

    distribution: str
    package: str
    files: list[str]


def write_template(folder: Path, name: str) -> Made:
    """Writes the template.

    Args:
        folder: must not exist, or be empty: nothing is overwritten.
        name: of the distribution; the package has underscores for hyphens.
    Raises:
        KormoError: the folder is not empty, or the name is not valid for pip and Python.
    """
    distribution = name.replace("_", "-").lower()
    package = distribution.replace("-", "_").replace(".", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*([-.][a-z0-9]+)*", distribution) or keyword.iskeyword(package):
        raise KormoError(
            where="kormo plugins new: --name",
            found=repr(name),
            why="pip and Python do not accept it as a name",
            do="use letters, digits and hyphens, a letter first",
        )
    if package == "kormo_plugins":
        raise KormoError(
            where="kormo plugins new: --name",
            found=repr(name),
            why="it is the name of this package",
            do="choose another",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise KormoError(
            where="kormo plugins new",
            found=str(folder),
            why="it already exists, and nothing is overwritten",
            do="name a folder that does not exist",
        )
    values = {"package": package, "distribution": distribution, "version": __version__}
    written = []
    try:
        for path, source in _walk(files("kormo_plugins").joinpath("plugins", "templates", "plugin")):
            target = folder / Template(path.removesuffix(".tmpl")).substitute(values)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
            written.append(str(target.relative_to(folder)))
    except BaseException:  # a full disk: the same command would find something there
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Made(distribution, package, sorted(written))


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    """The template's files with their paths."""
    entries: list[tuple[str, Traversable]] = []
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            if item.name != "__pycache__":
                entries += _walk(item, f"{prefix}{item.name}/")
        else:
            entries.append((prefix + item.name, item))
    return entries
