"""Recipes for GPUs name an attention that needs no dense masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.batches.isolation import check_dense_masks
from kormo_plugins.pipeline.refusals import refuse_leaking_attention
from kormo_plugins.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
LARGE = sorted(path for size in ("1b", "10b") for path in (ROOT / "recipes" / size).glob("*.yml"))
GOOD: dict[str, Any] = {"varlen": True, "compute": "bfloat16", "row_length": 4096, "micro_batch": 2}


def check(attention: str = "sdpa", collator: str = "document_mask", **change: Any) -> str | None:
    return check_dense_masks(collator, attention, **{**GOOD, **change})


@pytest.mark.parametrize(("attention", "collator"), [("sdpa", "document_mask"), ("flash_attention_2", "document_mask"),
                                                     ("flex_attention", "flex"), ("sdpa", "causal")])  # fmt: skip
def test_no_dense_mask_no_word(attention: str, collator: str) -> None:
    assert check(attention, collator) is None


@pytest.mark.parametrize("change", [{"varlen": False}, {"compute": "float32"}, {"attention": "eager"}])
def test_long_rows_are_refused_and_short_ones_told(change: dict[str, Any]) -> None:
    with pytest.raises(KormoError, match=r"dense masks \(34 MB\)") as caught:
        check(**change)
    assert ("compute: bfloat16, which" in caught.value.do) == (change == {"compute": "float32"})
    line = check(**change, row_length=512, micro_batch=8)
    assert line is not None and "2.1 MB" in line


@pytest.mark.parametrize("path", LARGE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_our_large_recipes_pass_on_a_gpu(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe(path)
    refuse_leaking_attention(recipe.attention_plan(), on_gpu=True)
    assert capsys.readouterr().err == ""


def test_the_quick_start_runs_on_a_gpu_too(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe(ROOT / "recipes/pretrain.yml")
    refuse_leaking_attention(recipe.attention_plan(), on_gpu=True)
    assert "dense masks of 2.1 MB" in capsys.readouterr().err
    assert [kernel.name for kernel in recipe.block.kernels] == ["liger"]
