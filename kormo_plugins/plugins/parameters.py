"""What a recipe gives against the pydantic model that says what may be given; the first fault as one message."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kormo_plugins.errors import KormoError, closest


def checked(model: Any, values: dict[str, Any], where: str) -> Any:
    """`values` as an instance of the pydantic `model`, its first fault told as a KormoError."""
    from pydantic import ValidationError

    try:
        made = model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        full = f"{where}.{key}" if key else where
        if first["type"] == "extra_forbidden":
            *way, name = (str(part) for part in first["loc"])
            known = _fields_at(model, way)
            raise KormoError(
                where=full,
                found=f"the key {name!r}",
                why="it is not known here",
                do=closest(name, known, f"The known keys are: {', '.join(known)}"),
            ) from None
        if first["type"] == "missing":
            raise KormoError(where=full, found="nothing", why="a value is required", do=f"set {key}") from None
        raise KormoError(
            where=full, found=repr(first["input"]), why=first["msg"], do="give a value of that kind"
        ) from None
    for key in _truths_as_numbers(values, made):
        raise KormoError(
            where=f"{where}.{key}",
            found="a truth value (true, false, yes, no, on, off)",
            why="a number belongs here, and it would be taken for 1 or 0",
            do="give a number",
        )
    return made


def _truths_as_numbers(given: Any, made: Any, key: str = "") -> Iterator[str]:
    """Keys with a truth value of which pydantic has made a number."""
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


def _fields_at(model: Any, way: Sequence[str]) -> list[str]:
    """The fields of the model that keys lead into from `model`; list indices and keys of mappings lead nowhere else."""
    for name in way:
        if name in model.model_fields:
            model = next(models_in(model.model_fields[name].annotation), model)
    return list(model.model_fields)


def models_in(hint: Any) -> Iterator[Any]:
    """The pydantic models inside a type hint."""
    if hasattr(hint, "model_fields"):
        yield hint
    for argument in typing.get_args(hint):
        yield from models_in(argument)
