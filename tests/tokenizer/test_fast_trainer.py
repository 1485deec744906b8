"""Merges by gigabpe are those of the tokenizers library, or are not used."""

from __future__ import annotations

import json
import random
import re
import tempfile
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from kormo_plugins.documents.document import Document
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training import merges, piece_counts, sample, train
from kormo_plugins.tokenizer.training.piece_counts import PieceCounts, pieces
from kormo_plugins.tokenizer.training.pieces import disputed
from kormo_plugins.tokenizer.training.spool import Spool
from kormo_plugins.tokenizer.training.train import SPLIT

TEXTS = [
    "가나다라 마바사 가나다 라마바 아자차카타파하 " * 20,
    "The cat sat on the mat, and the cats' hats don't fit. 3.14159\n\n\n\nAnother paragraph.\n" * 15,
    "\u1112\u1161\u11ab\u1100\u1173\u11af 日本語 🇰🇷👨‍👩‍👧 e\u0301 \t  x\r\n\r\n" * 9,
    "",
]


def whole(texts: list[str], params: TokenizerParams, folder: Path) -> tuple[str, dict[str, str | int]]:
    def again() -> Iterator[str]:
        return iter(texts)

    tokenizer, trainer = train._learn(again, params, Path(tempfile.mkdtemp(dir=folder)))
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
    right = merges._by_gigabpe
    monkeypatch.setattr(merges, "_by_gigabpe", lambda *arguments: right(*arguments)[::-1])
    params = TokenizerParams(shares={}, vocab_size=400)
    found, trainer = whole(TEXTS, params, tmp_path)
    assert "different merges" in str(trainer["reason"])
    assert json.loads(found)["model"]["merges"][0] != json.loads(found)["model"]["merges"][-1]


@pytest.mark.usefixtures("installed")
def test_a_character_of_another_unicode_edition_is_not_counted_here(tmp_path: Path) -> None:
    newer = "가나 \U0001e5ee\U0001e5ef 다라 " * 3  # combining marks of Unicode 16
    blank = train._blank()
    assert disputed("가a1 ", blank) == []
    if disputed(newer, blank):
        assert "in another way" in str(
            whole([newer], TokenizerParams(shares={}, vocab_size=260), tmp_path)[1]["reason"]
        )


def by_expression(text: str) -> list[str]:
    """The pieces of a text as `SPLIT` says, one regular expression at a time."""
    parts = re.split(r"\n{2,}", unicodedata.normalize("NFC", text))
    return [piece for part in parts for piece in regex.findall(SPLIT, part)]


TEXT = st.text(
    st.sampled_from("aZsTlLrmvedſK'' \n\n\r\t\x0b\x85\u2028\u3000 0१²!?.가나漢ñẹ\u0301\u0323\u1112\u1161😀-_"),
    max_size=14,
)


@settings(deadline=None, max_examples=300)
@given(TEXT)
def test_pieces_are_those_of_the_expression(text: str) -> None:
    assert pieces(text) == by_expression(text)


def test_every_code_point_is_cut_as_the_expression_does() -> None:
    for first in range(0, 0x110000, 0x800):
        if first != 0xD800:
            text = "".join(f"a{chr(code)}1 '{chr(code)}" for code in range(first, first + 0x800))
            assert pieces(text) == by_expression(text), hex(first)


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXT, max_size=30), st.sampled_from([1, 2, 64]), st.sampled_from([2, 4096]))
def test_counts_do_not_depend_on_memory(texts: list[str], room: int, ranges: int) -> None:
    """With room for one entry all goes to disk at once, and comes back as one."""
    wanted = Counter(piece for text in texts for piece in by_expression(text))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(piece_counts, "FIRST", room)
        patch.setattr(piece_counts, "RANGES", ranges)
        counts = PieceCounts(Path(folder), 100)
        counts.add(texts)
        found = [item for part in counts.counted() for item in part.items()]
    assert len(found) == len(dict(found)) and dict(found) == wanted
    assert counts.characters() == sorted({c for text in texts for c in text + unicodedata.normalize("NFC", text)})
    assert room > 1 or len(wanted) < 3 or counts.runs


