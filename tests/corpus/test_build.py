"""The build of a source: nothing lost, nothing twice, every case told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.build import build_source, funnel, source_inputs
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.passes import decide
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.corpus_files import read_corpus

from .builds import STEPS, texts, tree_hash
from .conftest import Build, write_rows


def test_every_document_ends_up_in_exactly_one_place(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(500))
    with path.open("a", encoding="utf-8") as file:
        file.write("broken\n")
    stats = build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 3, "license": "CC0-1.0"}, STEPS)
    out = tmp_path / "out"
    kept, held = list(read_corpus(out)), list(read_corpus(out / "held_out"))
    rejects = list(read_corpus(out / "rejects"))
    everywhere = sorted(d.id for d in [*kept, *held, *rejects])
    assert everywhere == sorted([*(f"d{i}" for i in range(500)), "a.jsonl:501"])
    assert (len(kept), len(held), len(rejects)) == (
        stats["documents"],
        stats["held_out"]["documents"],
        stats["rejected"],
    )
    assert stats["read"]["documents"] == 501
    reasons = {(d.meta["rejected"]["step"], d.meta["rejected"]["reason"]) for d in rejects}
    assert ("read", "broken line") in reasons and ("exact_dedup", "exact duplicate") in reasons
    for before, after in zip(stats["steps"], stats["steps"][1:], strict=False):
        assert before["documents_out"] == after["documents_in"] and before["bytes_out"] == after["bytes_in"]
        assert before["documents_in"] - before["documents_out"] == sum(before["rejects"].values())
    assert stats["steps"][-1]["documents_out"] == len(kept) + len(held)
    assert {d.license for d in kept} == {"CC0-1.0"} and {d.source for d in kept} == {"s"}
    assert not (out / "work").exists()


def test_the_first_of_the_same_stays(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["같은  글이다.", "다른 글이다.", "같은 글이다."])
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    build(source, ({"name": "exact_dedup"},), held_out={"documents": 0})
    assert [d.id for d in read_corpus(tmp_path / "out")] == ["d0", "d1"]


def test_how_far_each_stage_is_is_shown(tmp_path: Path, components: Registry) -> None:
    """With one worker, and by the marks that several leave."""
    path = write_rows(tmp_path / "a.jsonl", texts(100))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS})
    for workers in (1, 2):
        shown: dict[str, int] = {}

        @contextmanager
        def watch(label: str, shown: dict[str, int] = shown) -> Iterator[Callable[[int], None]]:
            def add(count: int) -> None:
                shown[label] = shown.get(label, 0) + count

            yield add

        folder = tmp_path / str(workers)
        folder.mkdir()
        stats = build_source("s", recipe.sources["s"], recipe, components, folder, workers=workers, watch=watch)
        assert list(shown)[:2] == ["s, 1 of 3: read, normalize, exact_dedup", "s, 2 of 3: length, minhash_dedup"]
        assert shown["s, 1 of 3: read, normalize, exact_dedup"] == 100
        told = funnel("s", stats)
        assert told.startswith("s: 100 documents read; exact_dedup dropped ") and "(exact duplicate " in told


def test_what_is_for_later_is_done_once_while_others_clean(tmp_path: Path, components: Registry) -> None:
    """Not with one worker, which would only do it earlier; and what it raises ends the build, which goes on later."""
    path = write_rows(tmp_path / "a.jsonl", texts(100))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS})
    out, done = tmp_path / "out", [0]

    def fails() -> None:
        raise ValueError("no tokenizer")

    def counts() -> None:
        done[0] += 1

    with pytest.raises(ValueError, match="no tokenizer"):
        build_source("s", recipe.sources["s"], recipe, components, out, workers=2, meanwhile=fails)
    build_source("s", recipe.sources["s"], recipe, components, out, workers=2, meanwhile=counts)
    assert done == [1]
    build_source("s", recipe.sources["s"], recipe, components, tmp_path / "one", workers=1, meanwhile=counts)
    assert done == [1] and tree_hash(out) == tree_hash(tmp_path / "one")


def test_signatures_in_a_file_decide_the_same(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(200))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}
    one = build(source, STEPS, out="memory")
    monkeypatch.setattr(decide, "IN_MEMORY", 0)
    assert build(source, STEPS, out="file") == one
    assert tree_hash(tmp_path / "memory") == tree_hash(tmp_path / "file")


def test_an_id_that_comes_twice_is_made_unique(tmp_path: Path, build: Build) -> None:
    rows = [{"id": "x", "text": f"서로 다른 글 {i}"} for i in range(5)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    stats = build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}, held_out={"documents": 0})
    found = list(read_corpus(tmp_path / "out"))
    assert [d.id for d in found] == ["x", "x~2", "x~3", "x~4", "x~5"] and stats["renamed"] == 4
    assert found[1].meta["id"] == "x"


def test_ids_and_held_out_documents_are_those_of_what_stays(tmp_path: Path, build: Build) -> None:
    rows = [{"id": f"same{i}", "text": "같은 글이다"} for i in range(3)]
    rows += [{"id": f"d{i % 30}", "text": f"글 {i}"} for i in range(40)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}
    stats = build(source, ({"name": "exact_dedup"},), held_out={"documents": 10, "at_most": 0.5})
    kept, held = list(read_corpus(tmp_path / "out")), list(read_corpus(tmp_path / "out" / "held_out"))
    assert (len(kept), len(held), stats["renamed"]) == (31, 10, 10)
    expected = ["same0", *(f"d{i}" for i in range(30)), *(f"d{i}~2" for i in range(10))]
    assert sorted(d.id for d in [*kept, *held]) == sorted(expected)


@pytest.mark.parametrize(("documents", "expected"), [(0, 0), (7, 7), (0.02, 4), (1000, 20)])
def test_held_out_documents_are_as_many_as_asked(tmp_path: Path, build: Build, documents: float, expected: int) -> None:
    path = write_rows(tmp_path / "a.jsonl", [f"글 {i}" for i in range(200)])
    stats = build(
        {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}, held_out={"documents": documents, "at_most": 0.1}
    )
    assert stats["held_out"]["documents"] == expected
    assert len(list(read_corpus(tmp_path / "out" / "held_out"))) == expected


def test_nothing_usable_is_an_error_with_the_reasons(tmp_path: Path, build: Build) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "글"}\n' * 3, encoding="utf-8")
    with pytest.raises(KormoError) as caught:
        build({"reader": {"name": "jsonl", "path": str(path)}})
    assert "read: no column 'text' (3)" in caught.value.render() and "a.jsonl:1" in caught.value.render()


def test_a_document_of_50_megabytes_is_kept_aside(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["짧은 글이다.", "가나다라 " * 3_300_000])
    stats = build({"reader": {"name": "jsonl", "path": str(path)}}, ({"name": "length", "minimum": 1},))
    assert stats["documents"] == 1 and stats["steps"][1]["rejects"] == {"too long": 1}


def test_a_trial_reads_no_more_than_asked(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", [f"글 {i}" for i in range(100)])
    stats = build({"reader": {"name": "jsonl", "path": str(path)}, "documents": 10, "parts": 1})
    assert stats["read"]["documents"] == 10


def test_inputs_see_what_matters_and_nothing_else(tmp_path: Path, components: Registry) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["글 하나"])

    def inputs(**changes: Any) -> dict[str, Any]:
        source = {"reader": {"name": "jsonl", "path": str(path)}, **changes.pop("source", {})}
        recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS, **changes})
        return source_inputs("s", recipe.sources["s"], recipe, components)

    first = inputs()
    assert json.loads(json.dumps(first)) == first == inputs(executor={"workers": 7}, name="other")
    assert inputs(source={"license": "CC0-1.0"}) != first
    assert inputs(steps=STEPS[:2]) != first and inputs(held_out={"documents": 3}) != first
    path.write_text('{"id": "d0", "text": "글 두울"}\n', encoding="utf-8")
    assert inputs() != first


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({}, "exactly one of reader, generator and tokens"),
        ({"reader": {"name": "jsonl"}, "generator": {"name": "x"}}, "exactly one"),
        ({"reader": {"name": "jsnl", "path": "x"}}, "Did you mean 'jsonl'"),
        ({"reader": {"name": "jsonl", "pth": "x"}}, "a value is required|Did you mean 'path'"),
        ({"reader": {"name": "jsonl", "path": "x", "columns": {"txt": "a"}}}, "txt"),
        ({"reader": {"name": "jsonl", "path": "no/where.jsonl"}}, "no such file"),
        ({"reader": {"name": "jsonl", "path": "x"}, "steps": [{"name": "lenght"}]}, "Did you mean 'length'"),
        (
            {"reader": {"name": "jsonl", "path": "x"}, "steps": [{"name": "length", "minimum": 9, "maximum": 2}]},
            "below",
        ),
        ({"reader": {"name": "jsonl", "path": "x"}, "licence": "MIT"}, "licence"),
        ({"reader": {"name": "jsonl", "path": "x"}, "written_by": "a model"}, "synthetic: true"),
    ],
)
def test_bad_sources_stop_with_a_reason(components: Registry, tmp_path: Path, source: dict[str, Any], why: str) -> None:
    from kormo_plugins.plugins.registry import checked

    with pytest.raises(KormoError, match=why):
        recipe = checked(CorpusRecipe, {"sources": {"s": source}}, "data")
        build_source("s", recipe.sources["s"], recipe, components, tmp_path)


def test_a_step_serves_in_a_datatrove_pipeline() -> None:
    from datatrove.data import Document as TroveDocument

    from kormo_plugins.corpus.passes.engine import as_datatrove

    def step(document: Document) -> Document | Reject:
        return document if "좋은" in document.text else Reject("bad")

    block = as_datatrove("mine", step)
    found = list(block.run(TroveDocument(text=t, id=str(i)) for i, t in enumerate(["좋은 글", "나쁜 글"])))
    assert [d.text for d in found] == ["좋은 글"] and block.stats["dropped_bad"].total == 1


def test_steps_serve_in_datatroves_own_executor(tmp_path: Path, components: Registry) -> None:
    """Between datatrove's reader and writer, over two tasks, with datatrove's statistics."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    from kormo_plugins.corpus.passes.engine import as_datatrove

    (tmp_path / "in").mkdir()
    for part in range(2):
        write_rows(tmp_path / "in" / f"{part}.jsonl", [f"  문서 {part}-{i} 이다  " + "가" * i for i in range(6)])
    ours = [
        as_datatrove(name, components.load("corpus_step", name)(components.params("corpus_step", name, values)))
        for name, values in (("normalize", {}), ("length", {"minimum": 12}))
    ]
    writer = JsonlWriter(str(tmp_path / "out"), "${rank}.jsonl", compression=None)
    pipeline = [JsonlReader(str(tmp_path / "in")), *ours, writer]
    stats = LocalPipelineExecutor(pipeline, tasks=2, workers=1, logging_dir=str(tmp_path / "logs")).run()
    lines = [line for part in range(2) for line in (tmp_path / "out" / f"{part:05d}.jsonl").read_text().splitlines()]
    assert [json.loads(line)["text"] for line in lines] == [
        f"  문서 {part}-{i} 이다  " + "가" * i for part in range(2) for i in range(6) if i > 0
    ]
    assert stats.stats[2].stats["dropped_too short"].total == 2
