"""What the system refused, in the words of a library that drops or wraps its error.

Only a library's own sentences count. An exception about a value repeats what a user wrote, and an error that has its
number says in its text how a file is called: a file named `no space left.txt` is no full disk.
"""

from __future__ import annotations

import builtins
import errno
import re
import shutil


def refusal_numbers(error: BaseException) -> list[int]:
    """The system's numbers (`errno`) that an exception tells in its text only; none for an error that has its own.

    Rust's libraries (safetensors, tokenizers) write the number, `shutil.copytree` lists what it met, torch says that a
    write failed (`ENOSPC`), and a pool of processes hands on the traceback of a worker as text.
    """
    if isinstance(error, shutil.Error):
        entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
        lines = [str(entry[-1]) for entry in entries]
    elif isinstance(error, _OF_VALUES) or (isinstance(error, OSError) and error.errno is not None):
        lines = []
    else:
        text = str(error)
        lines = text.splitlines() if _TRACEBACK in text else [text]
        lines = [line for line in lines if line is text or re.match(_SAYS, line)]
    return [number for line in lines for number in _of_line(line)]


def _of_line(line: str) -> list[int]:
    """Of one message, perhaps with the name of its exception before it, as a traceback ends."""
    if (says := re.match(_SAYS, line)) is not None:
        if says.group(1).rpartition(".")[2] in _NAMES_OF_VALUES:
            return []
        line = says.group(2)
    if (own := re.match(_OWN_NUMBER, line)) is not None:  # what follows it names the file
        return [int(own.group(1))]
    numbers = [int(number) for number in re.findall(_NUMBERS, line)]
    return [*numbers, errno.ENOSPC] if re.search(_REFUSED, line) else numbers


_OF_VALUES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, SyntaxError, TypeError,
    ValueError,
)  # fmt: skip
"""What is raised about a value or the code, never for a refused write."""

_NAMES_OF_VALUES = {"JSONDecodeError", "ValidationError"} | {
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, _OF_VALUES)
}

_TRACEBACK = "Traceback (most recent call last)"
_SAYS = r"(?s)([A-Za-z_][\w.]*): (.*)"
_OWN_NUMBER = r"\[Errno (\d{1,3})\]"
_NUMBERS = r"(?:\(os error |\[Errno )(\d{1,3})[)\]]"
_REFUSED = r"(?i)no space left on device|file write failed|iostream error|unexpected pos \d|failed writing file"
"""What torch.save, safetensors and numpy say when the system refuses a write; they drop its reason."""
