"""Progress of long-running work, for terminals and log files.

On a terminal one line is rewritten; elsewhere a line is written at most every `EVERY` seconds, so that the log of a
day's work stays readable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

_Item = TypeVar("_Item")

EVERY = 10.0
"""Seconds between two lines in a log."""

TERMINAL_EVERY = 0.2
"""Seconds between two updates on a terminal."""


class Progress:
    """Progress counter; call it with the amount of work since the last call.

    Args:
        label: description (`tokens of ko_stories`).
        total: total amount, if known.
        unit: of the amount.
    """

    def __init__(self, label: str, total: int | None = None, unit: str = "items") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._terminal = sys.stderr.isatty()
        self._start = self._last = time.monotonic()

    def __call__(self, amount: int = 1) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self._last >= (TERMINAL_EVERY if self._terminal else EVERY):
            self._last = now
            self._show("\r" if self._terminal else "", "" if self._terminal else "\n")

    def _show(self, before: str, after: str) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        share = f" of {self.total:,} ({100 * self.done / self.total:.0f}%)" if self.total else ""
        text = f"kormo: {self.label}: {self.done:,}{share} {self.unit}, {self.done / seconds:,.0f}/s"
        sys.stderr.write(f"{before}{text}{after}")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal and self.done:
            self._show("\r", "\n")


def watched(items: Iterable[_Item], progress: Callable[[int], None], amount: Callable[[_Item], int]) -> Iterator[_Item]:
    """The items, each counted by `amount` once it has been used."""
    for item in items:
        yield item
        progress(amount(item))
