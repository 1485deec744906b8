"""Rows that several devices share: which ways of saying it are taken, on either kind of Axolotl."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.batches.collators import CollatorParams, DocumentMaskParams
from kormo_plugins.mixture.batches.isolation import check_isolation
from kormo_plugins.recipe.checks.devices.context_parallel import INSTALL, SharedRows, check_shared_rows, shared_rows
from kormo_plugins.recipe.files.resolve import Resolved, resolve
from kormo_plugins.training.compat import variants

ULYSSES = {"context_parallel": {"size": 2, "backend": "ulysses"}}


def recipe(folder: Path, **change: Any) -> Resolved:
    """A recipe with data of ours and four key-value heads."""
    values = {"kormo": {"data": {"sources": {}}, "architecture": {"num_key_value_heads": 4}}, **change}
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(values))
    return resolve(path)


def axolotl(monkeypatch: pytest.MonkeyPatch, *, ulysses: bool, ringmaster: bool = True) -> None:
    """Pretends that rows are shared in one of the two ways."""
    monkeypatch.setattr(variants, "shares_rows_by_ulysses", lambda: ulysses)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if ringmaster else None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, SharedRows("context_parallel_size", 1, False)),
        ({"context_parallel_size": 1}, SharedRows("context_parallel_size", 1, False)),
        ({"context_parallel_size": 2}, SharedRows("context_parallel_size", 2, False)),
        ({"sequence_parallel_degree": 4}, SharedRows("sequence_parallel_degree", 4, False)),
        (ULYSSES, SharedRows("context_parallel.size", 2, True)),
        ({"context_parallel_size": 2, "context_parallel": {"backend": "ulysses"}},
         SharedRows("context_parallel_size", 2, True)),
        ({"context_parallel": {"size": 1, "backend": "ulysses"}}, SharedRows("context_parallel_size", 1, False)),
    ],
)  # fmt: skip
def test_what_a_recipe_says(change: dict[str, Any], expected: SharedRows, tmp_path: Path) -> None:
    assert shared_rows(recipe(tmp_path, **change)) == expected


@pytest.mark.parametrize(
    ("change", "ulysses", "named"),
    [
        ({}, True, None),
        (ULYSSES, True, None),
        ({"context_parallel_size": 2}, False, "packing best_fit"),
        ({"context_parallel_size": 2, "kormo": {"data": {"packing": {"name": "pad"}}}}, False, None),
        ({"context_parallel_size": 2, "kormo": {"data": {"packing": {"name": "pad"}}}}, True, "backend auto"),
        ({"context_parallel_size": 2}, True, "backend auto"),
        ({"context_parallel": {"size": 2, "backend": "ring"}}, True, "backend ring"),
        ({**ULYSSES, "deepspeed": "zero2.json"}, True, "deepspeed: zero2.json"),
        ({**ULYSSES, "rl": "dpo"}, True, "rl: dpo"),
        ({"context_parallel": {"size": 3, "backend": "ulysses"}}, True, "3 devices for 4 key-value heads"),
        ({"context_parallel_size": 2, "kormo": {"role": "base"}}, False, None),  # the data are Axolotl's own
    ],
)
def test_only_what_was_found_right_is_taken(
    change: dict[str, Any], ulysses: bool, named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = recipe(tmp_path, **change)
    axolotl(monkeypatch, ulysses=ulysses)
    faults = list(check_shared_rows(resolved))
    assert [str(named) in fault.found and "recipe.yml" in fault.where for fault in faults] == [True] * (
        named is not None
    )


def test_the_package_that_shares_rows_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = recipe(tmp_path, **ULYSSES)
    axolotl(monkeypatch, ulysses=True, ringmaster=False)
    assert [fault.do for fault in check_shared_rows(resolved)] == [INSTALL]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, None),
        ({"packing": "concat"}, None),
        ({"attention": "flash_attention_2"}, None),
        ({"attention": "flex_attention"}, "flex_attention"),
        ({"attention": "eager"}, "eager"),
        ({"params": DocumentMaskParams(cu_seqlens=True)}, "cu_seqlens"),
        ({"collator": "flex", "params": CollatorParams()}, "flex"),
        ({"row_length": 129}, "129"),
    ],
)
def test_packed_rows_are_dealt_out_by_heads(change: dict[str, Any], named: str | None) -> None:
    given: dict[str, Any] = {
        "collator": "document_mask", "params": DocumentMaskParams(), "attention": "sdpa", "micro_batch": 2,
        "context_parallel": 2, "ulysses": True, "packing": "best_fit", "row_length": 128, **change,
    }  # fmt: skip
    if named is None:
        return check_isolation(**given)
    with pytest.raises(KormoError) as error:
        check_isolation(**given)
    assert named in error.value.found
