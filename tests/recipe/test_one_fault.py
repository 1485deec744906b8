"""One fault, one report: what two checks find at one place is told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.checks.validate import validate

SOURCES = "sources: {x: {reader: {name: jsonl, path: rows.jsonl}}}\n"
TOKENIZER = "name: kormo_bpe\nvocab_size: 300\n"


def faults(folder: Path, text: str) -> list[KormoError]:
    """The faults of a recipe, each with its key alone as place."""
    path = folder / "r.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KormoError) as refused:
        validate(path)
    return list(each(refused.value))


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("mixture: {name: weighted, weights: {x: .nan}}", "mixture.weights.x", "give a finite number"),
        (
            "mixture: {name: weighted, weights: {x: 1}, temperature: .nan}",
            "mixture.temperature",
            "give a finite number",
        ),
        ("mixture: {name: weighted, weights: {x: 1}, max_epochs: {x: .inf}}", "mixture.max_epochs.x", "finite number"),
        ("mixture: {name: weighted, weights: {x: 1}, epochs: .inf}", "mixture.epochs", "Did you mean 'max_epochs'?"),
        ("mixture: 3", "mixture", "weighted"),
        ("packing: 3", "packing", "best_fit"),
        ("packing: {}", "packing", "best_fit"),
        ("packing: {name: 3}", "packing", "best_fit"),
        ("steps: [7]", "steps[0]", "with one of: "),
        ("steps: [null]", "steps[0]", "with one of: "),
        ("steps: [[length]]", "steps[0]", "with one of: "),
        ("steps: [{nam: length}]", "steps[0]", "with one of: "),
        ("steps: [{name: 7}]", "steps[0]", "with one of: "),
        ("steps: [length]", "steps[0]", "write {name: length}"),
        ("steps: [{name: minhash_dedup, similarity: .nan}]", "steps[0].similarity", "give a finite number"),
        ("steps: [{name: minhash_dedup, bands: .inf}]", "steps[0].bands", "give a finite number"),
        ("steps: [{name: minhash_dedup, fewest_words: .inf}]", "steps[0].min_words", "give a finite number"),
        ("held_out: {at_most: .inf}", "held_out.at_most", "give a finite number"),
        ("held_out: .nan", "held_out", "give a finite number"),
        ("workers: 99999999999999999999", "workers", "give a finite number"),
        ("wrokers: .nan", "wrokers", "Did you mean 'workers'?"),
    ],
)
def test_a_fault_of_a_dataset_recipe_is_told_once(tmp_path: Path, text: str, key: str, says: str) -> None:
    found = faults(tmp_path, f"{SOURCES}{text}\n")
    assert [fault.where.partition(": ")[2] for fault in found] == [key]
    assert says in found[0].do


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400"])
def test_a_number_of_a_tokenizer_recipe_that_is_not_finite_is_told_once(tmp_path: Path, value: str) -> None:
    (fault,) = faults(tmp_path, f"{TOKENIZER}memory_gigabytes: {value}\n")
    assert fault.where.endswith("memory_gigabytes") and fault.do == "give a finite number"


def test_a_source_that_is_read_by_a_number_is_told_once(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "sources: {x: {reader: 7}}\n")
    assert fault.where.endswith(": sources.x.reader") and "with one of: " in fault.do


def test_other_faults_are_still_told_beside(tmp_path: Path) -> None:
    found = faults(tmp_path, f"{SOURCES}steps: [7, {{name: length, minimum: -1}}]\nheld_out: {{documents: .nan}}\n")
    assert [fault.where.partition(": ")[2] for fault in found] == ["held_out.documents", "steps[0]", "steps[1].minimum"]


def test_every_source_that_cannot_be_compared_with_is_told(tmp_path: Path) -> None:
    """Unknown ones beside a source itself and a cycle, each once."""
    reader = "reader: {name: jsonl, path: rows.jsonl}"
    against = {"a": "b", "b": "a", "y": "z, y, w", "last": "a, y", "good": ""}
    lines = "".join(f"  {name}: {{{reader}, deduplicate_against: [{one}]}}\n" for name, one in against.items())
    found = faults(tmp_path, f"sources:\n{lines}steps: [{{name: exact_dedup}}]\n")
    told = [(fault.where.partition(": ")[2].split(".")[1], fault.found) for fault in found]
    assert sorted(told) == [("a", "a → b → a"), ("y", "'w'"), ("y", "'z'"), ("y", "y → y")]
