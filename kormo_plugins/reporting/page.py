"""`report.html`: one run, a chain, an ablation, or several runs side by side, as one self-contained file.

plotly.js (4.8 MB) is embedded in the page; figures are plain mappings. Text of recipes, documents and models is always
escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kormo_plugins.errors import in_words
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.reporting import sections
from kormo_plugins.reporting.ablation import ABLATION, read_ablation, write_ablation
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import parts_with_links
from kormo_plugins.reporting.needle import needles
from kormo_plugins.reporting.run import EVALUATION, RECORD, Run, read_runs


def write_report(folders: Sequence[Path], out: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """Writes the page of the runs in `folders` and returns its path.

    Args:
        folders: output folders of runs, or the one folder of a chain or an ablation.
        out: the file.
        tell: called with each warning on the page: damaged or missing records, interruptions.
    Raises:
        KormoError: a folder without a run.
    """
    if len(folders) == 1 and (Path(folders[0]) / ABLATION).is_file():
        return write_ablation(read_ablation(Path(folders[0])), out, Path(folders[0]), tell)
    runs, chain = read_runs([Path(folder) for folder in folders])
    title = str(chain.get("chain") or Path(folders[0]).name) if chain is not None else " / ".join(r.name for r in runs)
    made = body(runs, chain)
    for line in sections.warning_lines(runs):
        tell(line)
    return write_page(title, made, out)


def body(runs: Sequence[Run], chain: Mapping[str, object] | None = None) -> str:
    """The body of the page."""
    makers: dict[str, tuple[str, Callable[[], str]]] = {
        "Chain": ("chain.json", lambda: sections.chain(chain)),
        "Curves": (METRICS, lambda: sections.curves(runs)),
        "Evaluation": (EVALUATION, lambda: sections.evaluations(runs)),
        "Long context": (EVALUATION, lambda: needles(runs)),
        "Samples": ("samples.json", lambda: sections.samples(runs)),
        "Mixture": (RECORD, lambda: sections.mixtures(runs)),
        "Recipe": (RECORD, lambda: sections.recipes(runs)),
        "Hardware and versions": (RECORD, lambda: sections.machines(runs)),
        "Hashes": (RECORD, lambda: sections.hashes(runs)),
    }
    summary = _made("The summary", RECORD, lambda: sections.summary(runs), runs)
    parts = {title: _made(title, file, make, runs) for title, (file, make) in makers.items()}
    return f"{sections.warnings(runs)}{summary}{parts_with_links(parts)}"


def _made(title: str, file: str, make: Callable[[], str], runs: Sequence[Run]) -> str:
    """A section of the page; empty, with a warning, if a record does not have the expected structure."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        runs[0].warnings.append(f"{title} cannot be shown: {file} was damaged or edited ({in_words(error)}).")
        return ""
