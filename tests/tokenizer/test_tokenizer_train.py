"""Training: the layout, determinism, the sample, and every kind of bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.tokenizer.layout import (
    NEWLINE_RUNS,
    SPECIAL_TOKENS,
    byte_symbols,
    read_layout,
    read_tokenizer_json,
    tokenizer_hash,
)
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.texts import read_texts
from kormo_plugins.tokenizer.training import budget, merges, sample
from kormo_plugins.tokenizer.training.train import train


def test_layout_is_the_published_one(folder: Path) -> None:
    layout, base = read_layout(folder), 1500
    assert (layout.vocab_size, layout.size) == (base, base + 41)
    assert layout.newlines == tuple(range(base, base + 30))
    published = [
        "<|BOS|>", "<|EOS|>", "<|PAD|>", "<think>", "</think>", "<tool_call>", "</tool_call>",
        "<tool_response>", "</tool_response>", "<|BOT|>", "<|EOT|>",
    ]  # fmt: skip
    added = {token["id"]: token["content"] for token in read_tokenizer_json(folder)["added_tokens"]}
    assert [added[base + 30 + place] for place in range(11)] == published
    assert [added[base + place] for place in range(30)] == list(NEWLINE_RUNS)
    assert [getattr(layout, role) for role, _ in SPECIAL_TOKENS] == list(range(base + 30, base + 41))
    assert layout.missing_bytes == b""


def test_rows_of_the_published_model(folder: Path) -> None:
    published = dataclasses.replace(read_layout(folder), size=125_041)
    assert published.rows() == 125_184
    assert published.rows() % 128 == 0


def test_byte_symbols_are_those_of_the_library() -> None:
    from tokenizers import pre_tokenizers

    assert sorted(byte_symbols()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in ("\n", " ", "é", "가", "\U0001f600", "\x7f"):
        assert level.pre_tokenize_str(character)[0][0] == "".join(byte_symbols()[byte] for byte in character.encode())


def test_published_places_of_byte_symbols(folder: Path) -> None:
    """Ids seen in the published tokenizer; its newline and space come 15 earlier, as it lacks 15 symbols."""
    vocabulary = read_tokenizer_json(folder)["model"]["vocab"]
    assert [vocabulary[symbol] for symbol in ",.1:A"] == [11, 13, 16, 25, 32]
    assert [vocabulary[symbol] for symbol in ("Ċ", "Ġ")] == [183 + 15, 205 + 15]


def test_every_merge_can_be_used(folder: Path, params: TokenizerParams) -> None:
    """No merge across a digit or a newline run, none longer than asked for."""
    symbols = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    for token in read_tokenizer_json(folder)["model"]["vocab"]:
        data = bytes(symbols[character] for character in token)
        assert b"\n\n" not in data
        assert len(data) == 1 or not any(character in b"0123456789" for character in data)
        assert len(data) <= params.max_token_length


@pytest.mark.parametrize("longest", [3, 6, 9])
def test_longest_token(tmp_path: Path, texts, longest: int) -> None:
    train(texts(200), TokenizerParams(vocab_size=900, megabytes=0.1, max_token_length=longest), tmp_path)
    assert max(map(len, read_tokenizer_json(tmp_path)["model"]["vocab"])) == longest


def test_same_file_again_and_with_another_number_of_threads(tmp_path: Path, folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from conftest import made_up;"
        "from kormo_plugins.tokenizer.training.train import train; from kormo_plugins.tokenizer.params import *;"
        "train(made_up(500), TokenizerParams(vocab_size=1500, megabytes=0.4), Path(sys.argv[1]))"
    )
    for threads in (1, 2):
        out = tmp_path / str(threads)
        subprocess.run(
            [sys.executable, "-c", program, str(out), str(Path(__file__).parent)],
            env=os.environ | {"RAYON_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)},
            check=True,
        )
        for file in folder.iterdir():
            assert (out / file.name).read_bytes() == file.read_bytes(), (threads, file.name)


def test_another_seed_samples_other_text(tmp_path: Path, texts, params: TokenizerParams) -> None:
    small = params.model_copy(update={"megabytes": 0.1, "vocab_size": 600})
    train(texts(500), small, tmp_path / "a")
    train(texts(500), small.model_copy(update={"seed": 7}), tmp_path / "b")
    assert tokenizer_hash(tmp_path / "a") != tokenizer_hash(tmp_path / "b")


@pytest.mark.parametrize("shares", [{"ko": 0.5, "en": 0.5}, {"ko": 3, "en": 1}, {"en": 1}, {}])
def test_sample_holds_the_shares(texts, shares: dict[str, float]) -> None:
    params = TokenizerParams(vocab_size=300, megabytes=0.2, shares=shares)
    census = sample.take_census(texts(800), params)
    quotas = sample.plan_quotas(census, params)
    drawn = list(sample.draw(texts(800), quotas, params))
    total = sum(len(text.encode()) for text in drawn)
    assert abs(total - 200_000) < 16  # the cut may lose part of one character per language
    for language, share in params.shares.items():
        korean = sum(len(text.encode()) for text in drawn if any("가" <= c <= "힣" for c in text))
        got = korean if language == "ko" else total - korean
        assert got == pytest.approx(200_000 * share, abs=1000)
    if shares == {"en": 1}:
        assert census.left_out["ko"] > 100_000


def test_sample_does_not_depend_on_order(texts) -> None:
    params = TokenizerParams(vocab_size=300, megabytes=0.2)
    census = sample.take_census(texts(500), params)
    quotas = sample.plan_quotas(census, params)

    def turned():
        return reversed(list(texts(500)()))

    forward, backward = (Counter(sample.draw(t, quotas, params)) for t in (texts(500), turned))
    assert sum(((forward - backward) + (backward - forward)).values()) <= 4  # the two cut ones


def of_both(texts, english: int, korean: int):
    """Texts with so many documents of each language."""

    def both():
        yield from texts(english, languages=("en",))()
        yield from texts(korean, languages=("ko",))()

    return both


def test_shares_hold_where_a_language_is_short(texts, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lopsided = of_both(texts, 400, 20)
    result = train(lopsided, TokenizerParams(vocab_size=400, megabytes=10), tmp_path)
    sampled = result["sample"]["sampled_bytes"]
    assert abs(sampled["ko"] - sampled["en"]) <= 1
    assert sampled["ko"] == result["sample"]["available_bytes"]["ko"]
    assert "the shares limit the sample to" in caplog.text


@pytest.mark.parametrize("found", ["the warning", "the refusal"])
def test_a_share_that_leaves_most_text_unused_is_named_with_its_mend(
    texts, tmp_path: Path, caplog: pytest.LogCaptureFixture, found: str
) -> None:
    korean = of_both(texts, 5, 2000)
    shares = {"ko": 0.6, "en": 0.4}
    if found == "the warning":  # the vocabulary is reached, but of a small part of the text
        train(korean, TokenizerParams(vocab_size=260, megabytes=6, shares=shares), tmp_path)
        said = caplog.text
        assert re.search(r"trained on [\d.]+ kB, not on the 6.0 MB", said) and " 0.0 MB" not in said
    else:
        error = refused("yields only", korean, tmp_path, vocab_size=4096, megabytes=6, shares=shares)
        said = str(error)
        assert error.where == "tokenizer: shares" and "raise megabytes" not in said
    assert re.search(
        r"share en 0.4 is short: the corpus has [\d.,]+ (kB|bytes) of en, and [\d.]+ (MB|kB) would need", said
    )
    proposed = re.search(r"set `shares: (\{.+?\})`", said)
    assert proposed and "shares: {}" in said and "add text in en" in said
    params = TokenizerParams(vocab_size=4096, megabytes=6, shares=shares | yaml.safe_load(proposed[1]))
    census = sample.take_census(korean, params)
    assert sample.share_limit(census, params) is None


def test_shares_that_use_half_of_the_text_are_no_fault(texts, caplog: pytest.LogCaptureFixture) -> None:
    params = TokenizerParams(vocab_size=4096, megabytes=6)
    sample.plan_quotas(sample.take_census(of_both(texts, 100, 100), params), params)
    assert "no more in the shares" in caplog.text and "the shares limit" not in caplog.text


def test_result_is_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "kormo_tokenizer.json").read_text())
    assert manifest["hash"] == tokenizer_hash(folder)
    assert manifest["ids"]["eos"] == manifest["eos_token_id"] == 1531
    assert manifest["size"] == 1541


def refused(pattern: str, texts, tmp_path: Path, **changes) -> KormoError:
    params = TokenizerParams(**({"vocab_size": 300, "megabytes": 0.1} | changes))
    with pytest.raises(KormoError, match=pattern) as caught:
        train(texts, params, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    return caught.value


def test_empty_corpus(tmp_path: Path) -> None:
    assert "no document" in refused("there is no text", lambda: iter(()), tmp_path).found


def test_corpus_of_unusable_documents_says_why(tmp_path: Path) -> None:
    bad = [
        Document("1", "", language="ko"),
        Document("2", "\ud800", language="ko"),
        Document("3", "x", language="ja"),
    ]
    what = refused("there is no text", lambda: iter(bad), tmp_path).found
    assert "1 document rejected (empty)" in what
    assert "1 document rejected (lone surrogate)" in what
    assert "1 byte of ja" in what


def test_language_missing(tmp_path: Path, texts) -> None:
    error = refused("no text in ko", texts(50, languages=("en",)), tmp_path)
    assert "shares.ko" in error.where


def test_text_without_language(tmp_path: Path, texts) -> None:
    plain = [document.text for document in texts(300)()]
    refused("text without a language", lambda: iter(plain), tmp_path)
    result = train(lambda: iter(plain), TokenizerParams(vocab_size=300, megabytes=0.1, shares={}), tmp_path)
    assert result["sample"]["sampled_bytes"] == {"any": 100_000}


@pytest.mark.parametrize("installed", [True, False])
def test_a_vocabulary_that_no_text_could_fill_reserves_no_memory(
    tmp_path: Path, texts, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """Trainers reserve memory for each entry, and the process ended without a message."""
    if installed:
        pytest.importorskip("gigabpe")
    monkeypatch.setattr(merges, "gigabpe_is_installed", lambda: installed)
    refused("5,000,000,000, but this text yields only", texts(3), tmp_path, vocab_size=5_000_000_000)


def test_too_little_text_for_the_vocabulary(tmp_path: Path, texts) -> None:
    error = refused("but this text yields only", texts(3), tmp_path, vocab_size=100_000)
    reachable = int(error.do.rsplit(" ", 1)[1].replace(",", ""))
    assert train(texts(3), TokenizerParams(vocab_size=reachable, megabytes=0.1), tmp_path)["vocab_size"] == reachable


@pytest.mark.parametrize(
    ("values", "key", "why"),
    [
        ({"vocab_size": 255}, "vocab_size", "must be at least 256"),
        ({"vocab_sise": 4000}, "vocab_sise", "unknown"),
        ({"shares": {"ko": 0, "en": 1}}, "shares", "must be above 0"),
        ({"megabytes": 0}, "megabytes", "greater than 0"),
        ({"normalization": "NFKC"}, "normalization", "NFC"),
        ({"max_token_length": 1}, "max_token_length", "greater than or equal to 2"),
    ],
)
def test_bad_parameters(values: dict, key: str, why: str) -> None:
    with pytest.raises(KormoError, match=why) as caught:
        Registry().params("tokenizer", "kormo_bpe", values, "tokenizer.params")
    assert caught.value.where == f"tokenizer.params.{key}"


def test_alphabet_alone_is_a_vocabulary(tmp_path: Path, texts) -> None:
    assert train(texts(5), TokenizerParams(vocab_size=256, megabytes=0.1), tmp_path)["size"] == 297


def test_lone_surrogates_are_counted_and_left_out(tmp_path: Path, texts) -> None:
    def broken():
        yield Document("bad", "half \ud83d of a character", language="en")
        yield from texts(500)()

    clean = train(texts(500), TokenizerParams(vocab_size=500, megabytes=0.2), tmp_path / "clean")
    result = train(broken, TokenizerParams(vocab_size=500, megabytes=0.2), tmp_path / "broken")
    assert result["sample"]["rejected_documents"] == {"lone surrogate": 1}
    assert result["hash"] == clean["hash"]


def test_from_files_without_a_corpus(tmp_path: Path, texts) -> None:
    file = tmp_path / "mixed.jsonl"
    rows = [{"text": document.text} for document in texts(500)()] + [{"text": "\ud800"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = train(lambda: read_texts([file]), TokenizerParams(vocab_size=400, megabytes=0.2), tmp_path / "out")
    assert result["sample"]["sampled_bytes"] == {"en": 100_000, "ko": 100_000}
    assert sum(result["sample"]["rejected_documents"].values()) == 1


@pytest.mark.parametrize("name", ["tokenizer.yml", "tokenizer_nano.yml", "kormo/tokenizer.yml"])
def test_recipes_are_valid(name: str) -> None:
    path = Path(__file__).parents[2] / "datasets_recipes" / name
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    registry, component = Registry(), values.pop("name")
    assert registry.load("tokenizer", component) is train
    params = registry.params("tokenizer", component, values, str(path))
    assert params.vocab_size + 41 in (32_000, 4_137, 125_041)


@pytest.fixture
def by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted here: the tokenizers library learns, with its limits."""
    monkeypatch.setattr(merges, "find_spec", lambda name: None)


