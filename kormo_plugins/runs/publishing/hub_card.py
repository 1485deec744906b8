"""The metadata of a model card that a hub reads: licence, datasets and scores.

The card's text stays as the run wrote it. Scores come from `evaluation.json`, as the benchmark harness reported them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.store.json_file import read_object, seal_fault
from kormo_plugins.training.telemetry.run_record import RESOLVED

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD = "README.md"
EVALUATION = "evaluation.json"


def with_metadata(run: Path, card: Path, licence: str | None = None) -> str:
    """A card with these metadata added to its front matter; the file itself is not changed, as the run's marker has its
    checksum.

    Args:
        run: the run whose datasets and scores are added.
        card: a README.md.
        licence: of the model, by its id on hubs (`apache-2.0`); None: not stated.
    """
    from huggingface_hub import ModelCard

    content = ModelCard(card.read_text(encoding="utf-8"))
    data: Any = content.data  # its fields are set at run time
    if licence is not None:
        data.license = licence
    if named := hub_datasets(run):
        data.datasets = named
    if results := scores(run):
        data.model_name = run.name
        data.eval_results = results
    return str(content)


def hub_datasets(run: Path) -> list[str]:
    """Ids of the datasets of a hub that the run's recipe reads."""
    path = run / RESOLVED
    recipe = read_yaml(path) if path.is_file() else {}
    data = recipe.get("kormo", {}).get("data") or {}
    readers: list[Mapping[str, object]] = [
        source.get("reader") or {} for source in (data.get("sources") or {}).values()
    ]
    return sorted({str(reader["dataset"]) for reader in readers if reader.get("name") == "hub"})


def scores(run: Path) -> list[EvalResult]:
    """The rows of `evaluation.json` in the hub's own form."""
    from huggingface_hub import EvalResult as Score

    path = run / EVALUATION
    if not path.is_file():
        return []
    again = "remove it, or run `kormo eval` again"
    evaluation = read_object(path, missing=("", again), fix=again)
    if fault := seal_fault(evaluation):
        raise KormoError(where=str(path), found=fault, why="the scores are not those that were measured", do=again)
    rows: Sequence[Mapping[str, object]] = evaluation.get("results", [])
    return [
        Score(
            task_type="text-generation",
            dataset_type=str(row["task"]),
            dataset_name=str(row["task"]),
            metric_type=str(row["metric"]),
            metric_value=row["value"],
        )
        for row in rows
        if row.get("value") is not None
    ]
