"""datatrove as the engine: a stage is a pipeline of one step, and its parts are datatrove's tasks.

So the same dataset recipe runs on this machine, on Ray or on Slurm by the key `executor`, with datatrove's logs and
restarts; and a KORMo step can be put into any datatrove pipeline with `as_datatrove`.
"""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import as_completed
from typing import Any

import dill
from datatrove.data import Document as TroveDocument
from datatrove.data import DocumentsPipeline
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from kormo_plugins.console import worker_pool
from kormo_plugins.corpus.params import Executor
from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.passes.marks import read_mark, write_mark
from kormo_plugins.corpus.passes.stage import work
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.preference_pair import rewritten
from kormo_plugins.errors import KormoError

POLL = 5.0
"""Seconds between two looks at jobs that run elsewhere."""


class PartStep(PipelineStep):
    """One stage of a source; datatrove's rank is the number of the part."""

    type = "KORMo"

    def __init__(self, job: SourceBuild, stage: int) -> None:
        super().__init__()
        self.name = f"{job.name}, stage {stage}"
        self.job, self.stage = job, stage

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Works on part `rank`. What stops it is written down too, for whoever waits on another machine."""
        failed = self.job.folder(self.stage) / f"{rank:05d}.failed"
        failed.unlink(missing_ok=True)
        try:
            work(self.job, self.stage, rank)
        except Exception as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            write_mark(failed, _told(error, f"sources.{self.job.name}, part {rank} of stage {self.stage}"))
            raise
        yield from data or ()


class LocalParts:
    """Runs datatrove's local executor, its ranks in workers whose death is noticed.

    datatrove's own pool waits for ever for a worker that the system killed.
    """

    def __init__(self, executor: LocalPipelineExecutor, where: str) -> None:
        self.executor, self.where = executor, where

    def run(self) -> None:
        """Every rank that is not done; raises what the first one that failed raised."""
        executor = self.executor
        executor.save_executor_as_json()
        packed = dill.dumps(executor)  # as datatrove sends it to its workers: steps of plugins may be closures
        first = executor.local_rank_offset
        ranks = executor.get_incomplete_ranks(range(first, first + executor.local_tasks))
        with worker_pool.workers(executor.workers, self.where, start=executor.start_method) as pool:
            for rank in as_completed([pool.submit(_rank, packed, rank) for rank in ranks]):
                rank.result()


def _rank(packed: bytes, rank: int) -> None:
    dill.loads(packed)._run_for_rank(rank, local_rank=1)  # that of 0 would print its log


class StepBlock(PipelineStep):
    """A KORMo document step as a step of any datatrove pipeline; what it drops is counted by reason."""

    type = "KORMo"

    def __init__(self, name: str, step: Any) -> None:
        super().__init__()
        self.name, self.step = name, step

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yields the documents that the step lets through."""
        for item in data or ():
            self.stat_update("total")
            meta = item.metadata
            document = Document(item.id, item.text, language=meta.get("language", "und"), meta=meta)
            result = rewritten(document, self.step)
            if isinstance(result, Reject):
                self.stat_update("dropped", f"dropped_{result.reason}")
                continue
            self.stat_update("forwarded")
            yield TroveDocument(text=result.text, id=result.id, metadata={**result.meta, "language": result.language})


def as_datatrove(name: str, step: Any) -> PipelineStep:
    """A KORMo document step (an instance) for use in a datatrove pipeline."""
    return StepBlock(name, step)


def run(job: SourceBuild, stage: int, executor: Executor, workers: int) -> None:
    """Runs one stage of all parts and waits until every part is done.

    Args:
        workers: parts at the same time; -1: as many as the cluster gives.
    Raises:
        KormoError: bad input found by a part, a part that failed, or an executor that cannot be used here.
    """
    from loguru import logger

    logs = job.folder(stage) / "logs"
    for old in job.folder(stage).glob("*.failed"):
        old.unlink()
    logger.disable("datatrove")  # its own log files stay; our progress is what is shown
    try:
        made = _executor(job, stage, executor, workers, str(logs))
        try:
            made.run()
        except Exception:
            if executor.name != "local":  # which wraps what the part itself said
                _failed(job, stage)
            raise
        while not all(job.done(stage, part) for part in range(job.parts)):
            _failed(job, stage)
            ended = executor.name != "slurm" or not _in_queue(made.job_id)
            missing = [part for part in range(job.parts) if not job.done(stage, part)]
            if ended and missing:
                raise KormoError(
                    where=f"sources.{job.name}",
                    found=f"parts {missing[:5]} of stage {stage} were not finished",
                    why="their tasks ended without a word (killed, or out of memory or time)",
                    do=f"see the logs in {logs}; run it again and it goes on",
                )
            time.sleep(POLL)  # sbatch returns at once
    finally:
        logger.enable("datatrove")


def _told(error: Exception, where: str) -> dict[str, str]:
    if isinstance(error, KormoError):
        return {"where": error.where, "found": error.found, "why": error.why, "do": error.do}
    return {"where": where, "found": repr(error), "why": "its task failed", "do": "see the logs beside it"}


def _failed(job: SourceBuild, stage: int) -> None:
    """Raises what the first part that failed said."""
    for path in sorted(job.folder(stage).glob("*.failed")):
        raise KormoError(**read_mark(path))


def _in_queue(job_id: object) -> bool:
    """Whether Slurm still has that job; where it cannot be asked, yes."""
    try:
        asked = subprocess.run(["squeue", "-h", "-j", str(job_id)], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return bool(asked.stdout.strip()) or ("nvalid job id" not in asked.stderr and asked.returncode != 0)


def _executor(job: SourceBuild, stage: int, executor: Executor, workers: int, logs: str) -> Any:
    # skip_completed is off: our own marks say what is done, and they come with the files.
    common: dict[str, object] = {
        "pipeline": [PartStep(job, stage)],
        "tasks": job.parts,
        "workers": workers,
        "logging_dir": logs,
        "skip_completed": False,
        **executor.options,
    }
    try:
        if executor.name == "local":
            # fork: workers start in milliseconds, and without importing the caller's main module again.
            return LocalParts(LocalPipelineExecutor(**{"start_method": "fork", **common}), f"sources.{job.name}")
        if executor.name == "ray":
            from datatrove.executor.ray import RayPipelineExecutor

            return RayPipelineExecutor(**common)
        from datatrove.executor.slurm import SlurmPipelineExecutor

        return SlurmPipelineExecutor(**{"job_name": f"kormo-{job.name}-{stage}", **common})
    except (TypeError, ImportError) as error:
        raise KormoError(
            where="executor",
            found=executor.name,
            why=str(error),
            do="correct executor.options (see datatrove's executor), or install the extra `ray`",
        ) from error
