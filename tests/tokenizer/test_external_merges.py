"""Merges learned with the pieces on disk are those of the tokenizers library, however little is in memory."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.console import progress
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.layout import byte_symbols
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training import budget, merges, train
from kormo_plugins.tokenizer.training.external import batch, learn, pair_table, piece_file
from kormo_plugins.tokenizer.training.external.pair_table import PairTable, key_of
from kormo_plugins.tokenizer.training.piece_counts import PieceCounts

ALPHABET = sorted(byte_symbols())
SYMBOL_OF = np.array([ALPHABET.index(symbol) for symbol in byte_symbols()], np.uint32)


def made_up(dice: random.Random) -> str:
    """Text of few letters, so that pairs overlap, repeat and are equally frequent."""
    letters = "abcdefghijklmnop가나"[: dice.choice([1, 2, 3, 4, 10, 18])]
    words = [
        "".join(dice.choices(letters, k=dice.choice([1, 2, 3, 5, 8, 20, 60]))) for _ in range(dice.choice([2, 10, 300]))
    ]
    weights = [1 / (number + 1) for number in range(len(words))]
    return " ".join(dice.choices(words, weights if dice.random() < 0.7 else None, k=dice.choice([10, 300, 1500])))


def wanted_merges(text: str, params: TokenizerParams) -> list[tuple[str, str]]:
    return train._read_merges(train._by_tokenizers([text], params, params.vocab_size))


def found_merges(text: str, params: TokenizerParams, table: PairTable) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        counts = PieceCounts(Path(folder))
        counts.add([text])
        with piece_file.PieceFile(Path(folder) / "pieces") as pieces:
            for part in counts.counted():
                pieces.append(SYMBOL_OF[part.arena], part.begins, part.counts)
            arguments = params.vocab_size, params.max_token_length, params.min_frequency
            return learn.Learner(pieces, table, list(ALPHABET), *arguments).learn()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_merges_are_those_of_the_library(seed: int) -> None:
    check(seed)


@pytest.mark.soak
def test_merges_are_those_of_the_library_for_many_texts() -> None:
    for seed in range(1500):
        check(10**6 + seed)


def check(seed: int) -> None:
    """Compares the merges of a text, with parameters and sizes drawn for it."""
    dice = random.Random(seed)
    text = made_up(dice)
    params = TokenizerParams(
        shares={},
        vocab_size=256 + dice.choice([5, 30, 200, 500]),
        min_frequency=dice.choice([1, 2, 5]),
        max_token_length=dice.choice([2, 3, 6, 64]),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn, "WANTED_FEWEST", dice.choice([1, 4, 512]))
        patch.setattr(piece_file, "BLOCK", dice.choice([7, 40, 1 << 18]))
        assert found_merges(text, params, PairTable()) == wanted_merges(text, params)


def test_a_table_that_is_too_small_for_all_pairs_gives_the_same_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rare pairs are dropped and counted again, in shares, when they are the most frequent of what is left."""
    monkeypatch.setattr(pair_table, "FIRST", 64)
    monkeypatch.setattr(piece_file, "BLOCK", 40)
    monkeypatch.setattr(learn, "WANTED_FEWEST", 16)
    dropped, shares, refused, equal = [], [], 0, 0
    drop, count = PairTable.drop, learn.Learner._count_shares
    monkeypatch.setattr(PairTable, "drop", lambda table: dropped.append(1) or drop(table))
    monkeypatch.setattr(learn.Learner, "_count_shares", lambda *given: shares.append(given[1]) or count(*given))
    for seed in range(12):
        dice = random.Random(seed)
        text = made_up(dice)
        params = TokenizerParams(shares={}, vocab_size=600, min_frequency=dice.choice([1, 2]))
        try:
            found = found_merges(text, params, PairTable(dice.choice([256, 512])))
        except KormoError as error:
            refused += 1
            assert "pairs of symbols fit" in error.found
            continue
        equal += 1
        assert found == wanted_merges(text, params), seed
    assert equal > 6 and len(dropped) > 10 and max(shares) > 2, (equal, refused, len(dropped), max(shares))


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 300), st.integers(0, 2**31 - 1)), st.integers(0, 9) | st.integers(0, 10**12)
    ),
    st.integers(1, 30),
)
def test_the_largest_pairs_are_in_order_and_complete(counts: dict[tuple[int, int], int], number: int) -> None:
    table = PairTable()
    for pair, amount in counts.items():
        pair_table.kernel.add(table.table, table.used, key_of(pair), amount, True)
    ranked, following = table.largest(number)
    wanted = sorted((-amount, pair) for pair, amount in counts.items() if amount > 0)
    assert [(-amount, pair) for pair, amount in ranked.items()] == wanted[: len(ranked)]
    assert len(ranked) >= min(number, len(wanted))
    assert all(order >= following for order in wanted[len(ranked) :])