@pytest.mark.usefixtures("by_the_library")
def test_memory_budget_names_the_largest_that_fits(tmp_path: Path, texts) -> None:
    error = refused("GB are allowed", texts(500), tmp_path, megabytes=0.4, memory_gigabytes=0.154)
    fits = float(error.do.rsplit(" ", 1)[1])
    assert 0 < fits < 0.4
    assert train(texts(500), TokenizerParams(vocab_size=300, megabytes=fits, memory_gigabytes=0.154), tmp_path)


def test_pair_bound_covers_every_count_of_training(texts) -> None:
    """An independent count over the same text, of the pairs within the pieces that the trainer sees."""
    params = TokenizerParams(vocab_size=300, megabytes=100, shares={})
    census = sample.take_census(texts(60), params)
    quotas = sample.plan_quotas(census, params)
    counts: Counter[bytes] = Counter()
    for document in texts(60)():
        data = document.text.encode()
        counts.update(data[place : place + 2] for place in range(len(data) - 1))
    bound = budget.largest_pair_count(census, quotas)
    assert max(counts.values()) <= bound <= max(counts.values()) + 1


def test_more_different_pieces_than_memory_are_refused(tmp_path: Path, texts) -> None:
    pytest.importorskip("gigabpe", reason="the extra `fast` is not installed")
    error = refused("150.*distinct pieces|GB of memory", texts(500), tmp_path, megabytes=0.4, memory_gigabytes=0.1)
    assert "distinct pieces" in error.found and not list(tmp_path.glob("*"))


@pytest.mark.usefixtures("by_the_library")
def test_counts_beyond_32_bits_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts) -> None:
    monkeypatch.setattr(budget, "LARGEST_COUNT", 3000)
    error = refused("32-bit counters", texts(500), tmp_path, megabytes=0.4, memory_gigabytes=0.3)
    fits = float(error.do.rsplit(" ", 1)[1])
    assert 0 < fits < 0.4
    census = sample.take_census(texts(500), TokenizerParams(vocab_size=300, megabytes=fits))
    quotas = sample.plan_quotas(census, TokenizerParams(vocab_size=300, megabytes=fits))
    assert budget.largest_pair_count(census, quotas) < 3000


def test_census_counts_every_byte_once(texts) -> None:
    params = TokenizerParams(vocab_size=300)
    census = sample.take_census(texts(50), params)
    for language in ("ko", "en"):
        size = sum(len(d.text.encode()) for d in texts(50)() if d.language == language)
        assert census.size(language) == size
        assert np.sum(census.pairs[language]) == size + 49 - 1  # 49 zero bytes between 50 documents
