"""Small tokenizers trained on the spot, and real text where there is some."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = [
    "The quick brown fox jumps over the lazy dog. 1971년에 태어난 다람쥐\n\nIt's 3.14, isn't it?",
    "    def f(x):\n        return x + 1\n\n\n\n# 끝\n",
    "한국어와 영어를 함께 배우는 모형입니다. 日本語も少し。",
    "Ünïcode ﬁne, ① ½ x² Ⅳ — “quotes” … 🇰🇷👨‍👩‍👧 ㄱㄴㄷ ｈａｎｇｕｌ",
]


def train(
    folder: Path, *, alphabet: bool = True, vocabulary: int = 600, edit: Callable[[dict], None] | None = None
) -> Path:
    """A byte-level BPE with runs of newlines and control tokens added, as KORMo's is laid out."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    symbols = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
    tokenizer.train_from_iterator(
        TEXT * 3, trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=symbols, show_progress=False)
    )
    tokenizer.add_tokens([AddedToken("\n" * n, normalized=False) for n in range(2, 6)])
    tokenizer.add_special_tokens(["<|BOS|>", "<|EOS|>", "<think>", "</think>"])
    folder.mkdir(parents=True, exist_ok=True)
    spec = json.loads(tokenizer.to_str())
    if edit is not None:
        edit(spec)
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def extend(spec: dict, tokens: list[str]) -> None:
    """Adds tokens to the base vocabulary and moves the added tokens behind them."""
    vocabulary = spec["model"]["vocab"]
    for token in tokens:
        vocabulary[token] = len(vocabulary)
    for place, token in enumerate(spec["added_tokens"]):
        token["id"] = len(vocabulary) + place


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def real_text() -> list[str]:
    """Real documents in Korean, English, Japanese and Chinese, if this machine has them."""
    folder = Path(os.environ.get("KORMO_TEST_TEXT") or Path(__file__).parents[3] / "shared/data")
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        pytest.skip("no folder of real text: set KORMO_TEST_TEXT")
    texts = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line, _ in zip(lines, range(60), strict=False)]
        texts += [row.get("text") or row.get("premise", "") for row in rows]
    return texts
