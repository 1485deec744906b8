"""Validates values of a recipe against a pydantic model, and turns every error into a message.

A renamed parameter works under its old name too: its model says `RENAMED = {old: new}`, the values are read under the
current names, and a warning is logged. Whatever is computed from the parameters (the identity of an artifact, a
difference between recipes) never sees the old name.
"""

from __future__ import annotations

import logging
import math
import typing
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kormo_plugins.errors import Faults, KormoError, Notice, closest, moved

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

log = logging.getLogger(__name__)
Place = tuple[int | str, ...]
"""Keys and list indices on the path to a value."""


LARGEST = 2**63
"""The largest number that a recipe may contain: more than all bytes ever stored, more than all tokens ever written."""

_FORMS = frozenset(
    (
        "bool",
        "int",
        "float",
        "str",
        "none",
        "dict",
        "list",
        "tuple",
        "constrained-int",
        "constrained-float",
        "constrained-str",
    )
)
"""What pydantic adds to the location of an error in a union."""


_NO_MAPPING = frozenset(("model_type", "dict_type"))
"""Errors that say only that a value is no mapping; if it may also be a number, the error of that form counts."""


def checked(model: Any, values: dict[str, object], where: str) -> Any:
    """`values` as an instance of the pydantic `model`.

    Args:
        where: file and key of `values`; each message starts its location with it.
    Raises:
        KormoError: every error, several as `KormoErrors`.
    """
    faults = Faults()
    values = current_names(model, values, where, faults)
    endless = {fault.where: fault for fault in _endless(values, where)}
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        for detail in _nearest(error.errors()):
            fault = _fault(model, detail, where)
            if detail["type"] == "extra_forbidden":  # whatever the value is, the key is wrong
                endless = {place: one for place, one in endless.items() if not _is_at(place, fault.where)}
            if fault.where not in endless:
                faults.add(fault)
    except KormoError as error:  # of a component that these parameters name with parameters of its own
        faults.add(moved(error, lambda place: f"{where}: {place}"))
    else:
        for key in _truths_as_numbers(values, made):
            faults.add(
                KormoError(
                    where=f"{where}.{key}",
                    found="a truth value (true, false, yes, no, on, off)",
                    why="a number is expected here, and it would be read as 1 or 0",
                    do="give a number",
                )
            )
    faults.add(*endless.values())
    faults.raise_any()
    return made


def _is_at(place: str, above: str) -> bool:
    """Whether a location is another one, or below it."""
    return place == above or place.startswith((f"{above}.", f"{above}["))


def current_names(model: object, values: Mapping[str, object], where: str, faults: Faults) -> dict[str, object]:
    """`values` under the current names of the parameters of `model`.

    An old name is logged as a warning, once per location; a parameter given under both names is an error.
    """
    renamed: Mapping[str, str] = getattr(model, "RENAMED", {})
    old = {key: renamed[key] for key in values if key in renamed}
    twice = {key for key, name in old.items() if name in values}
    for key, name in old.items():
        if key not in twice:
            _warn_of_old_name(f"{where}.{key}", name)
            continue
        faults.add(
            KormoError(
                where=f"{where}.{key}",
                found=f"{key} beside {name}",
                why=f"{key} is the former name of {name}, so one of the two would be lost",
                do=f"remove {key}",
            )
        )
    return {old.get(key, key): value for key, value in values.items() if key not in twice}


@lru_cache(maxsize=1024)
def _warn_of_old_name(where: str, name: str) -> None:
    """Logs once per location, as a recipe is checked several times in a run."""
    notice = Notice(
        where=where,
        found="the former name of a parameter",
        why=f"it is now called {name}; the old name still works",
        do=f"write {name}",
    )
    log.warning("%s", notice.render())


