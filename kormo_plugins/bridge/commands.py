"""Detects which Axolotl command this process runs, and refuses those that do not work with our recipes.

Some would fail with an unhelpful message, or not do what their name says: `axolotl evaluate` does not ask plugins for
their documents, `vllm-serve` serves the model from before the training, and `axolotl train --sweep` copies each variant
of a recipe into a temporary folder, where relative paths lead nowhere.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.projections import JobPlan


def command() -> str:
    """The command's name, whether it was started directly or by a launcher (`… -m axolotl.cli.evaluate`)."""
    program = Path(sys.argv[0])
    if program.suffix == ".py" and program.parent.name == "cli":
        return program.stem
    return sys.argv[1] if len(sys.argv) > 1 else ""


def refuse(plan: JobPlan) -> None:
    """Refuses a command that would not do what its name says with a recipe of ours.

    Raises:
        KormoError: `evaluate`, where the documents are ours; `merge-lora` without an adapter; `vllm-serve`.
    """
    name, out, path = command().replace("_", "-"), plan.run.output_dir, plan.run.path
    if name == "evaluate" and plan.build.corpora is not None:
        raise KormoError(
            where=f"axolotl evaluate {path}",
            found="kormo.data",
            why="Axolotl does not ask plugins for the data of this command",
            do=f"run `kormo eval {out}`; for held-out loss set kormo.monitor, which measures it during training",
        )
    if name == "merge-lora" and not plan.adapter:
        raise KormoError(
            where=f"axolotl merge-lora {path}",
            found="no adapter",
            why="this recipe trains all weights, so there is nothing to merge",
            do=f"the model is in {out} and, as a plain Llama, in {out / 'export'}; other layouts: `kormo export`",
        )
    if name == "vllm-serve":
        raise KormoError(
            where=f"axolotl vllm-serve {path}",
            found="a recipe of KORMo's",
            why="Axolotl would serve the model that this recipe starts from, not the one that it produces",
            do=f"run `vllm serve {out / 'export'}`, or talk to it with `kormo chat {out}`",
        )


def of_a_sweep(error: KormoError, path: Path) -> KormoError:
    """The error of a recipe; for a copy made by `--sweep`, with the cause and an alternative."""
    copied = path.parent == Path(tempfile.gettempdir()) and path.name.startswith(tempfile.gettempprefix())
    if "--sweep" not in sys.argv and not copied:
        return error
    return KormoError(
        where=error.where,
        found=error.found,
        why=f"{error.why}; Axolotl's --sweep copies the recipe into {path.parent}",
        do="compare variants with `kormo ablate`, or run `kormo train RECIPE key=value` for each",
    )
