"""JSON as people write it: one value a line, an array of objects, objects over many lines, NaN and Infinity.

`loads` gives what Python's `json` gives, at the speed of orjson wherever orjson gives the same: it is asked first, and
Python's parser when orjson refuses (NaN, lone surrogates, infinite numbers), when a number may have lost digits
(integers beyond 64 bits), and when a key may be there twice. `values` finds where the values of a stream end without
parsing them, so that a broken one costs only itself and an array of any size is read in little memory.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Literal

from kormo_plugins.corpus.readers.file_formats.streams import Damaged

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Layout = Literal["lines", "values"]
HEAD = 1 << 16
"""Bytes from which the layout of a file is told."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?', re.DOTALL)
"""A string of a JSON value, and the colon behind it if it is a key."""
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*(["\n])?|[\[\]{},]', re.DOTALL)
"""A string (of which the end is missing where the group is empty), a bracket or a comma. A line end ends a string: JSON
has none in strings, and one missing quotation mark must not turn the rest of the file inside out."""
_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_SPACE = b" \t\r\n"
NOT_UTF8 = "not UTF-8"
_CLOSES = {b"[": b"]", b"{": b"}"}


class Repeated(dict[str, Json]):
    """An object in which keys were written twice with different values; the last one is kept, as Python does."""

    keys_twice: tuple[str, ...] = ()


class NotJson(Exception):
    """Its text is the reason of a reject."""


class Strange(Exception):
    """Internal: orjson's answer may differ from Python's."""


def loads(line: bytes) -> tuple[Json, bool]:
    """The value of a line, and whether it has to be looked at closely: only then may it hold `Repeated` objects, NaN,
    infinite numbers or lone surrogates.

    Raises:
        NotJson: it is none.
    """
    import orjson

    try:
        value = orjson.loads(line)
        count = _count(value)
        # A key ends in a quotation mark and a colon: with no more of these than keys, none is there twice.
        if count == len(_KEY_END.findall(line)) or count == sum(map(bool, _STRING.findall(line))):
            return value, False
    except (orjson.JSONDecodeError, Strange, RecursionError):
        pass
    return _by_python(line), True


def _count(value: Json) -> int:
    """Number of keys in a value.

    Raises:
        Strange: a float so large that it may have been an integer.
    """
    if isinstance(value, float) and abs(value) >= 2.0**63:
        raise Strange
    if not isinstance(value, dict | list):
        return 0
    number = len(value) if isinstance(value, dict) else 0
    for item in value.values() if isinstance(value, dict) else value:
        if type(item) is not str:
            number += _count(item)
    return number


def _by_python(line: bytes) -> Json:
    try:
        value: Json = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise NotJson(NOT_UTF8) from None
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError:
        raise NotJson("broken line") from None
    return value


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = Repeated(found)
    counts = Counter(key for key, _ in pairs)
    repeated.keys_twice = tuple({key: None for key, value in pairs if counts[key] > 1 and value != found[key]})
    return repeated


def repeated_in(value: Json) -> str | None:
    """A key that was written twice somewhere in a value, if there is one."""
    if isinstance(value, Repeated) and value.keys_twice:
        return value.keys_twice[0]
    parts: Iterable[Json] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((key for key in map(repeated_in, parts) if key is not None), None)


def layout(head: bytes) -> Layout:
    """How the values of a file are divided, by its first `HEAD` bytes in UTF-8: one a line, or by their brackets.

    What is given beyond these bytes is left out, so that the answer does not depend on how the file was read.
    """
    head = head[:HEAD]
    begun = head.lstrip(_SPACE)
    line, end, rest = begun.partition(b"\n")
    if begun[:1] not in (b"[", b"{"):
        return "lines"
    alone = begun[:1] == b"[" and not rest.strip(_SPACE)
    try:
        loads(line)
    except NotJson:
        depth = _depth(line, ended=bool(end) or len(head) < HEAD)
        return "values" if depth > 0 or (depth == 0 and alone) else "lines"  # one bad value of an array costs itself
    return "values" if alone else "lines"


def _depth(line: bytes, ended: bool) -> int:
    """How many brackets are open at the end of a line: more than 0 at the beginning of a longer value, less for a value
    cut short, which ends within a string."""
    if not ended:  # a line longer than what was seen: an array of everything, or one long object
        return 1 if line[:1] == b"[" else -1
    depth = 0
    for match in _TOKEN.finditer(line):
        if match[0][:1] == b'"' and match[1] is None:
            return -1
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(match[0], 0)
    return depth


class _Scan:
    """Where in a stream the value that is being read begins, and which of its brackets are open."""

    def __init__(self) -> None:
        self.buffer = b""
        self.at = 0
        """How far the buffer was looked at."""
        self.start = -1
        """Of the value, in the buffer; -1 between values."""
        self.open: list[bytes] = []
        """The ends that the value's brackets wait for."""
        self.in_array = False
        """Whether a top-level array is open, whose elements are the values."""
        self._waiting: list[bytes] = []

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[bytes]:
        """The values that end in the stream up to this piece."""
        self._waiting.append(piece)
        kept = self.start if self.start >= 0 else self.at
        if sum(map(len, self._waiting)) * 2 < len(self.buffer) - kept and not last:
            return  # a long value: look at it again when it is half as long again
        self.buffer = b"".join([self.buffer[kept:], *self._waiting])
        self._waiting, self.at, self.start = [], self.at - kept, min(self.start, 0)
        yield from self._scan()

    def _scan(self) -> Iterator[bytes]:
        for match in _TOKEN.finditer(self.buffer, self.at):
            if match[0][:1] == b'"' and match[1] is None:  # its end is not there yet
                if self.start < 0:
                    self._begin(match.start())
                return
            if self.open:
                yield from self._inside(match[0], match.start(), match.end())
            else:
                yield from self._between(match[0], match.start(), match.end())
        if self.start < 0:
            self._begin(len(self.buffer))

    def _begin(self, end: int) -> None:
        """Whatever stands between the last value and `end`, and is no space, begins a value (or is none)."""
        gap = self.buffer[self.at : end]
        self.start = self.at + len(gap) - len(gap.lstrip(_SPACE)) if gap.strip(_SPACE) else -1
        self.at = end if self.start < 0 else self.at

    def _inside(self, token: bytes, begin: int, end: int) -> Iterator[bytes]:
        self.at = end
        if token in _CLOSES:
            self.open.append(_CLOSES[token])
        elif token == self.open[-1]:
            self.open.pop()
            if not self.open:
                yield self.buffer[self.start : end]
                self.start = -1
        elif token in (b"]", b"}"):  # another bracket's end: this value never ended
            yield from divided(self.buffer[self.start : begin])
            self.start, self.open = -1, []
            yield from self._between(token, begin, end)

    def _between(self, token: bytes, begin: int, end: int) -> Iterator[bytes]:
        if self.start < 0:
            self._begin(begin)
        if token[:1] == b'"':
            self.start, self.at = begin if self.start < 0 else self.start, end
            return
        if self.start >= 0:
            yield self.buffer[self.start : begin].rstrip(_SPACE)
            self.start = -1
        self.at = end
        if token == b"{" or (token == b"[" and self.in_array):
            self.start, self.open = begin, [_CLOSES[token]]
        elif token == b"[":
            self.in_array = True
        elif token == b"]" and self.in_array:
            self.in_array = False
        elif token != b",":
            yield token

    def rest(self) -> bytes:
        """What is left of the stream when it has ended."""
        return self.buffer[self.start if self.start >= 0 else self.at :].strip(_SPACE)


def values(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The values of a stream in UTF-8, each as its bytes; the elements of a top-level array count as values.

    A value that does not end (a bracket is missing, or the file was cut) ends where the next line of its own
    indentation begins an object. What stands where no value can stand is given as a value, and will not parse.

    Raises:
        Damaged: as `pieces` does; or the stream ended within an array, or a value is longer than `limit` bytes.
    """
    scan = _Scan()
    for piece in pieces:
        yield from scan.feed(piece)
        if scan.start >= 0 and len(scan.buffer) - scan.start > limit:
            raise Damaged(f"a value of more than {limit:,} bytes (max_row_bytes)")
    yield from scan.feed(b"", last=True)
    if rest := scan.rest():
        yield from divided(rest)
    if scan.in_array:
        raise Damaged("the array does not end")


def divided(rest: bytes) -> Iterator[bytes]:
    """A value without an end, cut where objects begin at the smallest indentation."""
    begins = list(re.finditer(rb"\n([ \t]*)(?=\{)", rest))
    least = min((len(match[1]) for match in begins), default=0)
    cuts = [0, *(match.end() for match in begins if len(match[1]) == least), len(rest)]
    for begin, end in pairwise(cuts):
        yield rest[begin:end].rstrip(_SPACE + b",")
