"""What exceptions and kinds of values are called in messages: no name of a Python class."""

from __future__ import annotations

import json
import re


def exception_in_words(error: BaseException) -> str:
    """What an exception says, for `found`: no name of a Python class, in one line of at most 240 characters.

    The system's own words for a file that cannot be read; place and reason for text that is no JSON or no UTF-8; the
    name that a mapping lacks. Of other exceptions the message, and where there is none, the words of the class's name
    (`ReadTimeout`: "read timeout").
    """
    message = " ".join(str(error).split())
    match error:
        case json.JSONDecodeError():
            message = f"invalid JSON at line {error.lineno}, column {error.colno}: {error.msg.lower()}"
        case UnicodeDecodeError() if error.start < len(error.object):
            byte = error.object[error.start]
            message = f"the byte 0x{byte:02x} at position {error.start:,} is not {error.encoding.upper()} text"
        case UnicodeEncodeError() if error.start < len(error.object):
            message = f"the character U+{ord(error.object[error.start]):04X} at position {error.start:,} is not text"
        case OSError() if error.strerror:
            message = error.strerror
        case ModuleNotFoundError() if error.name:
            message = f"the module {error.name} is not installed"
        case KeyError() if error.args:
            message = f"the key {error.args[0]!r} is missing"
        case IndexError() | StopIteration():
            message = "fewer elements than needed"
        case RecursionError():
            message = "it is nested too deeply"
        case MemoryError():
            message = "there is not enough memory"
        case SystemExit():
            message = f"the program exits with status {error.code}"
        case TypeError() | AttributeError() if re.search(_OF_PYTHON, message):
            message = "a value of the wrong type"
    return shortened(message or _words(type(error)))


_OF_PYTHON = r"'(NoneType|bool|int|float|str|bytes|list|tuple|dict|set)'|\bindices must be\b|\bunhashable\b"
"""What the interpreter says of a value that is not what the code expects; it names types, and no key."""


def value_in_words(value: object) -> str:
    """The kind of a value out of a JSON or YAML file, as a user calls it: "a list", "text", "nothing"."""
    return type_in_words(type(value))


def type_in_words(kind: type) -> str:
    """A type as a user calls its values."""
    return _KINDS.get(kind) or f"a {_words(kind)}"


_KINDS = {
    type(None): "nothing", bool: "true or false", int: "a whole number", float: "a number", str: "text",
    bytes: "bytes", list: "a list", tuple: "a list", dict: "a mapping",
}  # fmt: skip


def _words(kind: type) -> str:
    """`read timeout` for `ReadTimeout`, `connection` for `ConnectionError`."""
    name = re.sub(r"(?<=[a-z])(Error|Exception)$", "", kind.__name__)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()


def shortened(text: str, most: int = 240) -> str:
    """The text, cut to `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
