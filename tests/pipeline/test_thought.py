"""`<think>` on real batches: one token, read by the model and left out of the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.pipeline.built import Built
from kormo_plugins.pipeline.open import make_collator, open_dataset
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.tokenizer.layout import read_layout

from ..integration.conftest import RECIPE, merged

MARKS = ["<think>", "</think>"]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("thought")


def _built(room: Path, marks: list[str] | None, ignored: list[str | int]) -> tuple[Recipe, Built]:
    """Korean traces wrapped in marks, which are tokens there, beside English text without any."""
    steps = [{"name": "normalize"}, {"name": "wrap_think"}]
    korean = {"steps": steps, **({"control_tokens": marks} if marks is not None else {})}
    kormo = {
        "workspace": str(room / "artifacts"),
        "data": {"sources": {"korean": korean}},
        "collator": {"name": "document_mask", "ignore_tokens": ignored, "sources": True},
    }
    path = room / "recipe.yml"
    path.write_text(yaml.safe_dump(merged(RECIPE, {"output_dir": str(room / "out"), "max_steps": 40, "kormo": kormo})))
    recipe = load_recipe(path)
    return recipe, build_all(recipe, log=lambda line: None)


def _batch(recipe: Recipe, built: Built) -> dict[str, Any]:
    dataset = open_dataset(recipe.stream_plan(), built)
    return make_collator(recipe, built)(dataset.__getitems__(list(range(len(dataset)))))


def test_it_is_one_token_that_is_read_and_never_predicted(room: Path) -> None:
    recipe, built = _built(room, MARKS, ["<think>"])
    assert built.tokenizer is not None
    layout = read_layout(built.tokenizer)
    batch = _batch(recipe, built)
    ids, labels, positions = (batch[name].numpy() for name in ("input_ids", "labels", "position_ids"))
    korean = batch["sources"].numpy() == list(built.rows).index("korean")
    opened = ids == layout.think
    assert opened.sum() > 20 and opened[korean].sum() == opened.sum()  # English text has none
    assert (ids[:, :-1][opened[:, 1:]] == layout.bos).all()  # each right behind the beginning of its document
    assert (labels[opened] == -100).all()
    closed = ids == layout.end_think
    assert closed.sum() > 20 and (labels[closed & (positions > 0)] == layout.end_think).all()  # thought must end
    left_out = (labels == -100) & (positions > 0) & (ids != layout.pad)
    assert (left_out == (opened & (positions > 0))).all()  # and nothing else is left out


def test_without_the_declaration_the_marks_are_characters(room: Path) -> None:
    recipe, built = _built(room, None, [])
    assert built.tokenizer is not None
    ids = _batch(recipe, built)["input_ids"].numpy()
    assert not np.isin(ids, [read_layout(built.tokenizer).think]).any()


def test_the_declaration_remakes_the_shards_and_leaves_the_documents(room: Path) -> None:
    plain, marked = _built(room, None, [])[1], _built(room, MARKS, [])[1]
    assert plain.corpora["korean"].hash == marked.corpora["korean"].hash
    assert plain.shards["korean"].hash != marked.shards["korean"].hash
    assert plain.shards["english"].hash == marked.shards["english"].hash
    told = json.loads((marked.shards["korean"].path / "shards.json").read_text())
    assert told["control_tokens"] == sorted(MARKS)


def test_a_token_that_the_tokenizer_lacks_is_refused(room: Path) -> None:
    with pytest.raises(KormoError, match="Did you mean '<think>'"):  # known before anything is built
        _built(room, MARKS, ["<thinks>"])
    with pytest.raises(KormoError, match="control_tokens"):
        _built(room, ["<thinking>"], [])
