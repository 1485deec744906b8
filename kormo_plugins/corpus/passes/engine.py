"""Runs passes with datatrove: a pass is a pipeline of one step, and its parts are datatrove's tasks.

The key `executor` selects this machine, Ray or Slurm for the same dataset recipe, with datatrove's logs and restarts.
`as_datatrove` wraps a document step of ours for any datatrove pipeline.
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
from kormo_plugins.errors import KormoError, in_words

POLL = 5.0
"""Seconds between two polls of jobs that run elsewhere."""


class PartStep(PipelineStep):
    """One pass of a source; datatrove's rank is the number of the part."""

    type = "KORMo"

    def __init__(self, job: SourceBuild, stage: int) -> None:
        super().__init__()
        self.name = f"{job.name}, pass {stage}"
        self.job, self.stage = job, stage

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Processes part `rank`. An error is also written to a file, for a process that waits on another machine."""
        failed = self.job.folder(self.stage) / f"{rank:05d}.failed"
        failed.unlink(missing_ok=True)
        try:
            work(self.job, self.stage, rank)
        except Exception as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            write_mark(failed, _error_record(error, f"sources.{self.job.name}, part {rank} of pass {self.stage}"))
            raise
        yield from data or ()


class LocalParts:
    """datatrove's local executor, with worker processes whose death is detected.

    datatrove's own pool waits forever for a worker that the system killed.
    """

    def __init__(self, executor: LocalPipelineExecutor, where: str) -> None:
        self.executor, self.where = executor, where

    def run(self) -> None:
        """Runs every rank that is not done; raises the first failure."""
        executor = self.executor
        executor.save_executor_as_json()
        packed = dill.dumps(executor)  # like datatrove: steps of plugins may be closures
        first = executor.local_rank_offset
        ranks = executor.get_incomplete_ranks(range(first, first + executor.local_tasks))
        with worker_pool.workers(executor.workers, self.where, start=executor.start_method) as pool:
            for rank in as_completed([pool.submit(_rank, packed, rank) for rank in ranks]):
                rank.result()


def _rank(packed: bytes, rank: int) -> None:
    dill.loads(packed)._run_for_rank(rank, local_rank=1)  # local_rank 0 would print its log


class StepBlock(PipelineStep):
    """A document step of ours as a step of any datatrove pipeline; rejects are counted by reason."""

    type = "KORMo"

    def __init__(self, name: str, step: Any) -> None:
        super().__init__()
        self.name, self.step = name, step

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yields the documents that the step keeps."""
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


def as_datatrove(name: str, step: object) -> PipelineStep:
    """Wraps a document step (an instance) for use in a datatrove pipeline."""
    return StepBlock(name, step)


def run(job: SourceBuild, stage: int, executor: Executor, workers: int) -> None:
    """Runs one pass over all parts and waits until every part is done.

    Args:
        workers: parts in parallel; -1: as many as the cluster allows.
    Raises:
        KormoError: a part found bad input, a part failed, or the executor cannot be used here.
    """
    from loguru import logger

    logs = job.folder(stage) / "logs"
    for old in job.folder(stage).glob("*.failed"):
        old.unlink()
    logger.disable("datatrove")  # its log files are still written; the console shows our progress instead
    try:
        made = _executor(job, stage, executor, workers, str(logs))
        try:
            made.run()
        except Exception:
            if executor.name != "local":  # the executor wraps the part's own error
                _failed(job, stage)
            raise
        while not all(job.done(stage, part) for part in range(job.parts)):
            _failed(job, stage)
            ended = executor.name != "slurm" or not _in_queue(made.job_id)
            missing = [part for part in range(job.parts) if not job.done(stage, part)]
            if ended and missing:
                raise KormoError(
                    where=f"sources.{job.name}",
                    found=f"parts {missing[:5]} of pass {stage} did not finish",
                    why="their tasks ended without an error message (killed, or out of memory or time)",
                    do=f"see the logs in {logs}; run the command again to resume",
                )
            time.sleep(POLL)  # sbatch returns immediately
    finally:
        logger.enable("datatrove")


def _error_record(error: Exception, where: str) -> dict[str, str]:
    if isinstance(error, KormoError):
        return {"where": error.where, "found": error.found, "why": error.why, "do": error.do}
    return {"where": where, "found": repr(error), "why": "its task failed", "do": "see the logs beside it"}


def _failed(job: SourceBuild, stage: int) -> None:
    """Raises the error of the first failed part."""
    for path in sorted(job.folder(stage).glob("*.failed")):
        raise KormoError(**read_mark(path))


def _in_queue(job_id: object) -> bool:
    """Whether Slurm still has the job; True if it cannot be asked."""
    try:
        queue = subprocess.run(["squeue", "-h", "-j", str(job_id)], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return bool(queue.stdout.strip()) or ("nvalid job id" not in queue.stderr and queue.returncode != 0)


def _executor(job: SourceBuild, stage: int, executor: Executor, workers: int, logs: str) -> Any:
    # skip_completed is off: our own progress files, stored beside the output, say what is done.
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
            # fork: workers start in milliseconds and do not import the caller's main module again.
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
            why=in_words(error),
            do="correct executor.options (see datatrove's executor), or install the extra `ray`",
        ) from error
