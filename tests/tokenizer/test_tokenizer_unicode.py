"""What goes in comes out: every plane of Unicode, Hangul in all its forms, and the same ids everywhere."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.encode import check_encodable, encode_strict
from kormo_plugins.tokenizer.layout import CONTROL, NEWLINE_RUNS, SPECIAL_TOKENS, byte_symbols, read_layout

BLOCKS = (
    (0x00, 0x7F),
    (0x80, 0x24F),
    (0x300, 0x36F),
    (0x0900, 0x097F),
    (0x1100, 0x11FF),
    (0x2000, 0x206F),
    (0x3040, 0x30FF),
    (0x3130, 0x318F),
    (0x4E00, 0x9FFF),
    (0xA960, 0xA97F),
    (0xAC00, 0xD7A3),
    (0xD7B0, 0xD7FF),
    (0xE000, 0xF8FF),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFDC),
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1FAFF),
    (0x2F800, 0x2FA1F),
    (0xE0000, 0xE007F),
    (0x0, 0x10FFFF),
)
SNIPPETS = (
    "\n\n",
    "\n" * 40,
    "\r\n\r\n",
    "  ",
    "\t",
    "1971",
    "don't",
    "한글",
    "<think>",
    "e\u0301",
    "👩‍👩‍👧‍👦",
    "\u200b",
    "\0",
)


def strings(count: int, seed: int) -> Iterator[str]:
    """Random strings: characters of all planes and of the blocks that matter, words, runs of newlines."""
    draw = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(draw.randrange(1, 9)):
            low, high = BLOCKS[draw.randrange(len(BLOCKS))]
            code = draw.randint(low, high)
            parts.append(chr(code) if not 0xD800 <= code < 0xE000 else SNIPPETS[code % len(SNIPPETS)])
        yield "".join(parts)


@pytest.fixture(scope="module")
def fast(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1)
def newer_marks() -> frozenset[str]:
    """The combining marks that the library's Unicode tables (of 2016) do not know: it does not sort them."""
    from tokenizers import normalizers

    normalizer, newer = normalizers.NFC(), set()
    for mark in filter(unicodedata.combining, map(chr, range(0x110000))):
        for other in "\u0323\u0301\u0334\u0345":
            if any(normalizer.normalize_str(text) != nfc(text) for text in (f"a{mark}{other}", f"a{other}{mark}")):
                newer.add(mark)
    return frozenset(newer | {"\U00011938"})  # and one vowel sign, which is composed of two since 2020


def test_the_library_normalizes_all_but_newer_marks() -> None:
    assert len(newer_marks()) < 120
    assert all(unicodedata.ucd_3_2_0.category(mark) == "Cn" for mark in newer_marks())


def assert_round_trips(fast: Any, texts: list[str]) -> None:
    encoded = fast.encode_batch(texts, add_special_tokens=False)
    decoded = fast.decode_batch([one.ids for one in encoded], skip_special_tokens=False)
    for text, back in zip(texts, decoded, strict=True):
        if back != nfc(text):
            assert nfc(back) == nfc(text), ascii(text)  # the same text still, its marks in another order
            assert newer_marks() & set(unicodedata.normalize("NFD", text)) or "\U00011938" in nfc(text), ascii(text)


def test_hundred_thousand_random_strings(fast: Any) -> None:
    texts = list(strings(100_000, 1))
    assert {ord(character) >> 16 for text in texts for character in text} == set(range(17))  # every plane
    assert_round_trips(fast, texts)


@pytest.mark.soak
def test_a_million_random_strings(fast: Any) -> None:
    for seed in range(10):
        assert_round_trips(fast, list(strings(100_000, 100 + seed)))


def test_all_hangul_composed_and_decomposed(fast: Any) -> None:
    for start in range(0xAC00, 0xD7A4, 588):
        text = "".join(map(chr, range(start, min(start + 588, 0xD7A4))))
        decomposed = unicodedata.normalize("NFD", text)
        assert decomposed != text
        ids = [fast.encode(form, add_special_tokens=False).ids for form in (text, decomposed)]
        assert ids[0] == ids[1]
        assert fast.decode(ids[0]) == text


@pytest.mark.parametrize(
    "text",
    [
        "ㄱㄴㄷㅏㅑㅓㅋㅋㅋㅠㅠ",  # compatibility jamo stay what they are: NFC, not NFKC
        "ﾡﾢￂ",  # half-width jamo
        "ᄒᆞᆫ글",  # an old syllable, which has no composed form
        "👩‍👩‍👧‍👦🏳️‍🌈🇰🇷👍🏽",
        "①２㎏ﬁ",  # not folded
        "漢字 かな ไทย العربية हिन्दी",
        "",
    ],
)
def test_kept_as_it_is(fast: Any, text: str) -> None:
    assert fast.decode(fast.encode(text, add_special_tokens=False).ids) == text == nfc(text)


def test_every_character_of_every_plane(fast: Any) -> None:
    step = 16  # with another offset in each plane
    for plane in range(17):
        codes = range(plane << 16 | plane % step, (plane + 1) << 16, step)
        assert_round_trips(fast, [chr(code) for code in codes if not 0xD800 <= code < 0xE000])


def test_lone_surrogates_are_refused(fast: Any) -> None:
    for text in ("\ud800", "abc\udfff", "\udc00\ud800"):
        with pytest.raises(KormoError, match="lone surrogate U\\+D"):
            encode_strict(fast, text, b"")
    assert encode_strict(fast, "\U00010000", b"")


