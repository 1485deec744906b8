"""Merges by gigabpe are those of the tokenizers library, or are not used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from kormo_plugins.tokenizer import merges, train
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.pieces import Pieces, count_pieces, cut
from kormo_plugins.tokenizer.train import SPLIT

TEXTS = [
    "가나다라 마바사 가나다 라마바 아자차카타파하 " * 20,
    "The cat sat on the mat, and the cats' hats don't fit. 3.14159\n\n\n\nAnother paragraph.\n" * 15,
    "\u1112\u1161\u11ab\u1100\u1173\u11af 日本語 🇰🇷👨‍👩‍👧 e\u0301 \t  x\r\n\r\n" * 9,
    "",
]


def whole(texts: list[str], params: TokenizerParams, folder: Path) -> tuple[str, dict[str, str | int]]:
    def again() -> Iterator[str]:
        return iter(texts)

    tokenizer, trainer = train._learn(again, params, folder)
    return tokenizer.to_str(), trainer


@pytest.fixture
def installed() -> None:
    pytest.importorskip("gigabpe", reason="the extra `fast` is not installed")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "values",
    [
        {"vocab_size": 400},
        {"vocab_size": 500, "min_frequency": 5},
        {"vocab_size": 450, "max_token_length": 6},
        {"vocab_size": 300, "min_frequency": 1, "max_token_length": 2},
        {"vocab_size": 256},
        {"vocab_size": 5000, "min_frequency": 1},
    ],
)
def test_the_file_is_the_same_to_the_byte(
    values: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = TokenizerParams(shares={}, **values)
    fast, trainer = whole(TEXTS, params, tmp_path)
    assert str(trainer["trainer"]).startswith("gigabpe"), trainer
    monkeypatch.setattr(merges, "find_spec", lambda name: None)
    slow, trainer = whole(TEXTS, params, tmp_path)
    assert trainer["reason"] == "gigabpe is not installed"
    assert json.loads(fast) == json.loads(slow)


@pytest.mark.usefixtures("installed")
def test_other_merges_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = merges._merges
    monkeypatch.setattr(merges, "_merges", lambda *arguments: right(*arguments)[::-1])
    params = TokenizerParams(shares={}, vocab_size=400)
    found, trainer = whole(TEXTS, params, tmp_path)
    assert "different merges" in str(trainer["reason"])
    assert json.loads(found)["model"]["merges"][0] != json.loads(found)["model"]["merges"][-1]


@pytest.mark.usefixtures("installed")
def test_a_character_of_another_unicode_edition_is_not_counted_here(tmp_path: Path) -> None:
    newer = "가나 \U0001e5ee\U0001e5ef 다라 " * 3  # combining marks of Unicode 16
    pieces = count_pieces([newer], SPLIT)
    blank = train._blank()
    assert set(Pieces(characters=set("가a1 ")).disputed(blank, SPLIT)) == set()
    if pieces.disputed(blank, SPLIT):
        assert "in another way" in str(
            whole([newer], TokenizerParams(shares={}, vocab_size=260), tmp_path)[1]["reason"]
        )


def test_pieces_leave_out_runs_of_newlines() -> None:
    assert cut("a\n\n\nb\nc", SPLIT) == ["a", "b", "\n", "c"]
    assert count_pieces(["a a", "a"], SPLIT).counts == {"a": 2, " a": 1}


def test_a_saved_tokenizer_opens(tmp_path: Path) -> None:
    tokenizer, _ = train._learn(lambda: iter(TEXTS), TokenizerParams(shares={}, vocab_size=350), tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size() == 350