def test_a_tie_that_may_go_to_another_pair_ends_the_batch() -> None:
    """Of equal counts the smaller ids are first; bounds that only touch decide nothing."""

    def nothing(pair: pair_table.Pair) -> tuple[dict[int, int], dict[int, int]]:
        return {}, {}

    for touching, wanted in (((1, 2), None), ((8, 9), (5, 6))):
        made = batch.Batch({(5, 6): 10, touching: 10}, (0, (0, 0)), nothing, [1] * 10, 64, 1, lambda pair: 10)
        made._change((5, 6), 0, 2)  # from 10 to 12: the other one, with 10, may be as frequent
        assert made._next() == wanted


@pytest.fixture
def without_gigabpe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merges, "find_spec", lambda name: None)


def learned(texts: list[str], params: TokenizerParams, folder: Path, refusal: KormoError | None = None) -> object:
    folder.mkdir()
    tokenizer, trainer = train._learn(lambda: iter(texts), params, folder, refusal)
    return tokenizer.to_str(), str(trainer["trainer"]).split()[0]


def test_pieces_that_do_not_fit_in_memory_are_learned_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gigabpe", reason="the extra `fast` is not installed")
    texts = [made_up(random.Random(seed)) for seed in range(20)]
    params = TokenizerParams(shares={}, vocab_size=700, min_frequency=1)
    wanted, trainer = learned(texts, params, tmp_path / "memory")
    assert trainer == "gigabpe"
    monkeypatch.setattr(merges, "gigabpe_memory", lambda pieces, size: float("inf"))
    assert learned(texts, params, tmp_path / "disk") == (wanted, "kormo-plugins")


@pytest.mark.usefixtures("without_gigabpe")
def test_what_the_library_cannot_hold_or_count_is_learned_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [made_up(random.Random(seed)) for seed in range(20)]
    params = TokenizerParams(shares={}, vocab_size=700, min_frequency=1)
    wanted, trainer = learned(texts, params, tmp_path / "library")
    assert trainer == "tokenizers"
    refusal = KormoError(where="here", found="this", why="so", do="that")
    assert learned(texts, params, tmp_path / "disk", refusal) == (wanted, "kormo-plugins")
    # Where the library would split otherwise, nobody can learn from them.
    monkeypatch.setattr(train, "disputed", lambda characters, blank: characters[:1])
    with pytest.raises(KormoError, match="so"):
        learned(texts, params, tmp_path / "disputed", refusal)


def test_progress_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading, counting and learning take hours for a large text."""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(merges, "gigabpe_memory", lambda pieces, size: float("inf"))
    monkeypatch.setattr(train, "library_refusal", lambda *given: KormoError(where="a", found="b", why="c", do="d"))
    text = made_up(random.Random(3))
    params = TokenizerParams(shares={}, vocab_size=300, min_frequency=1)
    train.train(lambda: iter([text]), params, tmp_path / "out")
    told = capsys.readouterr().err
    assert "tokenizer: reading: 1 documents" in told
    assert f"tokenizer: counting: {len(text):,} characters" in told
    assert "tokenizer: learning: 44 of 44 (100%) merges" in told


def test_counts_above_32_bits(tmp_path: Path) -> None:
    """`budget.py` refuses such texts for the tokenizers library, whose counts wrap around."""
    words = {b"ab": 2**32 + 10**6, b"cd": 10**9, b"ef": 2**40}
    with piece_file.PieceFile(tmp_path / "pieces") as pieces:
        arena = np.frombuffer(b"".join(words), np.uint8)
        pieces.append(SYMBOL_OF[arena], np.arange(0, 7, 2, dtype=np.int64), np.array(list(words.values()), np.int64))
        found = learn.Learner(pieces, PairTable(), list(ALPHABET), 300, 64, 1).learn()
    assert found == [("e", "f"), ("a", "b"), ("c", "d")]


def test_memory_below_what_any_way_needs_is_refused(tmp_path: Path) -> None:
    params = TokenizerParams(shares={}, vocab_size=300, memory_gigabytes=0.1)
    with pytest.raises(KormoError, match=r"0\.15 GB of memory, but only 0\.10"):
        counts = PieceCounts(tmp_path)
        counts.add(["가나 다라"])
        raise merges._too_many(counts, params)
    assert budget.EXTERNAL_BASE < budget.EXTERNAL_LEAST
