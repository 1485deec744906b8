"""How often a value goes up a floor of the house while a call is at work.

A value *visits* a room when a function of that room is handed it: as an argument, as the object whose method is called,
or inside of an argument that holds it whole (a plan, a closure, a partial, a tuple, at any depth). The visits of a call
are taken in the order of time; where the floor of one lies above that of the one before, the value has gone up. A value
that only goes down passes through no door twice.
"""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType

from .test_house import FLOOR, PACKAGE, room_of

DEPTH = 6


class Journey:
    """Follows values of some types through the functions of ours that are called while it is entered.

    Args:
        kinds: types of the values.
    """

    def __init__(self, *kinds: type) -> None:
        self.kinds = kinds
        self.visits: list[tuple[str, str]] = []
        """Room and function, one for each visit."""
        self._rooms: dict[CodeType, str] = {}

    @property
    def ups(self) -> list[tuple[str, str]]:
        """The visits before and after each way up."""
        return [
            (f"{a[0]}: {a[1]}", f"{b[0]}: {b[1]}")
            for a, b in pairwise(self.visits)
            if FLOOR.get(b[0], 0) > FLOOR.get(a[0], 0)
        ]

    def holds(self, value: object, depth: int = DEPTH) -> bool:
        """Whether a value is one of those, or holds one whole."""
        if isinstance(value, self.kinds):
            return True
        if depth == 0:
            return False
        return any(self.holds(part, depth - 1) for part in _parts(value))

    def _seen(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        room = self._rooms.get(code)
        if room is None:
            path = Path(code.co_filename)
            room = self._rooms[code] = room_of(path) if path.is_relative_to(PACKAGE) else ""
        if not room or code.co_name.startswith("<"):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(self.holds(frame.f_locals[name]) for name in names if name in frame.f_locals):
            self.visits.append((room, code.co_qualname))

    def __enter__(self) -> Journey:
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def _parts(value: object) -> list[object]:
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type) and type(value).__module__.startswith("kormo_plugins"):
        return [getattr(value, field.name) for field in fields(value)]
    return []


def _filled(cell: object) -> bool:
    try:
        return bool(cell.cell_contents is not cell)  # type: ignore[attr-defined]
    except ValueError:
        return False
