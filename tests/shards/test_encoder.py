"""The fast encoder gives the ids that `tokenizers` gives, or is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from kormo_plugins.errors import KormoError
from kormo_plugins.shards.encoder import CONTEXTS, Disagreement, Encoder
from kormo_plugins.shards.engines import ENGINES, PRIVATE, Gigatoken, Tiktoken
from kormo_plugins.shards.ranks import Ranks, convert

from .made_tokenizers import TEXT, extend, train

EXPECTED_BYTES = bytes(range(256))


def reference(folder: Path, texts: list[str], allowed: tuple[str, ...] = ()) -> list[list[int]]:
    """Ids by `tokenizers` alone, told that every control token but those allowed is plain text."""
    spec = json.loads((folder / "tokenizer.json").read_text())
    for token in spec["added_tokens"]:
        token["special"] = bool(token["content"].strip()) and token["content"] not in allowed
    plain = Tokenizer.from_str(json.dumps(spec))
    plain.encode_special_tokens = True
    return [encoded.ids for encoded in plain.encode_batch(texts, add_special_tokens=False)]


def split(ids: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []


@pytest.fixture(scope="module", params=["gigatoken", "tiktoken"])
def encoder(tokenizer: Path, request: pytest.FixtureRequest) -> Encoder:
    if request.param == "gigatoken":
        pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    found = Encoder(tokenizer, engine=request.param)
    assert found.kind == request.param, found.reason
    return found


ALPHABET = st.one_of(
    st.characters(exclude_categories=("Cs",)),
    st.sampled_from("\n\n\n \t\r'sS가각ㄱᄀ\u0301\u0323\u1161<|>BOSE12①ſ"),
    st.sampled_from(["<think>", "<|EOS|>", "\n\n\n", "'LL ", "   ", chr(PRIVATE), chr(PRIVATE + 2)]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(ALPHABET, max_size=30).map("".join), max_size=4))
@example(["", "\n" * 9, ""])
@example(["a <|EOS|> b", "<think>\n\n</think>"])
@example([unicodedata.normalize("NFD", TEXT[0]), "\u0301"])
@example(["I\u1aca\u0307", "e\u0898\u0301"])  # marks of class 220 from Unicode 14, which one library may not know
@example([chr(PRIVATE) * 3, "x"])
def test_any_text_gives_the_same_ids(encoder: Encoder, tokenizer: Path, texts: list[str]) -> None:
    assert split(*encoder.encode(texts, texts)) == reference(tokenizer, texts)


def test_real_text_gives_the_same_ids(encoder: Encoder, tokenizer: Path, real_text: list[str]) -> None:
    for begin in range(0, len(real_text), 50):
        texts = real_text[begin : begin + 50]
        assert split(*encoder.encode(texts, texts)) == reference(tokenizer, texts)


@pytest.mark.soak
def test_every_code_point_gives_the_same_ids(encoder: Encoder, tokenizer: Path) -> None:
    points = [chr(p) for p in range(sys.maxunicode + 1) if not 0xD800 <= p < 0xE000]
    for begin in range(0, len(points), 4096):
        texts = [context.format(c) for c in points[begin : begin + 4096] for context in CONTEXTS[:3]]
        assert split(*encoder.encode(texts, texts)) == reference(tokenizer, texts)


def test_control_tokens_are_text_unless_the_source_may_use_them(tokenizer: Path) -> None:
    text = "<think>hm</think><|EOS|>"
    plain = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    think, eos = plain.token_to_id("<think>"), plain.token_to_id("<|EOS|>")
    ids, _ = Encoder(tokenizer).encode([text], ["a"])
    assert think not in ids and eos not in ids
    for engine in ENGINES:
        encoder = Encoder(tokenizer, ["<think>", "</think>"], engine=engine)
        ids, lengths = encoder.encode([text], ["a"])
        assert ids[0] == think and eos not in ids
        assert split(ids, lengths) == reference(tokenizer, [text], ("<think>", "</think>"))
    with pytest.raises(KormoError, match="<thonk>"):
        Encoder(tokenizer, ["<thonk>"])


@pytest.mark.parametrize("engine", ["gigatoken", "tiktoken"])
def test_a_mark_that_composes_with_the_end_of_a_control_token(tokenizer: Path, engine: str) -> None:
    """The token is matched before the text is normalized, as by the library; so with every mark."""
    pytest.importorskip(engine)
    fast, reference = (Encoder(tokenizer, ("<think>",), engine=name) for name in (engine, "tokenizers"))
    texts = [f"<think>{chr(mark)}x <think>a{chr(mark)}" for mark in range(0x300, 0x370)]
    assert fast.kind == engine
    assert [ids.tolist() for ids in fast.encode(texts, texts)] == [
        ids.tolist() for ids in reference.encode(texts, texts)
    ]


def test_runs_of_newlines_are_one_token(tokenizer: Path, encoder: Encoder) -> None:
    plain = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    for count in range(2, 6):
        assert encoder.encode(["\n" * count], ["a"])[0].tolist() == [plain.token_to_id("\n" * count)]
    assert len(encoder.encode(["\n" * 12], ["a"])[0]) == 3  # five, five and two


@pytest.mark.parametrize("engine", ENGINES)
def test_a_character_that_cannot_be_spelled_is_an_error(tmp_path: Path, engine: str) -> None:
    small = Encoder(train(tmp_path, alphabet=False), engine=engine)
    assert small.kind == ("tokenizers" if engine == "tokenizers" else "tiktoken")  # gigatoken would not tell
    good = "The fox 다람쥐"
    assert split(*small.encode([good, good], ["a", "b"])) == reference(tmp_path, [good, good])
    with pytest.raises(KormoError, match="document bad"):
        small.encode([good, "\U000f0000 unspelt", good], ["fine", "bad", "fine"])
    with pytest.raises(KormoError, match=r"document lone.*surrogate"):
        small.encode([good, "\ud800"], ["fine", "lone"])


def two_ways(spec: dict) -> None:
    """Two merges that make one token."""
    extend(spec, ["WZ", "QW", "QWZ"])
    spec["model"]["merges"] += [["Q", "W"], ["QW", "Z"], ["W", "Z"], ["Q", "WZ"]]


def unreachable(spec: dict) -> None:
    extend(spec, ["zqxj"])


def no_normal_form(spec: dict) -> None:
    spec["normalizer"] = {"type": "NFKC"}


def other_split(spec: dict) -> None:
    spec["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "MergedWithNext"


def stripping(spec: dict) -> None:
    spec["added_tokens"][0]["lstrip"] = True


def wide_space(spec: dict) -> None:
    spec["added_tokens"][0]["content"] = "\u2000\u2003"


def blocked(spec: dict) -> None:
    """A merge whose parts an earlier one takes away: QW + Z, when W + Z comes first."""
    extend(spec, ["WZ", "QW", "QWZ"])
    spec["model"]["merges"] += [["W", "Z"], ["Q", "W"], ["QW", "Z"]]


@pytest.mark.parametrize("edit", [two_ways, unreachable, no_normal_form, other_split, stripping, wide_space, blocked])
def test_a_tokenizer_that_cannot_be_converted_falls_back(tmp_path: Path, edit: object) -> None:
    folder = train(tmp_path, edit=edit)  # type: ignore[arg-type]
    found = Encoder(folder)
    assert found.kind == "tokenizers" and found.reason
    assert split(*found.encode(TEXT, TEXT)) == reference(folder, TEXT)


def test_declared_ids_that_are_not_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KormoError, match=r"the id 9999 for"):
        Encoder(train(tmp_path, edit=lambda spec: spec["added_tokens"][-1].update(id=9999)))


@pytest.mark.parametrize("engine", ENGINES)
def test_truncation_set_in_the_file_cuts_nothing(tmp_path: Path, engine: str) -> None:
    def short(spec: dict) -> None:
        spec["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}

    whole, cut = train(tmp_path / "a"), train(tmp_path / "b", edit=short)
    assert split(*Encoder(cut, engine=engine).encode(TEXT, TEXT)) == reference(whole, TEXT)


def test_conversion_keeps_ranks_in_order(tokenizer: Path) -> None:
    spec = json.loads((tokenizer / "tokenizer.json").read_text())
    ranks = convert(spec)
    assert isinstance(ranks, Ranks)
    assert {token for token in ranks.ranks if len(token) == 1} == {bytes([b]) for b in EXPECTED_BYTES}
    assert list(ranks.ranks.values()) == list(range(len(ranks.ranks)))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KormoError, match=r"tokenizer\.json"):
        Encoder(tmp_path)


def test_without_the_package_the_next_engine_is_used_and_named(
    tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kormo_plugins.shards.engines.find_spec", lambda name: None)
    assert Encoder(tokenizer).kind == "tiktoken" and not Encoder(tokenizer).reason
    asked = Encoder(tokenizer, engine="gigatoken")
    assert asked.kind == "tiktoken" and "not installed" in asked.reason


def test_an_engine_that_refuses_the_tokenizer_falls_back(tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: Gigatoken, spec: object) -> None:
        raise ValueError("no such split")

    monkeypatch.setattr(Gigatoken, "unfit", staticmethod(lambda ranks: ""))
    monkeypatch.setattr(Gigatoken, "__init__", refuses)
    found = Encoder(tokenizer, engine="gigatoken")
    assert found.kind == "tiktoken" and "no such split" in found.reason


def test_a_difference_is_named(tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(tokenizer, engine="tiktoken")
    assert encoder.compare(TEXT, TEXT) == len(encoder.encode(TEXT, TEXT)[0])
    right = Tiktoken.encode

    def wrong(self: Tiktoken, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids, lengths = right(self, texts)
        return np.flip(ids), lengths

    monkeypatch.setattr(Tiktoken, "encode", wrong)
    with pytest.raises(Disagreement, match="second"):
        encoder.compare(["", TEXT[0]], ["first", "second"])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_open_encoder_has_all_that_it_imports(tokenizer: Path, engine: str) -> None:
    """It is opened once, before processes are forked; each of them would import the rest again."""
    if engine == "gigatoken":
        pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    program = f"""
import sys
from pathlib import Path
from kormo_plugins.shards.encoder import Encoder
encoder = Encoder(Path({str(tokenizer)!r}), engine={engine!r})
before = set(sys.modules)
encoder.encode(["가나다 abc"], ["a"])
print(encoder.kind, sorted(name for name in sys.modules.keys() - before if not name.startswith("encodings.")))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TOKENIZERS_PARALLELISM": "false"}
    said = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert said.stdout == f"{engine} []\n"
