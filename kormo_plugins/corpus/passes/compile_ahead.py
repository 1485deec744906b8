"""Compiles the scans of all cleaning steps on several cores, before the first text that is cleaned with them.

Compiling them takes twenty seconds of one core, where nothing is cached yet (`store/compiled/`). Each process here
calls some of the scans on a short text and ends; the process that cleans then reads all of them from the cache. If a
process fails, what it did not compile is compiled where it is used.

    python -m kormo_plugins.corpus.passes.compile_ahead prose minhash        in one process: these groups
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kormo_plugins.console.children import ends_with_us
from kormo_plugins.corpus import scan
from kormo_plugins.corpus.passes.job import SourceBuild
from kormo_plugins.corpus.scan.text_scan import (
    PATIENCE,
    ProseScan,
    chosen_by_cost,
    codes_of,
    plain_text,
    scan_of,
    steps_with,
)
from kormo_plugins.corpus.steps.duplicates.boilerplate import may_hold_notice
from kormo_plugins.corpus.steps.duplicates.minhash import MinhashDedup, MinhashDedupParams
from kormo_plugins.corpus.steps.heuristics.korean import counts
from kormo_plugins.corpus.steps.heuristics.repetition import Repetition, RepetitionParams
from kormo_plugins.corpus.steps.web.errors import lines_with
from kormo_plugins.corpus.steps.web.html import suspect_pieces
from kormo_plugins.documents.document import Document
from kormo_plugins.hookspecs import Params
from kormo_plugins.store.compiled.cache import alone

if TYPE_CHECKING:
    import numpy as np

SAMPLE = "첫 줄 <b>하나</b>. 전화 ０１０-1234-5678\n\nThe second line of the sample.\n"
MOST = 8
"""Processes; more would wait for the slowest group. Each takes about 250 MB."""
LARGE = 2 * PATIENCE
"""Bytes of text from which on scans are compiled first: a character has one to three."""
LONGEST = 300.0
"""Seconds to wait for one of them; the slowest took 30 on a busy machine."""


@runtime_checkable
class Weighs(Protocol):
    """A reader that knows about how much text there is before it reads."""

    def weight(self, params: Params) -> int:
        """Bytes of text, to a factor of two or so."""


def _languages() -> None:
    from kormo_plugins.corpus.steps.languages.identify import identify

    identify(SAMPLE)


def _minhash() -> None:
    import numpy as np

    step = MinhashDedup(MinhashDedupParams(whole=True))
    step.decide(np.stack([step.sign(Document("a", SAMPLE)), step.sign(Document("b", SAMPLE))]))


def _repetition() -> None:
    Repetition(RepetitionParams()).judged(codes_of(SAMPLE), _spans())


def _prose() -> None:
    _ = scan_of(SAMPLE).prose


def _lines() -> None:
    _ = ProseScan(codes_of(SAMPLE)).lines


def _personal() -> None:
    _ = scan_of(SAMPLE).personal
    plain_text(SAMPLE)


def _korean() -> None:
    counts(codes_of(SAMPLE), _spans())


def _markup() -> None:
    suspect_pieces(SAMPLE)


def _words() -> None:
    _ = scan_of(SAMPLE).survey, scan_of(SAMPLE).one_spaced
    lines_with(SAMPLE, 80)
    may_hold_notice(SAMPLE, 0, len(SAMPLE))


def _spans() -> np.ndarray:
    """All of the sample as one line, in the form of `ProseScan.lines`."""
    import numpy as np

    return np.array([[0, len(SAMPLE)]])


GROUPS: dict[str, tuple[Callable[[], None], float]] = {
    "languages": (_languages, 3.2),
    "repetition": (_repetition, 2.8),
    "minhash": (_minhash, 2.3),
    "prose": (_prose, 2.2),
    "personal": (_personal, 2.1),
    "words": (_words, 1.7),
    "lines": (_lines, 1.7),
    "korean": (_korean, 1.3),
    "markup": (_markup, 1.3),
}
"""What compiles a group, and the seconds that it took (AMD EPYC), longest first."""


def compile_scans(names: Iterable[str]) -> None:
    """Compiles these groups in this process, unless they are cached."""
    with steps_with(scans=True):
        for name in names:
            GROUPS[name][0]()


USED = {
    "normalize": ("words",),
    "mojibake": ("words",),
    "html": ("markup",),
    "errors": ("words",),
    "language": ("languages",),
    "repetition": ("prose", "lines", "repetition"),
    "korean": ("prose", "lines", "korean"),
    "personal_data": ("words", "personal"),
    "exact_dedup": ("words",),
    "minhash_dedup": ("words", "minhash"),
}
"""Groups that a step uses, by its name; other steps use none, or compile what they use."""


def groups_of(job: SourceBuild) -> list[str]:
    """The groups that the steps of a source use, longest first."""
    used = {group for part in job.segments for step in (*part.steps, *part.ends) for group in USED.get(step.name, ())}
    return [name for name in GROUPS if name in used]


def compile_if_large(job: SourceBuild, tell: Callable[[str], None]) -> None:
    """`compile_ahead` for a source with so much text that it pays before the first of it is cleaned."""
    if chosen_by_cost() and isinstance(job.read, Weighs) and job.read.weight(job.params) >= LARGE:
        compile_ahead(groups_of(job), tell)


def compile_ahead(wanted: Sequence[str], tell: Callable[[str], None] = lambda line: None) -> None:
    """Compiles groups in processes of their own, as many as this one may use cores, and waits for them.

    Nothing is done where there is one core or no cache, or where another process was here first.

    Args:
        tell: called with a line when they start.
    """
    from kormo_plugins.store.compiled.functions import folder, holds

    place, number = folder(), min(_cores(), MOST, len(wanted))
    if place is None or number < 2:
        return
    with alone(place / "locks" / "ahead"):
        if holds(KERNELS):
            return
        tell(f"compiling what the steps use, once for this version, in {number} processes")
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with suppress(OSError, subprocess.TimeoutExpired):  # the system starts no more; one of them hangs
                for names in _shares(wanted, number):
                    processes.append(_started(names))
                for process in processes:
                    process.wait(LONGEST)
        finally:
            for process in processes:
                process.kill()  # nothing to a process that ended
                process.wait()


def _started(names: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that compiles these groups, and ends with this one. It imports nothing from the working folder."""
    words = [sys.executable, "-P", "-m", __name__, *names]
    return subprocess.Popen(words, stdin=_NOWHERE, stdout=_NOWHERE, stderr=_NOWHERE, preexec_fn=ends_with_us())


KERNELS = Path(scan.__path__[0]) / "kernels"
_NOWHERE = subprocess.DEVNULL


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shares(wanted: Sequence[str], number: int) -> list[list[str]]:
    """The groups for each of `number` processes: each group, from the longest on, to the one that has least to do."""
    shares: list[tuple[float, list[str]]] = [(0.0, []) for _ in range(number)]
    for name in wanted:
        least = min(range(number), key=lambda index: shares[index][0])
        shares[least] = (shares[least][0] + GROUPS[name][1], [*shares[least][1], name])
    return [names for _, names in shares if names]


if __name__ == "__main__":
    compile_scans(sys.argv[1:])
