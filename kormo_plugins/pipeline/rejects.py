"""Tells what of a source could not be used at all: conversations with broken turns, pairs with two equal sides, files
of which nothing was read.

A cleaning step drops documents because it was asked to; these are faults of the dataset, and whoever trains on the
rest should hear of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kormo_plugins.corpus.reports.unread import warnings as unread_warnings
from kormo_plugins.store.artifact import Artifact

READ = "read"
"""The step that every corpus begins with: the reader's own rejects."""
REJECTS = "rejects"
"""Folder of a corpus with its rejects, each with its reason."""


def log_rejects(corpus: Artifact, name: str, what: str, steps: tuple[str, ...], log: Callable[[str], None]) -> None:
    """One line about the rejects of these steps, by reason; none if there are none.

    Args:
        corpus: of the source.
        name: of the source.
        what: its documents, for people (`conversations`).
        steps: names of steps that reject what is broken.
    """
    reasons: dict[str, int] = {}
    for step in corpus.stats.get("steps", ()):
        if step["name"] in steps:
            for reason, count in step["rejects"].items():
                reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        told = "; ".join(f"{reason} ({count:,})" for reason, count in sorted(reasons.items(), key=lambda one: -one[1]))
        number, read = sum(reasons.values()), corpus.stats["read"]["documents"]
        log(f"{name}: {number:,} of {read:,} {what} cannot be used, and are kept in {corpus.path / REJECTS}: {told}")


def log_unread(corpora: Mapping[str, Artifact], log: Callable[[str], None]) -> None:
    """Some lines about the files of these sources of which (almost) nothing was read; none if there are none."""
    for name, corpus in corpora.items():
        for line in unread_warnings(name, corpus.stats):
            log(line)
