"""JSON files in any common layout: one value per line, an array of objects, multi-line objects, NaN and Infinity.

`loads` returns what Python's `json` returns, at orjson's speed wherever the results are equal. orjson is tried first;
Python's parser is used if orjson refuses (NaN, lone surrogates, infinite numbers), if a number may have lost digits
(integers beyond 64 bits), or if a key may be repeated. `values` finds where the values of a stream end without parsing
them, so that a broken value affects only itself and arrays of any size are read in bounded memory.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Literal

import orjson

from kormo_plugins.corpus.readers.file_formats.streams import Damaged

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Layout = Literal["lines", "values"]
HEAD = 1 << 16
"""Bytes from which the layout of a file is determined."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?', re.DOTALL)
"""A JSON string, and the colon after it if it is a key."""
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*(["\n])?|[\[\]{},]', re.DOTALL)
"""A string (unterminated if the group is empty), a bracket or a comma. A line end terminates a string: JSON strings
contain none, and one missing quotation mark must not affect the rest of the file."""
_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_SPACE = b" \t\r\n"
NOT_UTF8 = "not UTF-8"
_CLOSES = {b"[": b"]", b"{": b"}"}


class Repeated(dict[str, Json]):
    """An object with repeated keys of different values; the last value is kept, as in Python's `json`."""

    keys_twice: tuple[str, ...] = ()


class NotJson(Exception):
    """The message is the reason of a reject."""


class Strange(Exception):
    """Internal: orjson's result may differ from Python's."""


def loads(line: bytes) -> tuple[Json, bool]:
    """Parses a line, and returns whether the value needs closer checks: only then can it contain `Repeated` objects,
    NaN, infinite numbers or lone surrogates.

    Raises:
        NotJson: the line is not JSON.
    """
    try:
        value = orjson.loads(line)
        count = _count(value)
        # A key ends with a quotation mark and a colon: if there are no more of these than keys, no key is repeated.
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
    mapping = dict(pairs)
    if len(mapping) == len(pairs):
        return mapping
    repeated = Repeated(mapping)
    counts = Counter(key for key, _ in pairs)
    repeated.keys_twice = tuple({key: None for key, value in pairs if counts[key] > 1 and value != mapping[key]})
    return repeated


def repeated_in(value: Json) -> str | None:
    """A key that is repeated anywhere in a value, or None."""
    if isinstance(value, Repeated) and value.keys_twice:
        return value.keys_twice[0]
    parts: Iterable[Json] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((key for key in map(repeated_in, parts) if key is not None), None)


def layout(head: bytes) -> Layout:
    """How the values of a file are separated, from its first `HEAD` bytes in UTF-8: one per line, or by brackets.

    Input beyond these bytes is ignored, so that the answer does not depend on how the file was read.
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
        return "values" if depth > 0 or (depth == 0 and alone) else "lines"  # limits damage to one value
    return "values" if alone else "lines"


def _depth(line: bytes, ended: bool) -> int:
    """Number of brackets open at the end of a line: positive at the start of a multi-line value, negative for a value
    that was truncated inside a string."""
    if not ended:  # longer than the head: one array of everything, or one long object
        return 1 if line[:1] == b"[" else -1
    depth = 0
    for match in _TOKEN.finditer(line):
        if match[0][:1] == b'"' and match[1] is None:
            return -1
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(match[0], 0)
    return depth


class _Scan:
    """Where in a stream the current value begins, and which of its brackets are open."""

    def __init__(self) -> None:
        self.buffer = b""
        self.at = 0
        """How far the buffer has been scanned."""
        self.start = -1
        """Start of the value in the buffer; -1 between values."""
        self.open: list[bytes] = []
        """The closing brackets that the value still needs."""
        self.in_array = False
        """Whether a top-level array, whose elements are the values, is open."""
        self._waiting: list[bytes] = []

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[bytes]:
        """The values that are completed by this piece."""
        self._waiting.append(piece)
        kept = self.start if self.start >= 0 else self.at
        if sum(map(len, self._waiting)) * 2 < len(self.buffer) - kept and not last:
            return  # a long value: scan again when the buffer has grown by half
        self.buffer = b"".join([self.buffer[kept:], *self._waiting])
        self._waiting, self.at, self.start = [], self.at - kept, min(self.start, 0)
        yield from self._scan()

    def _scan(self) -> Iterator[bytes]:
        for match in _TOKEN.finditer(self.buffer, self.at):
            if match[0][:1] == b'"' and match[1] is None:  # unterminated so far
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
        """Treats any non-space text between the last value and `end` as the beginning of a value, valid or not."""
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
        elif token in (b"]", b"}"):  # closes a different bracket: this value was never closed
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
        """The remainder of the stream after its end."""
        return self.buffer[self.start if self.start >= 0 else self.at :].strip(_SPACE)


def values(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Splits a UTF-8 stream into values, as bytes; elements of a top-level array count as values.

    An unterminated value (missing bracket, truncated file) ends where the next line at its own indentation begins an
    object. Text in a position where no value is allowed is yielded as a value and fails to parse.

    Raises:
        Damaged: raised by `pieces`; or the stream ended within an array, or a value is longer than `limit` bytes.
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
    """Splits an unterminated value where objects begin at the smallest indentation."""
    begins = list(re.finditer(rb"\n([ \t]*)(?=\{)", rest))
    least = min((len(match[1]) for match in begins), default=0)
    cuts = [0, *(match.end() for match in begins if len(match[1]) == least), len(rest)]
    for begin, end in pairwise(cuts):
        yield rest[begin:end].rstrip(_SPACE + b",")
