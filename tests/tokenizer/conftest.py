"""A small tokenizer, learned once per session from a few hundred kilobytes of made-up Korean and English."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kormo_plugins.documents.document import Document
from kormo_plugins.tokenizer.params import TokenizerParams

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

KOREAN = (
    "나는 오늘 아침 학교에 갔다 그리고 친구를 만났다 우리는 함께 점심을 먹었습니다 날씨가 좋아서 공원까지 "
    "걸었어요 서울은 대한민국의 수도이며 인구가 많은 도시입니다 물은 백 도에서 끓는다 책을 읽으면 생각이 "
    "깊어집니다"
)
ENGLISH = (
    "the quick brown fox jumps over a lazy dog while we were walking to school this morning and they "
    "don't know that water boils at one hundred degrees because Seoul is the capital of Korea and "
    "reading makes thinking deep"
)
SYLLABLES = [chr(code) for code in range(0xAC00, 0xD7A4, 17)]
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Texts = Callable[[], Iterator[Document]]


def sentence(draw: random.Random, language: str) -> str:
    words, letters = (KOREAN, SYLLABLES) if language == "ko" else (ENGLISH, LETTERS)
    chosen = [
        draw.choice(words.split()) if draw.random() < 0.8 else "".join(draw.choices(letters, k=draw.randint(2, 6)))
        for _ in range(draw.randint(4, 14))
    ]
    if draw.random() < 0.2:
        chosen.append(str(draw.randint(0, 99_999)))
    return " ".join(chosen) + draw.choice([".", ".\n", "!\n\n", "?\n\n\n", ", "])


def made_up(count: int, seed: int = 0, languages: tuple[str, ...] = ("ko", "en")) -> Texts:
    """`count` documents per language."""

    def texts() -> Iterator[Document]:
        for number in range(count):
            for language in languages:
                draw = random.Random(f"{seed} {language} {number}")
                text = "".join(sentence(draw, language) for _ in range(draw.randint(3, 12)))
                yield Document(f"{language}{number}", text, "made-up", language)

    return texts


@pytest.fixture(scope="session")
def texts() -> Callable[..., Texts]:
    return made_up


@pytest.fixture(scope="session")
def params() -> TokenizerParams:
    return TokenizerParams(vocab_size=1500, megabytes=0.4)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, params: TokenizerParams) -> Path:
    from kormo_plugins.tokenizer.training.train import train

    path = tmp_path_factory.mktemp("tokenizer")
    train(made_up(500), params, path)
    return path


@pytest.fixture(scope="session")
def chat_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kormo_plugins.tokenizer.layout import write_role

    path = tmp_path_factory.mktemp("chat")
    write_role(folder, path, "chat")
    return path


@pytest.fixture(scope="session")
def real_text() -> Path:
    """A folder of real JSONL documents, for the tests that can use one."""
    path = Path(os.environ.get("KORMO_TEST_TEXT", Path(__file__).parents[2] / "../shared/data"))
    if not path.is_dir():
        pytest.skip("no real text: set KORMO_TEST_TEXT to a folder of JSONL documents")
    return path
