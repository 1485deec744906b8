"""Looks for the keys of `meta` that a step goes by in the documents of a source while it is built.

The documents of a finished pass are read up to the first one that has the key. A step that can do nothing without it is
refused, unless an earlier step does write the key (no document was in a language of `perplexity`); others are told by a
warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from kormo_plugins.corpus.comparisons import instead, uses, writes
from kormo_plugins.corpus.passes.job import NamedStep, SourceBuild
from kormo_plugins.corpus.passes.part_files import all_rejects, kept_lines
from kormo_plugins.corpus.step import MetaUse
from kormo_plugins.documents.document import from_line
from kormo_plugins.errors import KormoError, Notice

log = logging.getLogger(__name__)

LISTED = 12
"""Maximum number of keys in a message."""
FIRST = 64
"""Documents of which all keys are noted."""


def look(job: SourceBuild, stage: int) -> None:
    """Looks for the keys that the steps of a finished pass go by, in the documents of that pass.

    Raises:
        KormoError: there are documents, none has the key, and the step can do nothing without it.
    """
    written: set[str] = set()
    for number, group in enumerate(job.segments[: stage + 1]):
        for step in (*group.steps, *group.ends):
            for use in uses(step.params) if number == stage else ():
                if (found := _without(job, stage, use)) is not None:
                    _tell(job, step, use, found, refuse=use.required and use.key not in written)
            written |= writes(step.params) or frozenset()


def _without(job: SourceBuild, stage: int, use: MetaUse) -> list[str] | None:
    """The keys that the first documents of a pass have; None if one has a value for `use`, or if there is none."""
    found: dict[str, None] = {}
    number = 0
    for number, line in enumerate(_lines(job, stage, use), 1):
        if number > FIRST and use.key.isidentifier() and use.key.encode() not in line:
            continue
        meta = from_line(line).meta
        value = meta.get(use.key)
        if isinstance(value, use.kind) and value not in (None, ""):
            return None
        if number <= FIRST:
            found |= dict.fromkeys(meta)
    return [key for key in found if key not in (use.key, "rejected")][:LISTED] if number else None


def _lines(job: SourceBuild, stage: int, use: MetaUse) -> Iterator[bytes]:
    """The documents that a pass kept; then those that its steps dropped, which may have been those with the key, unless
    the step can do nothing with what is left."""
    for part in range(job.parts):
        yield from kept_lines(job, stage, part, "documents")
    for part in range(0 if use.required else job.parts):
        yield from all_rejects(job, stage, part)


def _tell(job: SourceBuild, step: NamedStep, use: MetaUse, others: Sequence[str], refuse: bool) -> None:
    """Refuses or warns: no document has the key."""
    notice = Notice(
        where=f"sources.{job.name}: step {step.name}: {use.parameter}",
        found=f"no document has {'a number' if use.kind == (int, float) else 'anything'} under {use.key!r} in `meta`",
        why=use.why,
        do=instead(use.key, others),
    )
    if refuse:
        raise KormoError(where=notice.where, found=notice.found, why=notice.why, do=notice.do)
    log.warning("%s", notice.render())
