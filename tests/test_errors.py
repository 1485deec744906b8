"""A message holds no secret and no control character; what the system says is told in four parts."""

from __future__ import annotations

import errno
import shutil
import socket
from pathlib import Path

import pytest

from kormo_plugins.errors import (
    BLANK,
    KormoError,
    disk_error,
    disk_error_in,
    printable,
    redact,
    size,
    system_error,
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
