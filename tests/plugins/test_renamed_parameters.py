"""Parameters that were renamed: the old name works, says what it is called today, and changes nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.build import source_inputs
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins import parameters
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.schema.json_types import object_schema


def renamed() -> list[tuple[str, str, str, str]]:
    """Kind, component, old and new name of every renamed parameter of ours."""
    found, components = [], Registry()
    for entry in components.entries():
        model = components.model(entry.kind, entry.component.name)
        for old, new in getattr(model, "RENAMED", {}).items():
            found.append((entry.kind, entry.component.name, old, new))
    return found


@pytest.fixture(autouse=True)
def _nothing_said() -> Iterator[None]:
    parameters._warn_of_old_name.cache_clear()
    yield
    parameters._warn_of_old_name.cache_clear()


def needed(model: Any, folder: Path) -> dict[str, Any]:
    """Values for what a component must be given."""
    values = {"warc": {"path": folder}, "synthesis": {"url": "http://localhost/v1", "model": "m", "style": "answer"}}
    found = {name: folder for name, field in model.model_fields.items() if field.is_required()}
    extra = next((v for k, v in values.items() if k in model.__module__), {})
    found |= extra
    if "seeds" in found:
        found |= {"seeds": {"name": "folder", "path": str(folder)}}
    return found


def test_every_old_name_is_read_as_the_new_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    components = Registry()
    table = renamed()
    assert len(table) > 15
    for kind, name, old, new in table:
        model = components.model(kind, name)
        assert new in model.model_fields and old not in model.model_fields, (name, old)
        default = model.model_fields[new].default
        given = needed(model, tmp_path)
        one, other = ({**given, key: default} for key in (old, new))
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            was = components.params(kind, name, one, f"recipe.yml: {name}")
            components.params(kind, name, one, f"recipe.yml: {name}")
        assert was == components.params(kind, name, other, f"recipe.yml: {name}")
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 1 and f"recipe.yml: {name}.{old}" in said[0] and f"now called {new}" in said[0]
        schema = object_schema(model, {})["properties"]
        assert schema[old]["deprecated"] and "deprecated" not in schema[new]


def test_both_names_at_once_are_refused_with_both(tmp_path: Path) -> None:
    components = Registry()
    values = {"fewest_words": 3, "min_words": 4, "most_symbols": 0.5, "max_symbols": 0.5, "no_such_key": 1}
    with pytest.raises(KormoError) as caught:
        components.params("corpus_step", "korean", values, "recipe.yml: steps[0]")
    said = caught.value.render()
    for part in ("fewest_words beside min_words", "most_symbols beside max_symbols", "no_such_key", "3 faults"):
        assert part in said, said


def inputs(folder: Path, steps: list[Mapping[str, Any]]) -> dict[str, Any]:
    recipe = CorpusRecipe.model_validate(
        {"sources": {"a": {"reader": {"name": "folder", "path": str(folder)}}}, "steps": steps}
    )
    return source_inputs("a", recipe.sources["a"], recipe)


def test_the_identity_of_a_corpus_does_not_depend_on_the_spelling(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("하나")

    def steps(fewest: str, most: str, sentences: str, inner: str) -> list[Mapping[str, Any]]:
        return [
            {"name": "korean", fewest: 3, most: 0.4},
            {
                "name": "per_domain",
                "step": {"name": "korean", inner: 0.3},
                "domains": {"a.example": {sentences: 0.05}, "b.example": False},
            },
        ]

    new = inputs(tmp_path, steps("min_words", "max_symbols", "min_sentences", "min_sentences"))
    assert inputs(tmp_path, steps("fewest_words", "most_symbols", "fewest_sentences", "fewest_sentences")) == new
    assert inputs(tmp_path, steps("min_words", "max_symbols", "min_sentences", "fewest_sentences")) == new
    assert new["steps"][1]["params"]["domains"] == {"a.example": {"min_sentences": 0.05}, "b.example": "off"}
    assert inputs(tmp_path, steps("min_words", "max_symbols", "min_sentences", "min_particles")) != new
