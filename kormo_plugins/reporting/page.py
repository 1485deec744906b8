"""`report.html`: one run, a chain, an ablation, or several runs side by side, as one file that opens without a network.

The drawing library stands in the page itself (plotly, 4.8 MB); what it draws are plain mappings beside it. Whatever a
recipe, a document or a model wrote is shown as text and never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kormo_plugins.reporting import sections
from kormo_plugins.reporting.ablation import ABLATION, read_ablation, write_ablation
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import parts_with_links
from kormo_plugins.reporting.needle import needles
from kormo_plugins.reporting.run import Run, read_runs


def write_report(folders: Sequence[Path], out: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """Writes the page of the runs in `folders` and returns its path.

    Args:
        folders: output folders of runs, or the one folder of a chain or an ablation.
        out: the file.
        tell: called with each warning that the page shows: records that are damaged or missing, interruptions.
    Raises:
        KormoError: a folder without a run.
    """
    if len(folders) == 1 and (Path(folders[0]) / ABLATION).is_file():
        return write_ablation(read_ablation(Path(folders[0])), out, Path(folders[0]), tell)
    runs, chain = read_runs([Path(folder) for folder in folders])
    for line in sections.warning_lines(runs):
        tell(line)
    title = str(chain.get("chain") or Path(folders[0]).name) if chain is not None else " / ".join(r.name for r in runs)
    return write_page(title, body(runs, chain), out)


def body(runs: Sequence[Run], chain: Mapping[str, object] | None = None) -> str:
    """The page between title and end."""
    parts = {
        "Chain": sections.chain(chain),
        "Curves": sections.curves(runs),
        "Evaluation": sections.evaluations(runs),
        "Long context": needles(runs),
        "Samples": sections.samples(runs),
        "Mixture": sections.mixtures(runs),
        "Recipe": sections.recipes(runs),
        "What it ran on": sections.machines(runs),
        "Hashes": sections.hashes(runs),
    }
    return f"{sections.warnings(runs)}{sections.summary(runs)}{parts_with_links(parts)}"
