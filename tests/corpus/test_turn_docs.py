"""The page of conversation formats: its table, its blocks and its message are what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.readers.mapping.columns import Columns, to_document
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry

PAGE = (Path(__file__).parents[2] / "docs" / "conversations.md").read_text(encoding="utf-8")
TURNS = [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "답"}]
SHARED = [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}]
BAD = [TURNS[0], {"role": "assistant", "content": "몰라"}]
ROWS: list[list[dict[str, Any]]] = [
    [{"conversation": TURNS}],
    [{"conversations": SHARED}],
    [{"instruction": "질문", "input": "글", "output": "답"}, {"instruction": "질문", "input": "", "output": "답"}],
    [{"instruction": "질문", "input": "", "output": "답", "history": [["가", "나"]]}],
    [{"system_prompt": "짧게", "question": "질문", "response": "답"}],
    [{"question": "질문", "reasoning": "생각", "answer": "답"}],
    [{"messages": TURNS, "tools": [{"name": "f"}]}],
    [{"prompt": "질문", "chosen": "답", "rejected": "몰라"},
     {"system": "짧게", "question": "질문", "chosen": "답", "rejected": "몰라"}],
    [{"q": "질문", "response_1": "답", "response_2": "몰라"}],
    [{"chosen": TURNS, "rejected": BAD},
     {"chosen": "\n\nHuman: 질문\n\nAssistant: 답", "rejected": "\n\nHuman: 질문\n\nAssistant: 몰라"}],
    [{"conversations": SHARED[:1], "chosen": SHARED[1], "rejected": {"from": "gpt", "value": "몰라"}}],
]  # fmt: skip
"""A row or more for each line of the table, in its order."""
WRITTEN = [
    yaml.safe_load(columns) for columns in re.findall(r"^\| .* \| `(\{(?:messages|pair): .*\})` \|$", PAGE, re.M)
]


def test_every_line_of_the_table_is_tried() -> None:
    assert len(WRITTEN) == len(ROWS)


@pytest.mark.parametrize(
    ("columns", "rows"), list(zip(WRITTEN, ROWS, strict=False)), ids=[str(columns) for columns in WRITTEN]
)
def test_a_line_of_the_table(columns: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert isinstance(to_document(row, Columns.model_validate(columns), "x:1"), Document)


def test_the_recipe_and_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, components: Registry) -> None:
    monkeypatch.chdir(tmp_path)
    Path("alpaca.jsonl").write_text(json.dumps(ROWS[2][0]), encoding="utf-8")
    Path("sharegpt.jsonl").write_text(json.dumps({"conversations": SHARED, "model": "x"}), encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    values = {key: value for key, value in yaml.safe_load(block).items() if key != "mixture"}
    recipe = CorpusRecipe.model_validate(values)
    for name, source in recipe.sources.items():
        (tmp_path / name).mkdir()
        assert build_source(name, source, recipe, components, tmp_path / name)["conversations"] == 1
    del values["sources"]["korean"]["reader"]["columns"]["messages"]["input"]
    recipe = CorpusRecipe.model_validate(values)
    with pytest.raises(KormoError) as caught:
        build_source("korean", recipe.sources["korean"], recipe, components, tmp_path)
    assert caught.value.render() in PAGE


def test_the_code_works() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(block, "docs/conversations.md", "exec"), {})
