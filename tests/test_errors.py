"""A message holds no secret and no control character; what the system says is told in four parts."""

from __future__ import annotations

import ast
import datetime
import errno
import json
import re
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kormo_plugins.errors import (
    BLANK,
    KormoError,
    disk_error,
    disk_error_in,
    in_words,
    printable,
    redact,
    size,
    system_error,
    type_in_words,
    value_in_words,
    writing,
)

SECRETS = [
    ("https://user:pa55word@host/v1", "pa55word"),
    ("s3://AKID:s3cret@bucket/key", "s3cret"),
    ("https://hf_0123456789abcdefghijABCDEFGHIJ@huggingface.co/x", "hf_0123"),
    ("https://h/v1?api_key=abc123&x=1", "abc123"),
    ("https://h/?a=1&access_token=abc123", "abc123"),
    ("https://h/?X-Amz-Signature=abc123&b=2", "abc123"),
    ("https://h/x?sig=abc123%3D", "abc123"),
    ("https://h/x?password=abc123#f", "abc123"),
    ("https://h/x?token=abc123", "abc123"),
    ("Authorization: Bearer abcdef0123456789", "abcdef01"),
    ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcj"),
    ("HF_TOKEN is hf_abcdefghijklmnopqrstuvwxyz", "hf_abcdef"),
    ("key sk-proj-abcdefghijklmnop1234", "sk-proj"),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abc"),
    ("AKIAABCDEFGHIJKLMNOP", "AKIAABC"),
    ("glpat-abcdefghij0123456789", "glpat-abc"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_in_no_message(text: str, secret: str) -> None:
    assert secret not in redact(text) and BLANK in redact(text)
    assert redact(redact(text)) == redact(text)
    error = KormoError(where=text, found=text, why=text, do=text)
    assert secret not in error.render() + str(error) + error.where


@pytest.mark.parametrize(
    "text",
    ["https://host/path?page=2&keyword=x", "me@example.org", "kormo.tokenizer.train", "tokens=5", "s3://bucket/a@b/c",
     "a key: value", "basic rules", "sk-learn", "monkey=3", "/data/user@host/x", "http://127.0.0.1:8000/v1"],
)  # fmt: skip
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "a\rb", "\x07", "\u202etxt.exe", "\u2066x", "\x9b1m", "\x00", "\ud800"]
)
def test_controls_are_shown_and_do_nothing(text: str) -> None:
    assert printable(text).isprintable()
    assert KormoError(where=text, found="", why="", do="").render().replace("\n", "").isprintable()


def test_ordinary_text_is_printed_as_it_is() -> None:
    assert printable("한국어 tabs\tand\nlines — ok") == "한국어 tabs\tand\nlines — ok"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "full"), "no space left"), (OSError("4096 requested and 1024 written"), "no space left"),
        (OSError(errno.EMFILE, "too many", "f"), "too many"), (OSError(errno.EIO, "I/O error", "f"), "I/O error"),
        (OSError(errno.EACCES, "Permission denied", "f"), "Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "f"), "File name too long"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service"), (OSError("odd"), "odd"),
        (FileNotFoundError(errno.ENOENT, "No such file", "f"), "No such file"),
    ],
)  # fmt: skip
def test_what_the_system_says_is_a_message(error: OSError, told: str) -> None:
    named = system_error(error, "kormo data build")
    assert told in named.found and named.why and named.do


def test_an_error_that_we_do_not_know_comes_back(tmp_path: Path) -> None:
    unknown = OSError(errno.ENOENT, "No such file")
    assert disk_error(unknown, tmp_path / "deep" / "not there") is unknown
    assert isinstance(disk_error(OSError(errno.ENOSPC, "x"), tmp_path / "not there"), KormoError)


def test_a_refused_write_is_found_in_what_was_wrapped(tmp_path: Path) -> None:
    outer = RuntimeError("could not save")
    outer.__cause__ = OSError(errno.EACCES, "Permission denied")
    named = disk_error_in(outer, where=tmp_path)
    assert named is not None and named.found == "Permission denied"


def test_errors_that_are_each_others_cause_come_to_an_end(tmp_path: Path) -> None:
    one, other = OSError(errno.ENOENT, "gone"), RuntimeError("first")
    one.__cause__, other.__cause__ = other, one
    assert disk_error_in(one, where=tmp_path) is None
    one.__cause__ = one
    assert disk_error_in(one, where=tmp_path) is None


def _raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class ReadTimeout(Exception):
    """As the exceptions of an HTTP client, which often come without a message."""