def _nearest(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Pydantic's errors; of a union only the first, as the others say why the value has no other form."""
    unions: dict[Place, Place] = {}
    kept = []
    for detail in details:
        place = _place(detail["loc"])
        if unions.setdefault(place, detail["loc"]) == detail["loc"]:
            kept.append(detail)
    places = {_place(detail["loc"]) for detail in kept}
    return [detail for detail in kept if not _follows(detail["type"], _place(detail["loc"]), places)]


def _follows(kind: str, place: Place, places: Set[Place]) -> bool:
    """Whether an error only follows from another one: the value is no mapping, but may be a number and has an error as
    one; or there are too few elements because the given ones were refused."""
    if kind in _NO_MAPPING:
        return place[:-1] in places
    return kind == "too_short" and any(len(other) > len(place) and other[: len(place)] == place for other in places)


def _place(way: Place) -> Place:
    """The location of an error, without what pydantic adds to tell the members of a union apart (`float`,
    `dict[str,float]`, `function-wrap[…]`)."""
    return tuple(part for part in way if isinstance(part, int) or (part not in _FORMS and "[" not in part))


_KINDS = {
    "tuple_type": "a list is expected here",
    "list_type": "a list is expected here",
    "dict_type": "a mapping is expected here",
    "string_type": "text is expected here",
    "bool_type": "true or false is expected here",
    "bool_parsing": "true or false is expected here",
    "int_type": "a whole number is expected here",
    "int_parsing": "a whole number is expected here",
    "int_from_float": "a whole number is expected here",
    "float_type": "a number is expected here",
    "float_parsing": "a number is expected here",
    "path_type": "it should be the name of a file or folder",
    "model_type": "a mapping of keys to values is expected here",
    "model_attributes_type": "a mapping of keys to values is expected here",
    "is_instance_of": "it is a value of another kind",
}
"""Errors of type, by pydantic's name for them, in words that need no Python."""

_INSTEAD = {
    "greater_than": "give a larger number",
    "greater_than_equal": "give a larger number",
    "less_than": "give a smaller number",
    "less_than_equal": "give a smaller number",
    "literal_error": "give one of the allowed values",
    "enum": "give one of the allowed values",
    "too_short": "give more elements",
    "too_long": "give fewer elements",
    "value_error": "give another value",
}
"""What to do about errors other than those of type, by pydantic's name for them."""


def reason(detail: Mapping[str, Any]) -> str:
    """Why a value is refused, of one of pydantic's errors: its own words, where they name no class."""
    return _KINDS.get(detail.get("type", "")) or str(detail["msg"]).removeprefix("Value error, ")


def _fault(model: type[BaseModel], detail: ErrorDetails, where: str) -> KormoError:
    """One of pydantic's errors as a message."""
    way = _place(detail["loc"])
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in way).removeprefix(".")
    full = f"{where}.{key}" if key else where
    if detail["type"] == "extra_forbidden":
        *before, name = (str(part) for part in way)
        known = _fields_at(model, before)
        return KormoError(
            where=full,
            found=f"the key {name!r}",
            why="this key is unknown",
            do=closest(name, known, f"The known keys are: {', '.join(known)}"),
        )
    if detail["type"] == "missing":
        return KormoError(where=full, found="nothing", why="a value is required", do=f"set {key}")
    kind, given = detail["type"], detail["input"]
    value_text = repr(given)
    why, do = reason(detail), "give a value of that kind"
    if kind in ("tuple_type", "list_type") and isinstance(given, str | int):
        do = f"write [{given}]"
    elif kind == "model_type" and detail["ctx"]["class_name"] == "Choice":
        why = "a component is chosen by name, with its parameters beside it"
        do = f"write {{name: {given}}}" if isinstance(given, str) else "write {name: …}"
    return KormoError(
        where=full,
        found=value_text if len(value_text) <= 200 else value_text[:197] + "...",
        why=why,
        do=_INSTEAD.get(kind, do),
    )


def _endless(given: object, where: str) -> Iterator[KormoError]:
    """An error for each number that is infinite, NaN, or absurdly large."""
    if (isinstance(given, float) and not math.isfinite(given)) or (
        isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) > LARGEST
    ):
        yield KormoError(
            where=where,
            found=str(given)[:80],
            why="nothing can be counted or computed with it",
            do="give a finite number",
        )
    elif isinstance(given, Mapping):
        for name, value in given.items():
            yield from _endless(value, f"{where}.{name}")
    elif isinstance(given, (list, tuple)):
        for place, value in enumerate(given):
            yield from _endless(value, f"{where}[{place}]")


def _truths_as_numbers(given: object, made: object, key: str = "") -> Iterator[str]:
    """Keys whose boolean pydantic has turned into a number."""
    if isinstance(given, bool):
        if isinstance(made, (int, float)) and not isinstance(made, bool):
            yield key
    elif isinstance(given, Mapping):
        inside = made if isinstance(made, Mapping) else getattr(made, "__dict__", {})
        for name in given.keys() & inside.keys():
            yield from _truths_as_numbers(given[name], inside[name], f"{key}.{name}" if key else str(name))
    elif isinstance(given, (list, tuple)) and isinstance(made, (list, tuple)) and len(given) == len(made):
        for place, (one, other) in enumerate(zip(given, made, strict=True)):
            yield from _truths_as_numbers(one, other, f"{key}[{place}]")


def _fields_at(model: type[BaseModel], way: Sequence[str]) -> list[str]:
    """The fields of the model that a path leads to from `model`; list indices and keys of mappings are skipped."""
    for name in way:
        if name in model.model_fields:
            model = next(models_in(model.model_fields[name].annotation), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def models_in(hint: object) -> Iterator[type[BaseModel]]:
    """The pydantic models inside a type hint."""
    if isinstance(hint, type) and hasattr(hint, "model_fields"):
        yield hint
    for argument in typing.get_args(hint):
        yield from models_in(argument)
