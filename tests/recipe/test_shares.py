"""A share of the tokenizer's text in a language that no document will have is refused before anything is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kormo_plugins.recipe.checks.tokens import shares_have_sources

KEEP_KO = {"name": "language", "keep": ["ko"]}


@pytest.mark.parametrize(
    ("source", "steps", "refused"),
    [
        ({"language": "ko"}, [], ["en", "zh-Hant"]),
        ({}, [KEEP_KO], ["en", "zh-Hant"]),  # the step decides
        ({"language": "en"}, [KEEP_KO], ["en", "zh-Hant"]),
        ({"steps": [KEEP_KO]}, [], ["en", "zh-Hant"]),
        ({"steps": []}, [KEEP_KO], ["ko", "en", "zh-Hant"]),  # its own steps take the place of the recipe's
        ({}, [{"name": "language", "keep": ["ko", "zh"]}], ["en"]),
        ({}, ["language"], []),  # every language may come
        ({}, [{"name": "language"}], []),
        ({}, [{"name": "language", "keep": ["kor_Hang"], "model": "lid.bin"}], []),  # labels of its own
        ({"reader": {"columns": {"language": "lang"}}}, [KEEP_KO], []),
        ({"generator": {"name": "embedded"}}, [], []),
    ],
)
def test_shares_of_languages_that_do_not_come(source: dict[str, Any], steps: list[Any], refused: list[str]) -> None:
    values = {
        "kormo.tokenizer.train": {"name": "kormo_bpe", "shares": {"ko": 0.5, "en": 0.4, "zh-Hant": 0.1}},
        "kormo.data": {"sources": {"a": source}, "steps": steps},
    }
    recipe: Any = SimpleNamespace(get=values.get, where=lambda key: key)
    assert [error.where.rpartition(".")[2] for error in shares_have_sources(recipe)] == refused
