"""Deduplication across sources: what two have is kept once, in the one that comes first, or where it is preferred."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.passes import across
from kormo_plugins.corpus.steps.duplicates.minhash import MinhashDedup
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts.corpora import build_corpora
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.recipe.projections import CorpusPlan
from kormo_plugins.recipe.schema.dataset import parse_data
from kormo_plugins.store.artifact import Artifact
from kormo_plugins.store.artifact import build as build_artifact
from kormo_plugins.store.corpus_files import read_corpus
from tests.damages import flip

from .conftest import write_rows

WORDS = [f"{a}{b}{c}" for a in "가나다라마바사" for b in "국민강산" for c in ("을", "는", "에서")]


def sentence(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(text: str, share: float = 0.1) -> str:
    """`text` with that share of its words changed."""
    words, dice = text.split(), random.Random(9)
    for place in dice.sample(range(len(words)), int(share * len(words))):
        words[place] = "바뀐말"
    return " ".join(words)


def recipe(tmp_path: Path, **sources: tuple[list[str], tuple[str, ...]]) -> dict[str, Any]:
    """A dataset recipe: name -> texts, and the sources it is deduplicated against."""
    return {
        "sources": {
            name: {
                "language": "ko", "license": "CC0-1.0", "deduplicate_against": list(against),
                "reader": {"name": "jsonl", "path": str(write_rows(tmp_path / f"{name}.jsonl", texts))},
            }
            for name, (texts, against) in sources.items()
        },
        "steps": [{"name": "exact_dedup"}, {"name": "minhash_dedup"}],
        "held_out": {"documents": 3, "at_most": 0.5},
    }  # fmt: skip


def built(tmp_path: Path, values: dict[str, Any]) -> dict[str, Artifact]:
    data = parse_data(values, registry(), "data.yml")
    return build_corpora(CorpusPlan(Path("data.yml"), tmp_path / "artifacts", registry(), data.corpus), build_artifact)


def everything(artifact: Artifact) -> list[str]:
    return [d.text for folder in (artifact.path, artifact.path / "held_out") for d in read_corpus(folder)]


def test_what_two_sources_have_is_kept_in_the_first(tmp_path: Path) -> None:
    first = [sentence(n) for n in range(20)]
    second = [*first[:5], *(changed(text) for text in first[5:15]), *(sentence(100 + n) for n in range(10))]
    # `second` stands before `first` in the recipe: the order of building follows what waits for what
    found = built(tmp_path, recipe(tmp_path, second=(second, ("first",)), first=(first, ())))
    assert list(found) == ["second", "first"]
    assert sorted(everything(found["first"])) == sorted(first)
    assert sorted(everything(found["second"])) == sorted(second[15:])
    reasons = [d.meta["rejected"]["reason"] for d in read_corpus(found["second"].path / "rejects")]
    assert sorted(reasons) == ["exact duplicate of another source"] * 5 + ["near duplicate of another source"] * 10


def test_duplicates_within_are_told_apart_from_those_across(tmp_path: Path) -> None:
    first = [sentence(n) for n in range(10)]
    own = [sentence(50 + n) for n in range(6)]
    found = built(tmp_path, recipe(tmp_path, a=(first, ()), b=([*own, own[0], first[0]], ("a",))))
    reasons = [d.meta["rejected"]["reason"] for d in read_corpus(found["b"].path / "rejects")]
    assert sorted(reasons) == ["exact duplicate", "exact duplicate of another source"]
    assert sorted(everything(found["b"])) == sorted(own)


def test_a_held_out_document_is_in_no_other_sources_training_text(tmp_path: Path) -> None:
    same = [sentence(n) for n in range(30)]
    found = built(tmp_path, recipe(tmp_path, a=(same, ()), b=([*same, *(sentence(200 + n) for n in range(9))], ("a",))))
    held = {d.text for d in read_corpus(found["a"].path / "held_out")}
    assert held and not held & set(everything(found["b"]))


def test_a_finished_source_is_signed_once_for_all_that_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: Counter[str] = Counter()
    sign = MinhashDedup.sign

    def counted(step: MinhashDedup, document: Document) -> Any:
        signed[document.source] += 1
        return sign(step, document)

    monkeypatch.setattr(MinhashDedup, "sign", counted)
    first, second = [sentence(n) for n in range(12)], [sentence(40 + n) for n in range(8)]
    third = [*first[:3], changed(second[0]), *(sentence(80 + n) for n in range(9))]
    two = {"a": (first, ()), "b": ([*second, first[5]], ("a",))}
    built(tmp_path, recipe(tmp_path, **two))
    assert signed == {"a": 12 + 12, "b": 9}  # once as a source, once more for the index of it
    signed.clear()
    found = built(tmp_path, recipe(tmp_path, **two, c=(third, ("a", "b"))))
    assert signed == {"c": 13, "b": 8}  # what is new, and the index of `b`, which nobody had needed
    assert sorted(everything(found["c"])) == sorted(third[4:])
    signed.clear()
    found = built(tmp_path, recipe(tmp_path, **two, c=([*third, sentence(99)], ("a", "b"))))
    assert signed == {"c": 14}
    assert sorted(everything(found["c"])) == sorted([*third[4:], sentence(99)])


def test_an_index_that_is_larger_than_the_memory_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [sentence(n) for n in range(20)]
    second = [*first[:5], *(changed(text) for text in first[5:15]), *(sentence(100 + n) for n in range(10))]
    values = recipe(tmp_path, a=(first, ()), b=(second, ("a",)))
    in_memory = everything(built(tmp_path, values)["b"])
    monkeypatch.setattr(across, "IN_MEMORY", 0)
    monkeypatch.setattr(across, "BLOCK", 3)
    assert everything(built(tmp_path / "again", values)["b"]) == in_memory


def test_another_first_source_builds_the_second_anew(tmp_path: Path) -> None:
    own = [sentence(50 + n) for n in range(6)]
    before = built(tmp_path, recipe(tmp_path, a=([sentence(1), sentence(2)], ()), b=(own, ("a",))))
    after = built(tmp_path, recipe(tmp_path, a=([sentence(1), own[0]], ()), b=(own, ("a",))))
    assert before["b"].hash != after["b"].hash and own[0] not in everything(after["b"])


@pytest.mark.parametrize(
    "against, told",
    [
        ({"a": ("b",), "b": ("a",)}, "depend on each other"),
        ({"a": ("a",), "b": ()}, "a → a"),
        ({"a": (), "b": ("aa",)}, "Did you mean 'a'?"),
    ],
)
def test_what_cannot_be_ordered_is_refused_by_the_check(
    tmp_path: Path, against: dict[str, tuple[str, ...]], told: str
) -> None:
    values = recipe(tmp_path, **{name: ([sentence(1)], others) for name, others in against.items()})
    with pytest.raises(KormoError) as error:
        parse_data(values, registry(), "data.yml")
    assert told in error.value.render() and error.value.where.startswith("data.yml.sources.")


def preferring(tmp_path: Path, old: list[str], new: list[str], **more: Any) -> dict[str, Any]:
    """`new` is deduplicated against `old`, and the newer copy stays; both say their dates."""
    sources = {}
    for name, texts, date, against in (("old", old, "2020-01-01", []), ("new", new, "2024-05-01", ["old"])):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"id": f"{name}{n}", "text": text, "date": date} for n, text in enumerate(texts)]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        reader = {"name": "jsonl", "path": str(path), "columns": {"keep": ["date"]}}
        sources[name] = {"language": "ko", "license": "CC0-1.0", "reader": reader, "deduplicate_against": against}
    step = {"name": "minhash_dedup", "prefer": ["newest"]}
    return {"sources": sources, "steps": [step], "held_out": {"documents": 0}, **more}


def test_the_preferred_copy_stays_in_whichever_source_it_is(tmp_path: Path) -> None:
    shared = [sentence(n) for n in range(8)]
    old = [*shared, *(sentence(50 + n) for n in range(6))]
    new = [*(changed(text) for text in shared), *(sentence(90 + n) for n in range(4))]
    found = built(tmp_path, preferring(tmp_path, old, new))
    assert sorted(everything(found["new"])) == sorted(new)
    assert sorted(everything(found["old"])) == sorted(old[8:])
    rejects = list(read_corpus(found["old"].path / "rejects"))
    assert sorted(document.text for document in rejects) == sorted(shared)
    mark = {"step": "superseded", "reason": "near duplicate of another source", "kept_in": "new"}
    assert {json.dumps(document.meta["rejected"], sort_keys=True) for document in rejects} == {
        json.dumps(mark, sort_keys=True)
    }
    stats = found["old"].stats
    assert (stats["documents"], stats["read"]["documents"], stats["rejected"]) == (6, 14, 8)
    assert stats["bytes"] == sum(len(text.encode()) for text in old[8:])
    # what was built first is as it was, and nothing is built again
    first = next(path for path in (tmp_path / "artifacts").glob("corpus-old-*") if path != found["old"].path)
    assert len(list(read_corpus(first))) == 14
    assert built(tmp_path, preferring(tmp_path, old, new))["old"].path == found["old"].path


def test_what_is_held_out_there_is_never_superseded(tmp_path: Path) -> None:
    shared, own = [sentence(n) for n in range(20)], [sentence(50 + n) for n in range(6)]
    values = preferring(tmp_path, [*shared, *own], [changed(text) for text in shared])
    found = built(tmp_path, {**values, "held_out": {"documents": 8, "at_most": 0.4}})
    held = {document.text for document in read_corpus(found["old"].path / "held_out")}
    assert len(held & set(shared)) > 2 and set(everything(found["old"])) == held | set(own)
    assert set(everything(found["new"])) == {changed(text) for text in shared if text not in held}


def test_of_copies_that_are_alike_the_first_source_keeps_its_own(tmp_path: Path) -> None:
    shared = [sentence(n) for n in range(6)]
    values = preferring(tmp_path, shared, [*shared, sentence(99)])
    values["steps"][0]["prefer"] = ["human"]
    found = built(tmp_path, values)
    assert sorted(everything(found["old"])) == sorted(shared) and everything(found["new"]) == [sentence(99)]


def test_a_source_that_would_lose_everything_is_refused(tmp_path: Path) -> None:
    shared = [sentence(n) for n in range(4)]
    with pytest.raises(KormoError, match="preferred copy in new"):
        built(tmp_path, preferring(tmp_path, shared, shared))


@pytest.mark.parametrize(
    ("before", "behind", "told"),
    [([{"name": "exact_dedup"}], [], "remove exact_dedup"), ([], [{"name": "length"}], "the last step"),
     ([], [{"name": "balanced_sample", "documents": 9}], "the last step")],
)  # fmt: skip
def test_no_other_step_undoes_what_is_preferred(
    tmp_path: Path, before: list[Any], behind: list[Any], told: str
) -> None:
    values = preferring(tmp_path, [sentence(1)], [sentence(2)])
    values["steps"] = [*before, *values["steps"], *behind]
    with pytest.raises(KormoError, match=told):
        parse_data(values, registry(), "data.yml")  # before anything is read
    values["sources"]["new"]["deduplicate_against"] = []
    built(tmp_path, values)  # within one source nothing is lost


def test_a_damaged_list_of_superseded_documents_is_named(tmp_path: Path) -> None:
    shared = [sentence(n) for n in range(4)]
    values = preferring(tmp_path, [*shared, sentence(50)], shared)
    for path in built(tmp_path, values)["new"].path.glob("superseded-*.jsonl"):
        flip(path)
    for path in (tmp_path / "artifacts").glob("corpus-old-*"):
        if not (path / "rejects").stat().st_size or len(list(read_corpus(path))) == 1:
            shutil.rmtree(path)
    with pytest.raises(KormoError, match="superseded-"):
        built(tmp_path, values)


def test_without_a_deduplication_step_it_would_be_ignored(tmp_path: Path, components: Registry) -> None:
    values = recipe(tmp_path, a=([sentence(1)], ()), b=([sentence(2)], ("a",)))
    values["steps"] = [{"name": "normalize"}]
    with pytest.raises(KormoError, match="no deduplication step"):
        built(tmp_path, values)


def test_a_second_document_of_one_id_gets_a_name_that_nobody_has(tmp_path: Path, components: Registry) -> None:
    import json

    ids = ["x", "x~2", "x", "y", "x", "x~2"]
    rows = [{"id": name, "text": sentence(n)} for n, name in enumerate(ids)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    source = {"language": "ko", "license": "CC0-1.0", "reader": {"name": "jsonl", "path": str(path)}}
    found = built(tmp_path, {"sources": {"a": source}, "held_out": {"documents": 0}})
    names = [d.id.removeprefix("a.jsonl:") for d in read_corpus(found["a"].path)]
    assert len(set(names)) == len(names) == 6
    assert [d.text for d in read_corpus(found["a"].path)] == [row["text"] for row in rows]
    assert names[2].endswith("x~3") and names[4].endswith("x~4") and names[5].endswith("x~2~2"), names