@pytest.mark.usefixtures("installed")
def test_what_went_to_disk_gives_the_same_merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = TokenizerParams(shares={}, vocab_size=420, min_frequency=1)
    texts = [*TEXTS, "가나 다라 " * 3000]  # a count above BASE
    wanted, _ = whole(texts, params, tmp_path)
    monkeypatch.setattr(piece_counts, "FIRST", 8)
    monkeypatch.setattr(merges, "TABLE_MEMORY", 100.0)
    spilled: list[int] = []
    spill = PieceCounts._spill
    monkeypatch.setattr(PieceCounts, "_spill", lambda counts: spilled.append(1) or spill(counts))
    found, trainer = whole(texts, params, tmp_path)
    assert (found, str(trainer["trainer"]).startswith("gigabpe")) == (wanted, True)
    assert len(spilled) > 10
    monkeypatch.setattr(merges, "find_spec", lambda name: None)
    assert json.loads(whole(texts, params, tmp_path)[0]) == json.loads(found), "the tokenizers library's own"


def test_memory_does_not_grow_with_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the table nor of what is read from the runs at once; a mapped run would count as memory in the end."""
    monkeypatch.setattr(piece_counts, "FIRST", 256)
    monkeypatch.setattr(piece_counts, "RANGES", 256)
    pieces("warm")
    peaks, runs = [], []
    for words in (5_000, 40_000):
        (folder := tmp_path / str(words)).mkdir()
        counts = PieceCounts(folder, 100_000)
        tracemalloc.start()
        counts.add(f"{number:x}".translate(_LETTERS) for number in range(words))
        found = sum(len(part.counts) for part in counts.counted())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found == words and len(counts.runs) > words // 1_100
        runs.append(len(counts.runs))
    assert peaks[1] - peaks[0] < 8_000 * (runs[1] - runs[0]), (peaks, runs)  # some kilobytes for each run on disk
    assert peaks[1] < 300_000, peaks  # the pieces themselves are ten times that


_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@pytest.mark.parametrize("megabytes", [0.001, 0.004, 0.02, 1.0])
def test_the_sample_from_the_spool_is_that_of_the_corpus(tmp_path: Path, megabytes: float) -> None:
    """It is what a second reading of the corpus would give, and the spool is not the corpus."""
    dice = random.Random(1)
    made = [Document(str(n), f"{n} " * dice.randint(1, 60), language=dice.choice(["ko", "en"])) for n in range(2000)]
    params = TokenizerParams(vocab_size=300, megabytes=megabytes, shares={"ko": 0.7, "en": 0.3})
    with Spool(tmp_path / "spool", sample.caps(params), sample.BINS) as spool:
        census = sample.take_census(lambda: iter(made), params, spool)
    quotas = sample.plan_quotas(census, params)
    again = list(sample.draw(lambda: iter(made), quotas, params))
    assert list(sample.draw(spool.texts, quotas, params)) == again and again
    size = sum(map(census.size, ("ko", "en")))
    assert spool.bytes <= size and (megabytes > 0.004 or spool.bytes < size / 4)


def test_a_saved_tokenizer_opens(tmp_path: Path) -> None:
    tokenizer, _ = train._learn(lambda: iter(TEXTS), TokenizerParams(shares={}, vocab_size=350), tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size() == 350


@pytest.mark.soak
def test_counts_beyond_32_bits_keep_their_order(tmp_path: Path) -> None:
    """`budget.py` refuses such texts for the tokenizers library, whose counts wrap around."""
    gigabpe = pytest.importorskip("gigabpe")
    names, pairs = 1000, 500
    often, seldom = (count // pairs // names for count in (2**32 + 10**6, 10**9))
    text = ("ab" * pairs + "\n") * often + ("cd" * pairs + "\n") * seldom
    (tmp_path / "part.txt").write_text(text, encoding="utf-8")
    _, merges = gigabpe.train_bpe(
        [str(tmp_path / "part.txt")] * names, 6, special_tokens=[], pretokenizer="whitespace", max_token_length=3
    )
    assert [tuple(merge) for merge in merges] == [("a", "b"), ("c", "d")]