NAMED = "/data/no space left on device (os error 28).txt"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", NAMED),
        shutil.Error([("a", "b", f"[Errno 2] No such file or directory: '{NAMED}'")]),
        shutil.Error(f"Destination path '{NAMED}' already exists"),
        ValueError(f"cannot read {NAMED!r}"),
        KeyError("[Errno 28] No space left on device"),
        _raised(lambda: json.loads('{"no space left on device": file write failed}')),
        TypeError("f() got an unexpected positional argument"),
        RuntimeError("f() got unexpected positional arguments"),
        RuntimeError(f"ValueError: cannot read {NAMED}"),  # the last line of another process
        RuntimeError(f"FileNotFoundError: [Errno 2] No such file or directory: '{NAMED}'"),
        RuntimeError(f'"""\nTraceback (most recent call last):\n  raise Full("[Errno 28]")\nValueError: {NAMED}\n"""'),
    ],
)
def test_a_name_or_a_text_that_speaks_of_disks_is_no_full_disk(error: Exception, tmp_path: Path) -> None:
    assert disk_error_in(error, where=tmp_path) is None
    if isinstance(error, OSError):
        assert "disk mounted" not in system_error(error, "kormo data build").found


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22"),
        RuntimeError("basic_ios::clear: iostream error"),
        Exception("No space left on device (os error 28)"),  # tokenizers
        Exception('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'),
        RuntimeError("OSError: [Errno 28] No space left on device"),
        RuntimeError(f'"""\nTraceback (most recent call last):\n  f()\nOSError: [Errno 28] full: {NAMED!r}\n"""'),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
    ],
)
def test_what_libraries_say_of_a_full_disk_is_known(error: Exception, tmp_path: Path) -> None:
    named = disk_error_in(error, where=tmp_path)
    assert named is not None and "disk mounted at /" in named.found


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (_raised(lambda: json.loads("{")), "invalid JSON at line 1, column 2: expecting property name"),
        (_raised(lambda: json.loads("")), "invalid JSON at line 1, column 1: expecting value"),
        (_raised(lambda: b"ab\xff".decode()), "the byte 0xff at position 2 is not UTF-8 text"),
        (_raised(lambda: "a\ud800".encode()), "the character U+D800 at position 1 is not text"),
        (_raised(lambda: Path("/no/such/file").read_text(encoding="utf-8")), "No such file or directory"),
        (_raised(lambda: {}["text"]), "the key 'text' is missing"),
        (_raised(lambda: [][1]), "fewer elements than needed"),
        (_raised(lambda: json.loads("null")["text"]), "a value of the wrong type"),
        (_raised(lambda: json.loads("[1]")["text"]), "a value of the wrong type"),
        (_raised(lambda: json.loads('"x"')["text"]), "a value of the wrong type"),
        (_raised(lambda: {}[[]]), "a value of the wrong type"),
        (_raised(lambda: json.loads("5").items()), "a value of the wrong type"),
        (_raised(lambda: int("seven")), "invalid literal for int() with base 10: 'seven'"),
        (_raised(lambda: __import__("no_such_module")), "the module no_such_module is not installed"),
        (_raised(lambda: sys.exit(3)), "the program exits with status 3"),
        (KormoError(where="w", found="f", why="y", do="d"), "f"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (MemoryError(), "there is not enough memory"),
        (TypeError("line 3: the text is not a string"), "line 3: the text is not a string"),
        (OSError("several\n  lines"), "several lines"),
        (ReadTimeout(), "read timeout"),
        (ConnectionError(), "connection"),
        (KeyError(), "key"),
        (ValueError("x" * 500), "x" * 239 + "…"),
        (UnicodeDecodeError("utf-8", b"", 0, 0, "unexpected end"), "'utf-8' codec can't decode bytes"),
        (UnicodeEncodeError("idna", "", 0, 0, "label empty"), "'idna' codec can't encode characters"),
    ],
)
def test_an_exception_is_told_in_words(error: BaseException, told: str) -> None:
    assert in_words(error).startswith(told)
    assert type(error).__name__ not in in_words(error)
    assert len(in_words(error)) <= 240 and "\n" not in in_words(error)


def test_a_value_is_called_as_a_user_calls_it() -> None:
    values = [None, True, 1, 1.5, "x", [], (), {}, b"", datetime.date(2026, 1, 1)]
    words = ["nothing", "true or false", "a whole number", "a number", "text", "a list", "a list", "a mapping"]
    assert [value_in_words(value) for value in values] == [*words, "bytes", "a date"]
    assert type_in_words(dict) == "a mapping"


# A plugin and a schedule are named in a recipe by their classes.
NAMES_A_CLASS = re.compile(r"type\((?!plugin\b|scheduler\b)[\w.\[\]]+\).__name__")


def test_no_message_names_a_class_of_python() -> None:
    """The parts of a `KormoError` are written with `in_words` and `value_in_words`, everywhere."""
    wrong = []
    for path in (Path(__file__).parents[1] / "kormo_plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("KormoError", "Notice"):
                wrong += [f"{path.name}:{node.lineno}" for part in node.keywords if _names_a_class(part.value)]
    assert not wrong, wrong


def _names_a_class(part: ast.expr) -> bool:
    text = ast.unparse(part)
    return bool(NAMES_A_CLASS.search(text)) or bool(re.search(r"\{(error|exc)(!r)?\}", text)) or "repr(error)" in text


def test_a_full_disk_is_named_by_the_file_that_was_written_and_where_it_is_mounted(tmp_path: Path) -> None:
    read, written = str(tmp_path / "read"), str(tmp_path / "written")
    copied = OSError(errno.ENOSPC, "No space left on device", read, None, written)  # as shutil tells it
    tree = shutil.Error([(read, written, "[Errno 28] No space left on device")])
    torch_said = RuntimeError("PytorchStreamWriter failed writing file data/0")
    for error in (copied, tree):
        named = disk_error_in(error)
        assert named is not None and named.where == written and "disk mounted at /" in named.found
    named = disk_error_in(torch_said, ["universal", f"--out={tmp_path}/made"])
    assert named is not None and "no space left" in named.found
    assert "quota" in str(disk_error(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path))
    assert disk_error_in(ValueError("[Errno 2] no such file")) is None


def test_what_was_refused_inside_is_told_with_the_place_and_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KormoError) as told, writing(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert told.value.where == str(tmp_path / "file") and isinstance(told.value.__cause__, OSError)
    with pytest.raises(FileNotFoundError) as passed, writing(tmp_path / "file"):
        raise FileNotFoundError(errno.ENOENT, "gone")
    assert passed.value.__cause__ is None, "an error that is its own cause is a chain without an end"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (4096, "4.1 kB"), (2.5e6, "2.5 MB"), (7e10, "70.0 GB")]
)
def test_sizes_for_people(count: float, said: str) -> None:
    assert size(count) == said
