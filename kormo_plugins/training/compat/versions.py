"""Which Axolotl this package runs on. Asked first of all, and answered from the metadata of what is installed.

Nothing here imports Axolotl: a version that is not supported may fail on import, in words that say nothing of it.
"""

from __future__ import annotations

import sys
from importlib import metadata

from packaging.specifiers import SpecifierSet

from kormo_plugins.errors import KormoError

SUPPORTED = ">=0.19,<0.22"
"""Versions of Axolotl, as `pyproject.toml` requires them and as `.ci/compat` tries them."""

INSTALL = f"pip install 'axolotl[deepspeed]{SUPPORTED}'"
"""The line to type. Axolotl 0.20 and later want Python 3.12, so on an older one pip finds 0.19 by itself."""

ZSTANDARD = "pip install setuptools wheel cffi && pip install --no-build-isolation zstandard==0.22.0"
"""What comes before it from Python 3.13 on. Axolotl pins this zstandard, which has no wheel there; it builds, with a C
compiler, against a current cffi and not against the one that its own build asks for."""


def install_line(python: tuple[int, int] = sys.version_info[:2]) -> str:
    """What to type to have a supported Axolotl on this Python."""
    return f"{ZSTANDARD} && {INSTALL}" if python >= (3, 13) else INSTALL


def installed() -> str | None:
    """Version of the installed Axolotl; None if there is none."""
    try:
        return metadata.version("axolotl")
    except metadata.PackageNotFoundError:
        return None


def require_supported(version: str | None) -> str:
    """The version, if this package runs on it.

    Args:
        version: of `installed`.
    Raises:
        KormoError: there is none, or one that nothing was tried on; the message has the line to type.
    """
    if version is None:
        raise KormoError(
            where="axolotl",
            found=f"not installed for {sys.executable}",
            why="a recipe is a configuration of Axolotl's, and Axolotl trains it",
            do=install_line(),
        )
    if not SpecifierSet(SUPPORTED).contains(version, prereleases=True):
        raise KormoError(
            where="axolotl",
            found=f"version {version}, with Python {sys.version.split()[0]}",
            why=f"this kormo-plugins supports {SUPPORTED}: it relies on parts of Axolotl that change between versions",
            do=f"{install_line()}, or install a kormo-plugins that supports Axolotl {version}",
        )
    return version
