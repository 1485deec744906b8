"""The number of parts: more than can be filled are told, more than can be named are refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kormo_plugins.corpus.params import MOST_PARTS, Source
from kormo_plugins.corpus.reports.spare_parts import SPARE_PARTS
from kormo_plugins.errors import KormoError

from .builds import texts
from .conftest import write_rows

Build = Callable[..., dict[str, Any]]


def test_more_parts_than_have_names_are_refused() -> None:
    """A sixth digit would change the order in which the documents are read."""
    names = [f"part-{part:05d}.jsonl.zst" for part in (MOST_PARTS - 1, MOST_PARTS)]
    assert sorted(names) == names
    reader = {"name": "jsonl", "path": "x"}
    assert Source.model_validate({"reader": reader, "parts": MOST_PARTS}).parts == MOST_PARTS
    with pytest.raises(ValidationError, match="less than or equal to 99999"):
        Source.model_validate({"reader": reader, "parts": MOST_PARTS + 1})


@pytest.mark.parametrize(
    ("parts", "documents", "told"),
    [(SPARE_PARTS + 1, None, ""), (SPARE_PARTS + 2, None, "can fill about 1;"), (SPARE_PARTS + 2, 5, "about 1;")],
)
def test_parts_that_stay_empty_are_told(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture, parts: int, documents: int | None, told: str
) -> None:
    reader = {"name": "jsonl", "path": str(write_rows(tmp_path / "x.jsonl", texts(20)))}
    with suppress(KormoError):  # few documents shared out to many parts: all may be shares of empty parts
        build({"reader": reader, "parts": parts, "documents": documents}, held_out={"documents": 0})
    assert told in caplog.text and bool(caplog.text) == bool(told)


def test_parts_of_a_generator_are_compared_with_its_documents(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    source = {"generator": {"name": "embedded", "language": "ko", "megabytes": 0.1}, "parts": SPARE_PARTS + 4}
    with suppress(KormoError):
        build({**source, "documents": 3}, held_out={"documents": 0})
    assert "set parts to 3, or leave it out" in caplog.text
