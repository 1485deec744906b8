"""Warns of parts of a source that nothing is left for, before anything is read."""

from __future__ import annotations

import logging

from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.errors import Notice
from kormo_plugins.hookspecs import Divisible

log = logging.getLogger(__name__)

SPARE_PARTS = 64
"""Empty parts of a source that are not worth a warning."""


def tell_spare_parts(job: SourceBuild) -> None:
    """Warns of parts that nothing is left for: each is written, and flushed to the disk, like any other."""
    limits = [job.source.documents, job.read.parts(job.params) if isinstance(job.read, Divisible) else None]
    most = min((limit for limit in limits if limit is not None), default=job.parts)
    if job.source.parts is not None and job.parts - most > SPARE_PARTS:
        notice = Notice(
            where=f"sources.{job.name}.parts",
            found=f"{job.parts:,}",
            why=f"this input can fill about {most:,}; each part takes time in every pass, however empty it is",
            do=f"set parts to {most:,}, or leave it out",
        )
        log.warning("%s", notice.render())
