"""A number of things: `1 document`, `2,000 documents`."""

from __future__ import annotations


def many(count: int, thing: str) -> str:
    """The count, and the thing in the singular or with an s.

    Args:
        thing: in the singular (`document`).
    """
    return f"{count:,} {thing}{'s' * (count != 1)}"
