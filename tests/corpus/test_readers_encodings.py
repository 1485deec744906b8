"""Text that is not UTF-8: named, or found for each file and told; what is not certain is not guessed."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.readers import units
from kormo_plugins.corpus.readers.file_formats import encodings
from kormo_plugins.corpus.readers.file_formats.encodings import canonical, detect, to_utf8
from kormo_plugins.corpus.readers.files import FilesParams, folder
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document

KOREAN = "옛날 옛적에 호랑이가 담배 피우던 시절, 똠방각하라는 사람이 산골 마을에 살고 있었습니다."
JAPANESE = "昔々あるところに、おじいさんとおばあさんが住んでいました。おじいさんは山へ芝刈りに行きました。"


def read(path: Path, **keys: object) -> list[Document | Rejected]:
    params = FilesParams.model_validate({"path": path, **keys})
    parts = folder.parts(params)
    return [item for part in range(parts) for item in folder(params, part, parts)]


@settings(max_examples=100, deadline=None)
@given(st.text(), st.sampled_from(["utf-8", "utf-16", "utf-32", "gb18030", "utf-7"]), st.integers(1, 9))
def test_any_text_in_any_pieces(text: str, encoding: str, size: int) -> None:
    written = (codecs.BOM_UTF8 if encoding == "utf-8" else b"") + text.encode(encoding)
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    assert b"".join(to_utf8(pieces, encoding)) == text.encode()


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.json", "a.jsonl.gz"])
def test_every_kind_of_text_in_every_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    rows = [{"text": KOREAN}, {"text": "끝"}]
    content = {
        "a.txt": KOREAN, "a.csv": f'text\n"{KOREAN}"\n끝\n', "a.json": json.dumps(rows, ensure_ascii=False, indent=1),
    }.get(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)).encode(encoding)  # fmt: skip
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    items = read(tmp_path, encoding=encoding)
    assert [item.text for item in items if isinstance(item, Document)] == [KOREAN, "끝"][: 1 if name == "a.txt" else 2]
    assert len(items) == (1 if name == "a.txt" else 2)


def test_a_bad_byte_costs_its_row(tmp_path: Path) -> None:
    lines = [f'{{"text": "{KOREAN}"}}'.encode("cp949"), b'{"text": "\xff"}', '{"text": "끝"}'.encode("cp949")]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    items = read(tmp_path, encoding="cp949")
    assert [type(item) for item in items] == [Document, Rejected, Document]
    assert isinstance(items[1], Rejected) and items[1].reason.startswith("not cp949")
    assert all(isinstance(item, Rejected) for item in read(tmp_path)[:1])  # as UTF-8


def test_large_files_are_divided_where_a_line_end_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 1000)
    rows = [f"{number} {KOREAN}" for number in range(200)]
    written = "".join(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in rows)
    for encoding, divided in (("cp949", True), ("utf-16", False)):
        (tmp_path / "a.jsonl").write_bytes(written.encode(encoding))
        for asked in (encoding, "auto"):
            params = FilesParams(path=tmp_path, encoding=asked)
            assert (folder.parts(params) > 1) == divided
            assert [item.text for item in read(tmp_path, encoding=asked) if isinstance(item, Document)] == rows


def test_auto_tells_what_it_chose(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, content in (
        ("a.txt", KOREAN.encode("cp949")), ("b.txt", JAPANESE.encode("cp932")), ("c.txt", KOREAN.encode()),
        ("d.txt", b"plain"), ("e.txt", KOREAN.encode("utf-16")), ("f.txt", codecs.BOM_UTF8 + b"x"),
        ("g.txt", b"\xb0\xa1 \xb3\xaa"), ("h.txt", b"x" * (3 << 20) + KOREAN.encode("cp949")),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    items = read(tmp_path, encoding="auto")
    found = {item.id: item.meta["encoding"] for item in items if isinstance(item, Document)}
    assert found == {"a.txt": "cp949", "b.txt": "cp932", "c.txt": "utf-8", "d.txt": "utf-8", "e.txt": "utf-16",
                     "f.txt": "utf-8", "h.txt": "cp949"}  # fmt: skip
    [rejected] = [item for item in items if isinstance(item, Rejected)]
    assert rejected.document.id == "g.txt" and rejected.reason.startswith("encoding not certain")
    assert "a.txt: read as cp949" in caplog.text


def test_encodings_by_name() -> None:
    assert [canonical(name) for name in ("UTF8", "utf-8-sig", "ms949", "EUC-KR", "AUTO")] == [
        "utf-8", "utf-8", "cp949", "euc_kr", "auto",
    ]  # fmt: skip
    for name in ("zip", "utf-9", "", "hex"):
        with pytest.raises(ValueError, match="no text encoding"):
            canonical(name)


def test_auto_without_chardet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="chardet"):
        FilesParams(path=Path(), encoding="auto")


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("tech_docs_ko", "cp949"), ("tech_docs_ja", "cp932"), ("tech_docs_ja", "euc_jp"), ("tech_docs_zh", "gb18030")],
)
def test_real_text_is_never_taken_for_another(real_text: object, name: str, encoding: str) -> None:
    texts = [text[:400] for text in real_text(name)[:40]]  # type: ignore[operator]
    written = [text.encode(encoding, "ignore") for text in texts]
    guesses = [(detect([content]).encoding, content) for content in written if not content.isascii()]
    wrong = [guess for guess, content in guesses if guess and content.decode(guess) != content.decode(encoding)]
    assert not wrong and sum(guess is not None for guess, _ in guesses) > 0.8 * len(guesses)
