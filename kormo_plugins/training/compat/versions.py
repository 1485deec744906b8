"""The supported versions of Axolotl, checked first, from package metadata.

Axolotl is not imported: an unsupported version may fail on import with an unrelated error.
"""

from __future__ import annotations

import sys

from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.installed import version as version_of

SUPPORTED = ">=0.19,<0.22"
"""Versions of Axolotl, as in `pyproject.toml` and `.ci/compat`."""

INSTALL = f"pip install 'axolotl[deepspeed]{SUPPORTED}'"
"""The install command. Axolotl 0.20 and later require Python 3.12; on an older one pip selects 0.19."""

ZSTANDARD = "pip install setuptools wheel cffi && pip install --no-build-isolation zstandard==0.22.0"
"""Required before it from Python 3.13. Axolotl pins this zstandard, which has no wheel there; it must be compiled
against a current cffi instead of the one that its build requires."""


def install_line(python: tuple[int, int] = sys.version_info[:2]) -> str:
    """The command that installs a supported Axolotl on this Python."""
    return f"{ZSTANDARD} && {INSTALL}" if python >= (3, 13) else INSTALL


def installed() -> str | None:
    """Version of the installed Axolotl; None if there is none."""
    return version_of("axolotl")


def require_supported(version: str | None) -> str:
    """Returns the version if it is supported.

    Args:
        version: of `installed`.
    Raises:
        KormoError: not installed, or not supported; the message has the install command.
    """
    if version is None:
        raise KormoError(
            where="axolotl",
            found=f"not installed for {sys.executable}",
            why="a recipe is a configuration of Axolotl's, and Axolotl trains it",
            do=install_line(),
        )
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(SUPPORTED).contains(version, prereleases=True):
        raise KormoError(
            where="axolotl",
            found=f"version {version}, with Python {sys.version.split()[0]}",
            why=f"this kormo-plugins supports {SUPPORTED}: it relies on parts of Axolotl that change between versions",
            do=f"{install_line()}, or install a kormo-plugins that supports Axolotl {version}",
        )
    return version
