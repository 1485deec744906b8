"""Decides what to do with a stage from the contents of its folder.

    empty or missing                                  train
    a finished model of the same stage                skip
    the same stage, not finished                      resume: `axolotl train` continues from its last complete
    checkpoint anything else                                     move aside under another name, then train

"The same stage" is decided by the identity in `run.json` (`runs/identity.py`), which every training writes, whether
started by `axolotl train` or by `kormo run`. Nothing is ever deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kormo_plugins.pipeline.artifacts.initial_model import weights_hash
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.runs.finish import plain_family
from kormo_plugins.runs.identity import changed_keys, recorded
from kormo_plugins.store.atomic import move
from kormo_plugins.store.complete import MARKER, fault
from kormo_plugins.store.lease import RUN, at_work, refuse_live
from kormo_plugins.training.checkpoints.complete import checkpoints

Action = Literal["skip", "train", "resume", "replace"]


@dataclass(frozen=True)
class Verdict:
    """What to do with a stage, and why."""

    action: Action
    why: str


def verdict(recipe: Recipe, now: dict[str, object]) -> Verdict:
    """Decides what to do with the output folder of a recipe.

    Args:
        now: the recipe's identity (`stage_identity.stage_identity`).
    """
    out = recipe.output_dir
    if not holds_a_run(out):
        return Verdict("train", "not trained yet")
    before = recorded(out)
    if not before:
        return Verdict("replace", "the folder does not record what it was trained from")
    if before.get("hash") != now["hash"]:
        return Verdict("replace", "; ".join(_differences(recipe, before, now)))
    reason = unfinished(recipe)
    if reason is None:
        return Verdict("skip", "nothing that it depends on has changed")
    return Verdict("resume", f"{reason}; {reached(out)}")


def holds_a_run(out: Path) -> bool:
    """Whether a training has begun in the folder."""
    return (out / "run.json").is_file() or (out / MARKER).is_file() or bool(checkpoints(out) if out.is_dir() else ())


def unfinished(recipe: Recipe) -> str | None:
    """Why the stage's folder does not hold a finished model with its export; None if it does."""
    out = recipe.output_dir
    if holder := at_work(out / RUN):
        return f"{holder} on it"
    reason = fault(out, hashes=False)
    if reason is not None:
        return "it was stopped before it finished" if not (out / MARKER).is_file() else reason
    exported = recipe.block.export and not recipe.get("adapter") and plain_family(recipe, out) is not None
    if exported and not (out / "export" / "config.json").is_file():
        return "its export/ is missing"
    return None


def set_aside(out: Path) -> Path:
    """Renames the folder, so that a new result can take its name; returns where it is now.

    Raises:
        KormoError: a run is at work in it.
    """
    refuse_live(out / RUN, f"a run in {out}")
    number = 1
    while (aside := out.with_name(f"{out.name}.before-{number}")).exists():
        number += 1
    move(out, aside)
    return aside


def weights_of(out: Path) -> str | None:
    """Identity of the finished model in a folder; None if there is none."""
    return weights_hash(out) if (out / MARKER).is_file() else None


def reached(out: Path) -> str:
    """The checkpoint from which an unfinished stage will resume."""
    whole = [folder for folder in checkpoints(out) if (folder / MARKER).is_file()]
    return f"resumes from {whole[-1].name}" if whole else "starts over, as there is no whole checkpoint yet"


def _differences(recipe: Recipe, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Describes how the stage differs from the run in the folder."""
    reasons: list[str] = []
    if before.get("recipe") != now["recipe"]:
        keys = changed_keys(recipe.identity_plan(), recipe.output_dir)
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        reasons.append("the recipe changed" + (f" ({', '.join(keys[:3])}{more})" if keys else ""))
    for part in ("documents", "files"):
        old, new = before.get(part) or {}, now[part]
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        if names and not (part == "documents" and reasons and set(old) != set(new)):
            reasons.append(f"{part} changed ({', '.join(names[:3])})")
    if before.get("before") != now["before"]:
        reasons.append("the model that it starts from changed")
    return reasons or ["something that it depends on changed"]