def test_newline_runs_are_one_token_each(fast: Any, folder: Path) -> None:
    layout = read_layout(folder)
    for run, token in zip(NEWLINE_RUNS, layout.newlines, strict=True):
        assert fast.encode(f"가{run}a", add_special_tokens=False).ids[1:-1].count(token) == 1
    assert fast.encode("\n" * 33, add_special_tokens=False).ids == [layout.newlines[-1], layout.newlines[0]]


def test_digits_stand_alone(fast: Any) -> None:
    space = fast.token_to_id("Ġ")
    assert fast.encode(" 1971", add_special_tokens=False).ids == [
        space,
        *(fast.token_to_id(d) for d in "1971"),
    ]


def test_same_ids_from_transformers(fast: Any, folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = list(strings(3000, 2))
    layout = read_layout(folder)
    for ids, text in zip(tokenizer(texts)["input_ids"], texts, strict=True):
        assert ids == fast.encode(text).ids
        assert ids[0] == layout.bos
    plain = tokenizer(texts, add_special_tokens=False)["input_ids"]
    for ids, text in zip(plain, texts, strict=True):
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == nfc(text)


def test_saving_with_transformers_changes_no_hash(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from kormo_plugins.tokenizer.layout import tokenizer_hash

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=2)
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_hash(tmp_path) == tokenizer_hash(folder)
    assert read_layout(tmp_path) == read_layout(folder)


def test_same_ids_from_tiktoken(fast: Any, folder: Path) -> None:
    """tiktoken ranks merges by the token they make; with ranks mapped back its ids are the same."""
    import tiktoken

    from kormo_plugins.tokenizer.training.train import SPLIT

    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    values = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    tokens = {bytes(values[c] for c in token): place for token, place in vocabulary.items()}
    order = sorted(tokens, key=lambda data: (len(data) > 1, tokens[data]))
    ranks = {data: rank for rank, data in enumerate(order)}
    encoding = tiktoken.Encoding("kormo", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={})
    for text in strings(3000, 3):
        if "\n\n" in text or "<think>" in text:
            continue
        ids = [tokens[order[rank]] for rank in encoding.encode_ordinary(nfc(text))]
        assert ids == fast.encode(text, add_special_tokens=False).ids, ascii(text)


@pytest.mark.parametrize("engine", ["gigatoken", "tiktoken", "tokenizers"])
def test_same_ids_from_the_shard_writer(fast: Any, folder: Path, engine: str) -> None:
    from kormo_plugins.shards.encoder import Encoder

    tags = [token for role, token in SPECIAL_TOKENS if role not in CONTROL]
    if engine == "gigatoken":
        pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    encoder = Encoder(folder, tags, engine=engine)
    assert encoder.kind == engine, encoder.reason
    texts = [*strings(5000, 5), *(token for _, token in SPECIAL_TOKENS)]
    ids, lengths = encoder.encode(texts, list(map(str, range(len(texts)))))
    ends = lengths.cumsum()
    for text, start, end in zip(texts, ends - lengths, ends, strict=True):
        assert ids[start:end].tolist() == encode_strict(fast, text, b""), ascii(text)


def test_control_tokens_in_a_document_are_text(fast: Any, folder: Path) -> None:
    layout = read_layout(folder)
    control = {layout.bos, layout.eos, layout.pad, layout.bot, layout.eot}
    text = "".join(token for _, token in SPECIAL_TOKENS)
    ids = encode_strict(fast, text, b"")
    assert not control & set(ids)
    assert layout.think in ids
    assert fast.decode(ids, skip_special_tokens=False) == text
    after = fast.encode("<|EOS|>", add_special_tokens=False).ids
    assert after == [layout.eos]  # the setting was put back


@pytest.fixture
def published_like(folder: Path, tmp_path: Path) -> Path:
    """The same tokenizer with 241 byte symbols: without 13 values that UTF-8 never has and two leading
    bytes of unassigned planes. So its newline and space get the ids that the published ones have."""
    content = json.loads((folder / "tokenizer.json").read_text())
    missing = [0xC0, 0xC1, *range(0xF5, 0x100), 0xF1, 0xF2]
    gone = {byte_symbols()[byte] for byte in missing}
    places = content["model"]["vocab"]
    kept = [token for token in sorted(places, key=places.get) if not gone & set(token)]
    content["model"]["vocab"] = {token: place for place, token in enumerate(kept)}
    content["model"]["merges"] = [merge for merge in content["model"]["merges"] if not gone & set("".join(merge))]
    for token in content["added_tokens"]:
        token["id"] += len(kept) - 1500
    bos = content["post_processor"]["special_tokens"]["<|BOS|>"]
    bos["ids"] = [bos["ids"][0] + len(kept) - 1500]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    return tmp_path


def test_published_like_tokenizer_refuses_what_it_cannot_encode(published_like: Path) -> None:
    from tokenizers import Tokenizer

    layout = read_layout(published_like)
    lossy = Tokenizer.from_file(str(published_like / "tokenizer.json"))
    assert len(layout.missing_bytes) == 15
    assert [lossy.token_to_id(symbol) for symbol in (",", "A", "Ċ", "Ġ")] == [11, 32, 183, 205]
    rare = "가\U00040000나"
    dropped = lossy.encode(rare, add_special_tokens=False).ids
    assert lossy.decode(dropped) != rare  # what the library does: a byte is gone, and nobody is told
    with pytest.raises(KormoError, match=r"U\+40000.*byte 0xF1"):
        encode_strict(lossy, rare, layout.missing_bytes, "document 7")
    for text in strings(2000, 4):
        try:
            check_encodable(text, layout.missing_bytes)
        except KormoError:
            continue
        assert lossy.decode(lossy.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == nfc(text)
