"""Which of Axolotl's commands this process is, and what a recipe of ours cannot do with it.

Two of them would fail in words that help nobody: `axolotl evaluate` never asks a plugin for its documents, and
`axolotl train --sweep` copies each variant of a recipe into a temporary folder, where relative paths lead nowhere.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.load import Recipe


def command() -> str:
    """The command's name, whether it is run by itself or by a launcher (`… -m axolotl.cli.evaluate`)."""
    program = Path(sys.argv[0])
    if program.suffix == ".py" and program.parent.name == "cli":
        return program.stem
    return sys.argv[1] if len(sys.argv) > 1 else ""


def refuse(recipe: Recipe) -> None:
    """Ends a command that would not see the recipe's documents.

    Raises:
        KormoError: it is `evaluate`, and the documents are ours.
    """
    if command() == "evaluate" and recipe.data is not None:
        raise KormoError(
            where=f"axolotl evaluate {recipe.path}",
            found="kormo.data",
            why="Axolotl asks no plugin for the data of this command",
            do=f"run `kormo eval {recipe.output_dir}`; held-out loss: kormo.monitor, while it trains",
        )


def of_a_sweep(error: KormoError, path: Path) -> KormoError:
    """The error of a recipe; of a copy that `--sweep` made, with the reason and another way."""
    copied = path.parent == Path(tempfile.gettempdir()) and path.name.startswith(tempfile.gettempprefix())
    if "--sweep" not in sys.argv and not copied:
        return error
    return KormoError(
        where=error.where,
        found=error.found,
        why=f"{error.why}; Axolotl's --sweep copies the recipe into {path.parent}",
        do="compare variants with `kormo ablate`, or run `kormo train RECIPE key=value` for each",
    )
