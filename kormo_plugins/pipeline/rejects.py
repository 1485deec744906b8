"""Reports what of a source could not be used at all: conversations with malformed turns, pairs whose sides are equal,
files from which nothing was read.

A cleaning step drops documents because the recipe says so; these are defects of the dataset, which anybody who trains
on the rest should know of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kormo_plugins.corpus.reports.unread import warnings as unread_warnings
from kormo_plugins.store.artifact import Artifact

READ = "read"
"""The first step of every corpus: the rejects of its reader."""
REJECTS = "rejects"
"""Folder of a corpus that contains its rejects, each with a reason."""


def log_rejects(corpus: Artifact, name: str, what: str, steps: tuple[str, ...], log: Callable[[str], None]) -> None:
    """Logs one line about the rejects of these steps, by reason, if there are any.

    Args:
        corpus: of the source.
        name: of the source.
        what: its documents, for people (`conversations`).
        steps: names of steps that reject malformed documents.
    """
    reasons: dict[str, int] = {}
    for step in corpus.stats.get("steps", ()):
        if step["name"] in steps:
            for reason, count in step["rejects"].items():
                reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        listed = "; ".join(
            f"{reason} ({count:,})" for reason, count in sorted(reasons.items(), key=lambda one: -one[1])
        )
        number, read = sum(reasons.values()), corpus.stats["read"]["documents"]
        log(f"{name}: {number:,} of {read:,} {what} cannot be used; they are kept in {corpus.path / REJECTS}: {listed}")


def log_unread(corpora: Mapping[str, Artifact], log: Callable[[str], None]) -> None:
    """Logs the files of these sources from which (almost) nothing was read, if there are any."""
    for name, corpus in corpora.items():
        for line in unread_warnings(name, corpus.stats):
            log(line)
