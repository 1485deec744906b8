"""The report: every number against an independent count, any tokenizer, bad input."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard

from kormo_plugins.documents.document import Document, write_documents
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.comparison.page import table, write_page
from kormo_plugins.tokenizer.comparison.peers import open_peer
from kormo_plugins.tokenizer.comparison.report import report
from kormo_plugins.tokenizer.layout import tokenizer_hash
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.texts import guess_language
from kormo_plugins.tokenizer.training.train import train
from kormo_plugins.training.checkpoints.complete import mark_complete
from tests.damages import flip


@pytest.fixture
def text(tmp_path: Path, texts: Any) -> Path:
    path = tmp_path / "mixed.jsonl"
    rows = [
        {"text": document.text, "language": document.language, "source": f"from-{document.language}"}
        for document in texts(40, seed=9)()
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_numbers_agree_with_a_plain_count(folder: Path, text: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    result = report([str(folder)], [text], terms=["서울", "NOWHERE"])
    one = result["tokenizers"][str(folder)]
    rows = [json.loads(line) for line in text.read_text(encoding="utf-8").splitlines()]
    uses: Counter[int] = Counter()
    for language in ("ko", "en"):
        chosen = [row["text"] for row in rows if row["language"] == language]
        ids = [i for t in chosen for i in tokenizer.encode(t, add_special_tokens=False).ids]
        measured = one["languages"][language]
        assert measured == one["sources"][f"from-{language}"]
        assert measured["tokens"] == len(ids)
        assert measured["bytes_per_token"] == pytest.approx(sum(len(t.encode()) for t in chosen) / len(ids))
        assert measured["characters_per_token"] == pytest.approx(sum(map(len, chosen)) / len(ids))
        assert measured["tokens_per_eojeol"] == pytest.approx(len(ids) / sum(len(t.split()) for t in chosen))
        counts = Counter(ids)
        entropy = -sum(n / len(ids) * math.log2(n / len(ids)) for n in counts.values())
        assert measured["entropy_bits"] == pytest.approx(entropy)
        high = [chr(0x100 + k) for k in range(34, 68)]  # symbols of 0x80 … 0xA0, 0xAD
        single = {tokenizer.token_to_id(c) for c in [*map(chr, range(0xA1, 0x100)), *high] if c != "\xad"}
        assert measured["single_byte_share"] == pytest.approx(sum(counts[i] for i in single) / len(ids), abs=1e-12)
        uses += counts
    control = 5
    assert one["unused"] == 1541 - control - len(uses)
    assert one["terms"]["NOWHERE"] == {"tokens": 0, "uses": 0}
    seoul = [i for i in range(1500) if "서울" in tokenizer.decode([i])]
    assert one["terms"]["서울"] == {"tokens": len(seoul), "uses": sum(uses[i] for i in seoul)}
    assert seoul
    assert result["documents"] == 80


def test_pieces_are_the_bytes_of_each_id(folder: Path) -> None:
    peer = open_peer(str(folder))
    data = "한국어 text 1971\n\n끝 <think>".encode()
    assert b"".join(peer.pieces[i] or b"?" for i in peer.encode([data.decode()])[0]) == data


def test_a_tokenizer_of_ours_is_compared_with_what_was_written(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        beside_a_model = tmp_path / Path(name).stem
        shutil.copytree(folder, beside_a_model)
        mark_complete(beside_a_model, 1)
        open_peer(str(beside_a_model))
        flip(beside_a_model / name)
        with pytest.raises(KormoError) as error:
            open_peer(str(beside_a_model))
        assert name in error.value.where


def test_a_better_tokenizer_measures_better(folder: Path, text: Path, texts: Any, tmp_path: Path) -> None:
    train(texts(500), TokenizerParams(vocab_size=300, megabytes=0.4), tmp_path / "small")
    result = report([str(folder), str(tmp_path / "small")], [text])
    large, small = result["tokenizers"].values()
    for language in ("ko", "en"):
        assert large["languages"][language]["bytes_per_token"] > small["languages"][language]["bytes_per_token"]


def test_tekken_is_an_offline_peer(text: Path) -> None:
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken", reason="mistral_common is not installed")
    peer = open_peer("tekken")
    assert len(peer.pieces) == 131_072
    import mistral_common

    path = sorted((Path(mistral_common.__file__).parent / "data").glob("tekken_*.json"))[-1]
    reference = tekken.Tekkenizer.from_file(path)
    for sample in ("안녕하세요, 세계!", "Hello  world\n\n123", "漢字かな😀"):
        assert peer.encode([sample]) == [reference.encode(sample, bos=False, eos=False)]


def test_files_of_every_kind(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("그냥 한국어 글입니다.", encoding="utf-8")
    (data / "b.jsonl").write_text('{"text": "English", "lang": "en"}\n{"text": " "}\n{"text": "\\ud800"}\n')
    write_documents(data / "c.jsonl.zst", [Document("1", "압축한 글", "zst", "ko")])
    (data / "ignored.bin").write_bytes(b"\xff")
    result = report([str(folder)], [data])
    assert result["documents"] == 3
    assert result["rejected"] == {"empty": 1, "lone surrogate": 1}
    one = result["tokenizers"][str(folder)]
    assert sorted(one["languages"]) == ["en", "ko"]
    assert sorted(one["sources"]) == ["a", "b", "zst"]


def test_table_and_page(folder: Path, text: Path, tmp_path: Path) -> None:
    result = report([str(folder)], [text], terms=["<서울>"])
    json.dumps(result, allow_nan=False)
    lines = table(result).splitlines()
    assert len(lines) == 4  # head, en, ko, all
    write_page(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "https://cdn" not in page.split("<script", 1)[0]
    assert "src=" not in "".join(part.split(">", 1)[0] for part in page.split("<script")[1:])  # nothing is fetched
    assert "&lt;서울&gt;" in page
    assert lines[1].split()[3] in page


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b'{"txt": "x"}\n', "a.jsonl", "the key 'text' is missing"),
        (b'{"text": 3}\n', "a.jsonl", "the text is not a string"),
        (b"{", "a.jsonl", "invalid JSON at line 1"),
        (b'{"text": "x"}\n' * 1001 + b'{"text": "x",\n', "a.jsonl", "invalid JSON at line 1,002, column 14"),
        (b'{"text": "x"}\n\n{"txt": "x"}\n', "a.jsonl", "invalid JSON at line 2, column 1"),
        (b'{"text": "x"}\n' * 3 + b"{}", "a.jsonl", "line 4: the key 'text' is missing"),
        (zstandard.compress(b'{"id": "a", "text": "x"}\n{"id": \n'), "a.jsonl.zst", "invalid JSON at line 2"),
        (b"\xff\xfe\x00", "a.txt", "the byte 0xff at position 0 is not UTF-8 text"),
        (b"not zstd", "a.jsonl.zst", "zstd decompress error"),
        (b"  \n", "a.txt", "no usable text"),
    ],
)
def test_bad_text(folder: Path, tmp_path: Path, content: bytes, name: str, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KormoError, match=why):
        report([str(folder)], [tmp_path / name])


def test_bad_tokenizers(tmp_path: Path, text: Path) -> None:
    with pytest.raises(KormoError, match=r"no tokenizer.json"):
        report([str(tmp_path)], [text])
    with pytest.raises(KormoError, match="could not be loaded from the hub"):
        report(["nobody/no-such-tokenizer"], [text])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(KormoError, match="cannot be read as a tokenizer"):
        report([str(tmp_path)], [text])
    with pytest.raises(KormoError, match="no tokenizer"):
        report([], [text])


def test_language_is_guessed_by_script() -> None:
    assert guess_language("한국어 with some English words") == "ko"
    assert guess_language("日本語のテキスト") == "ja"
    assert guess_language("中文文本") == "zh"
    assert guess_language("plain English") == "en"
    assert guess_language("123 ... !") == "und"


def test_real_text_beats_the_gpt2_split(real_text: Path, tmp_path: Path) -> None:
    """On documents that neither has seen: at least as many bytes per token in both languages, same text and
    ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    size, rows = 6000, {"ko": [], "en": []}
    for language in rows:
        for line in (real_text / f"rust_book_{language}.jsonl").open(encoding="utf-8"):
            rows[language].append(json.loads(line)["text"])
    seen = [Document("", t, "", lang) for lang, all_ in rows.items() for n, t in enumerate(all_) if n % 5]
    train(lambda: iter(seen), TokenizerParams(vocab_size=size - 41, shares={}), tmp_path / "ours")
    other = Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    other.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, min_frequency=2, show_progress=False)
    other.train_from_iterator((document.text for document in seen), trainer)
    (tmp_path / "gpt2").mkdir()
    other.save(str(tmp_path / "gpt2" / "tokenizer.json"))
    unseen = tmp_path / "unseen.jsonl"
    lines = [{"text": t, "language": lang} for lang, all_ in rows.items() for n, t in enumerate(all_) if n % 5 == 0]
    unseen.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ours, gpt2 = report([str(tmp_path / "ours"), str(tmp_path / "gpt2")], [unseen])["tokenizers"].values()
    for language in rows:
        assert ours["languages"][language]["bytes_per_token"] >= gpt2["languages"][language]["bytes_per_token"]
    assert tokenizer_hash(tmp_path / "ours") != tokenizer_hash(tmp_path / "gpt2")
