"""Steps that go by a key of `meta`: a key that no document has is refused or told, before the build and in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.corpus.comparisons import uses
from kormo_plugins.corpus.meta_found import FIRST
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.store.corpus_files import read_corpus

from .builds import texts
from .conftest import write_rows

Build = Callable[..., dict[str, Any]]
TOP = {"name": "keep_top", "by": "length", "share": 0.5}
SAMPLE = {"name": "balanced_sample", "documents": 5, "column": "length"}
NEWEST = {"name": "minhash_dedup", "prefer": ["newest", "longest"]}
DOMAINS = {"name": "per_domain", "step": {"name": "length"}, "domains": {"a.kr": "off"}}
NONE = {"documents": 0}


def source(path: Path, keep: tuple[str, ...] = (), count: int = 20, **columns: object) -> dict[str, Any]:
    """A source of `count` texts with these columns, of which some are kept."""
    rows = write_rows(path / "rows.jsonl", texts(count), **columns)
    return {"reader": {"name": "jsonl", "path": str(rows), "columns": {"keep": list(keep)}}, "parts": 2}


@pytest.mark.parametrize("step", [TOP, SAMPLE], ids=lambda step: step["name"])
def test_a_rank_by_a_key_that_no_document_has_is_refused(build: Build, tmp_path: Path, step: dict[str, Any]) -> None:
    given = source(tmp_path, ("lenght", "url"), lenght=3, url="a.kr")
    with pytest.raises(KormoError, match="under 'length'") as refused:
        build(given, steps=({"name": "normalize"}, step), held_out=NONE)
    assert refused.value.where.startswith(f"sources.s: step {step['name']}")
    assert refused.value.do == "Did you mean 'lenght'?"


def test_a_rank_by_text_is_refused_as_there_is_no_number(build: Build, tmp_path: Path) -> None:
    with pytest.raises(KormoError, match="no document has a number under 'length'") as refused:
        build(source(tmp_path, ("length", "url"), length="3", url="a.kr"), steps=(TOP,), held_out=NONE)
    assert refused.value.do.endswith("`meta` has: url")


def test_one_document_with_the_key_is_enough_wherever_it_is(build: Build, tmp_path: Path) -> None:
    rows = [{"text": text, "length": None} for text in texts(2 * FIRST + 10)]
    rows[-1]["length"] = 7
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reader = {"name": "jsonl", "path": str(path), "columns": {"keep": ["length"]}}
    assert build({"reader": reader}, steps=(TOP,), held_out=NONE)["documents"] == len(rows)


def test_a_score_of_an_earlier_step_that_no_document_got_is_a_warning(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scored = {"name": "perplexity", "models": {"ko": ""}}
    steps = (scored, {"name": "keep_top", "by": "perplexity", "share": 0.5, "lowest": True})
    assert build(source(tmp_path), steps=steps, held_out=NONE)["documents"] == 20
    assert "no document has a number under 'perplexity'" in caplog.text


@pytest.mark.parametrize(("step", "key"), [(NEWEST, "date"), (DOMAINS, "url")], ids=["newest", "domains"])
def test_a_step_that_does_less_without_the_key_is_a_warning(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture, step: dict[str, Any], key: str
) -> None:
    then = {"name": "exact_dedup"}  # a document step is looked at in the pass that it is in
    with caplog.at_level(logging.WARNING):
        build(source(tmp_path), steps=(step, then), held_out=NONE)
        assert caplog.text.count(f"under '{key}'") == 1
        caplog.clear()
        value = "2026-01-01" if key == "date" else "https://a.kr/1"
        build(source(tmp_path, (key,), **{key: value}), steps=(step,), held_out=NONE, out="with")
        assert not caplog.text
    assert list(read_corpus(tmp_path / "with"))


def warned(folder: Path, steps: list[dict[str, Any]], **sources: dict[str, Any]) -> list[str]:
    """Places that `kormo recipe validate` warns of in a dataset recipe."""
    path = folder / "data.yml"
    weights = dict.fromkeys(sources, 1)
    content = {"sources": sources, "steps": steps, "mixture": {"name": "weighted", "weights": weights}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return [f"{notice.where}: {notice.why}" for notice in validate(path).warnings]


def test_validate_tells_what_nothing_writes(tmp_path: Path) -> None:
    plain, kept = source(tmp_path), source(tmp_path, ("length", "url", "date"))
    (told,) = warned(tmp_path, [{"name": "normalize"}, TOP], a=plain, b=kept)
    assert told.startswith("steps[1].by: the reader of the source a keeps no such column")
    assert [one.split(":")[0] for one in warned(tmp_path, [SAMPLE, NEWEST, DOMAINS], a=plain)] == [
        "steps[0].column", "steps[1].prefer", "steps[2].key",
    ]  # fmt: skip
    assert not warned(tmp_path, [SAMPLE, NEWEST, DOMAINS], b=kept)


def test_validate_knows_what_earlier_steps_write(tmp_path: Path) -> None:
    toxic, top = {"name": "toxicity"}, {"name": "keep_top", "by": "toxicity", "share": 0.5}
    assert not warned(tmp_path, [toxic, top], a=source(tmp_path))
    assert not warned(tmp_path, [{**DOMAINS, "step": toxic, "key": "url"}, top], a=source(tmp_path, ("url",)))
    assert warned(tmp_path, [top, toxic], a=source(tmp_path))
    assert not warned(tmp_path, [TOP], a={"generator": {"name": "embedded", "megabytes": 1}})


@pytest.mark.parametrize("name", ["classifier", "educational", "toxicity", "perplexity"])
def test_the_key_that_a_step_says_it_writes_is_the_one_that_it_writes(components: Registry, name: str) -> None:
    values: dict[str, Any] = {"perplexity": {"models": {"ko": None}}, "toxicity": {}}.get(name, {"model": "m.npz"})
    make, params = components.load("corpus_step", name), components.params("corpus_step", name, values)
    assert params.writes() == (getattr(make, "SCORE", name),)
    assert not uses(params)
