"""Whether an answer follows its instructions: strict, as written, and loose, with tolerated variants.

The loose check also tries the answer without its first line, without its last, without both, and each of these without
asterisks, which tolerates a greeting or emphasis (Zhou et al., arXiv 2311.07911, section 2.2). An empty answer follows
no instruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kormo_plugins.errors import KormoError, closest, in_words
from kormo_plugins.evaluation.instructions import english, korean


def keeps(name: str, answer: str, arguments: Mapping[str, object]) -> bool:
    """Whether an answer satisfies one constraint.

    Args:
        name: of a constraint of IFEval or of ours.
        arguments: of the constraint; None values are ignored.
    Raises:
        KormoError: unknown constraint, or an argument is missing or of the wrong type.
    """
    if not answer.strip():
        return False
    check = english.CHECKS.get(name) or (korean.KINDS[name].check if name in korean.KINDS else None)
    if check is None:
        names = [*english.CHECKS, *korean.KINDS]
        raise KormoError(
            where="instruction_id_list",
            found=repr(name),
            why="there is no constraint of that name",
            do=closest(name, names) or "copy the data set again, or name one that docs/evaluation.md lists",
        )
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        return bool(check(answer, given))
    except (KeyError, TypeError, ValueError) as error:
        raise KormoError(
            where=f"kwargs of {name}",
            found=str(dict(given)),
            why=f"it cannot be checked with these ({in_words(error)})",
            do="copy the data set again",
        ) from None


def readings(answer: str) -> list[str]:
    """The answer and its variants for the loose check."""
    rows = answer.split("\n")
    parts = [answer, "\n".join(rows[1:]), "\n".join(rows[:-1]), "\n".join(rows[1:-1])]
    return [reading for part in (one.strip() for one in parts) for reading in (part, part.replace("*", ""))]


def follow(
    names: Sequence[str], arguments: Sequence[Mapping[str, object]], answer: str
) -> tuple[list[bool], list[bool]]:
    """For each constraint, whether the answer satisfies it strictly, and loosely."""
    strict = [keeps(name, answer, values) for name, values in zip(names, arguments, strict=True)]
    loose = [
        kept or any(keeps(name, reading, values) for reading in readings(answer))
        for kept, name, values in zip(strict, names, arguments, strict=True)
    ]
    return strict, loose
