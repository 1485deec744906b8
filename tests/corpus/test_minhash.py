"""Near duplicates against a slow, plain reference: the exact similarity of multisets of runs."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.reports.clusters import read_clusters
from kormo_plugins.corpus.steps.duplicates import minhash_kernel
from kormo_plugins.corpus.steps.duplicates.boilerplate import without_boilerplate
from kormo_plugins.corpus.steps.duplicates.exact_dedup import ExactDedup, ExactDedupParams
from kormo_plugins.corpus.steps.duplicates.minhash import MinhashDedup, MinhashDedupParams
from kormo_plugins.documents.document import Document
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store import array_file
from kormo_plugins.store.array_file import join_arrays, take_rows
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import Build, write_rows


def words(count: int, dice: random.Random) -> list[str]:
    return ["".join(dice.choices("가나다라마바사아자차카타파하", k=dice.randint(2, 4))) for _ in range(count)]


def change(text: str, share: float, dice: random.Random) -> str:
    """`text` with that share of its words replaced."""
    pieces = re.split(r"(\w+)", text)
    count = len(pieces) // 2
    for i in dice.sample(range(count), round(share * count)):
        pieces[2 * i + 1] = words(1, dice)[0]
    return "".join(pieces)


def jaccard(a: str, b: str, n: int) -> float:
    """Similarity of the multisets of runs of n words."""
    runs = [
        Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1)) for w in (re.findall(r"\w+", t) for t in (a, b))
    ]
    return sum((runs[0] & runs[1]).values()) / sum((runs[0] | runs[1]).values())


def signatures(texts: list[str], params: MinhashDedupParams) -> np.ndarray:
    step = MinhashDedup(params)
    return np.asarray([step.sign(Document("", text)) for text in texts])


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.3, 0.9])
def test_signatures_estimate_the_exact_similarity(share: float) -> None:
    dice = random.Random(3)
    params = MinhashDedupParams(bands=64, rows=16)
    errors = []
    for _ in range(12):
        text = " ".join(words(200, dice) * 2)
        other = change(text, share, dice)
        a, b = signatures([text, other], params)
        errors.append(float((a == b)[: params.bands * params.rows].mean()) - jaccard(text, other, params.ngram))
    # 1,024 places: a standard error of at most 0.016 each, so 0.0045 for the mean of 12
    assert abs(sum(errors) / len(errors)) < 0.02 and max(map(abs, errors)) < 0.08


def test_planted_near_duplicates_are_found_and_strangers_stay() -> None:
    dice = random.Random(5)
    texts = [" ".join(words(dice.randint(60, 400), dice)) for _ in range(300)]
    planted = [change(text, 0.1, dice) for text in texts[:150]]
    step = MinhashDedup(MinhashDedupParams())
    fate, reasons = step.decide(signatures(texts + planted, step.params))
    assert reasons == ["near duplicate"]
    assert (fate[:300] == -1).all()
    assert (fate[300:] == 0).mean() >= 0.95


def test_clusters_keep_their_first_whatever_the_chain() -> None:
    dice = random.Random(7)
    chain = [" ".join(words(300, dice))]
    for _ in range(5):
        chain.append(change(chain[-1], 0.05, dice))
    step = MinhashDedup(MinhashDedupParams())
    table = signatures(chain, step.params)
    assert step.decide(table)[0].tolist() == [-1, 0, 0, 0, 0, 0]
    assert step.decide(table[::-1])[0].tolist() == [-1, 0, 0, 0, 0, 0]


def test_short_documents_and_signs_do_not_matter() -> None:
    step = MinhashDedup(MinhashDedupParams())
    short = signatures(["짧은 글", "짧은 글", ""], step.params)
    assert (step.decide(short)[0] == -1).all()
    text = " ".join(words(40, random.Random(1)))
    same = signatures([text, text.replace(" ", ",  "), f"“{text}”…"], step.params)
    assert (same[0] == same[1]).all() and (same[0] == same[2]).all()


def kept(texts: list[str], **values: Any) -> int:
    step = MinhashDedup(MinhashDedupParams(**values))
    return int((step.decide(signatures(texts, step.params))[0] == -1).sum())


def sums() -> list[str]:
    return [
        f"철수는 사과를 {a}개 가지고 있고 영희는 배를 {b}개 가지고 있습니다. 두 사람이 가진 과일은 모두 몇 개입니까? "
        f"풀이: {a}+{b}={a + b} 이므로 답은 {a + b}개입니다."
        for a in range(3, 13)
        for b in range(3, 9)
    ]


def weather() -> list[str]:
    dice = random.Random(1)
    return [
        f"{month}월 {day}일 서울의 최고 기온은 {dice.randint(10, 35)}도, 최저 기온은 {dice.randint(-15, 9)}도이고 강수 "
        f"확률은 {dice.randint(0, 10)}0%로 예상됩니다. 외출할 때 참고하시기 바랍니다."
        for month in (1, 4, 7)
        for day in range(1, 21)
    ]


def capitals() -> list[str]:
    return [
        f"{a}의 수도는 {b}입니다. {a}에 대한 자세한 내용은 아래 문서를 참고하시기 바랍니다. 이 문서는 여러 나라의 "
        "수도를 정리한 것입니다."
        for a, b in zip(words(60, random.Random(2)), words(60, random.Random(3)), strict=True)
    ]


@pytest.mark.parametrize(("make", "least"), [(sums, 58), (weather, 58), (capitals, 54)])
def test_texts_of_one_template_that_say_different_things_stay(make: Callable[[], list[str]], least: int) -> None:
    texts = make()
    assert len(texts) == 60 and kept(texts) >= least
    assert kept([*texts, *(f"  {text}\n" for text in texts)]) <= 60  # their copies go all the same


LICENCE = """# Copyright 2020 The Authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.

"""
MENU = "\n".join(f"{word} 보기" for word in words(24, random.Random(4))) + "\n\n"


@pytest.mark.parametrize("shared", [LICENCE, MENU])
def test_what_thousands_share_does_not_decide(shared: str) -> None:
    dice = random.Random(6)
    texts = [f"{shared}{' '.join(words(18, dice))}이다." for _ in range(8)]
    assert kept(texts) == 8
    assert kept(texts, whole=True) < 8
    assert kept([texts[0], texts[0].removeprefix(shared)]) == 1  # the same text without it is a copy


def test_a_song_of_short_lines_is_no_menu() -> None:
    verse = "\n".join(words(60, random.Random(8)))
    assert without_boilerplate(verse, 10) == verse


@pytest.mark.parametrize(
    ("prefer", "stays"), [((), 0), (("human",), 1), (("newest",), 2), (("human", "newest"), 3), (("longest",), 4)]
)
def test_the_preferred_copy_stays(prefer: tuple[str, ...], stays: int) -> None:
    text = " ".join(words(80, random.Random(9)))
    copies = [
        Document("a", text, synthetic=True, meta={"date": "2020-01-01"}),
        Document("b", text, meta={"date": "no date"}),
        Document("c", text, synthetic=True, meta={"date": "2023-05-01T10:00:00Z"}),
        Document("d", text, meta={"date": "2021-03-04"}),
        Document("e", f"{text} 끝이다", synthetic=True),
        Document("f", " ".join(words(80, random.Random(10)))),
    ]
    step = MinhashDedup(MinhashDedupParams(prefer=prefer))
    fate, _ = step.decide(np.asarray([step.sign(document) for document in copies]))
    assert [i for i in range(6) if fate[i] == -1] == [stays, 5]


@pytest.mark.parametrize(("ignore", "left"), [("nothing", 4), ("space", 3), ("punctuation", 2)])
def test_exact_duplicates(ignore: str, left: int) -> None:
    texts = ["The  one.", "The one.", "the one", "the one", "other"]
    step = ExactDedup(ExactDedupParams(ignore=ignore))
    fate, _ = step.decide(np.asarray([step.sign(Document("", text)) for text in texts]))
    assert (fate == -1).sum() == left
    assert fate[0] == -1


def test_the_largest_clusters_are_shown_with_samples(tmp_path: Path, build: Build, components: Registry) -> None:
    dice = random.Random(12)
    copied = " ".join(words(80, dice))
    texts = [copied, *(" ".join(words(80, dice)) for _ in range(5)), copied + " 끝", copied + " 끝끝"]
    reader = {"name": "jsonl", "path": str(write_rows(tmp_path / "x.jsonl", texts))}
    build({"reader": reader}, steps=({"name": "minhash_dedup"},), held_out={"documents": 0})
    found = read_clusters(tmp_path / "out")["minhash_dedup"]
    assert (found["clusters"], found["dropped"]) == (1, 2)
    assert [sample["id"] for sample in found["largest"][0]["samples"]] == ["d0", "d6", "d7"]
    assert found["largest"][0]["samples"][1]["text"].startswith(copied[:100])


def test_a_preferred_copy_stays_here_and_the_other_is_named(tmp_path: Path, components: Registry) -> None:
    """A human copy stays here although the synthetic one was kept there, and says so: both must not be read."""
    text = " ".join(words(80, random.Random(13)))
    folders = {}
    step = {"name": "minhash_dedup", "prefer": ["human"]}
    sources = {
        "made": {"reader": {"name": "jsonl", "path": str(write_rows(tmp_path / "a.jsonl", [text]))}, "synthetic": True},
        "human": {
            "reader": {"name": "jsonl", "path": str(write_rows(tmp_path / "b.jsonl", [text, "다른 글 " * 20]))},
            "deduplicate_against": ["made"],
        },
    }
    recipe = CorpusRecipe.model_validate({"sources": sources, "steps": [step], "held_out": {"documents": 0}})
    for name in recipe.in_order():
        folders[name] = tmp_path / f"out-{name}"
        folders[name].mkdir()
        against = [folders[other] for other in recipe.sources[name].deduplicate_against]
        build_source(name, recipe.sources[name], recipe, components, folders[name], against=against)
    assert [d.id for d in read_corpus(folders["made"])] == ["d0"]
    assert [d.id for d in read_corpus(folders["human"])] == ["d0", "d1"]
    (named,) = folders["human"].glob("superseded-*.jsonl")
    assert json.loads(named.read_text()) == {
        "source": "made", "id": "d0", "reason": "near duplicate of another source",
    }  # fmt: skip


def test_a_table_in_a_file_is_decided_as_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the signatures; only that the pages are given back differs."""
    monkeypatch.setattr(minhash_kernel, "BLOCK", 64)  # borders fall among documents of one key
    rng, step = np.random.default_rng(3), MinhashDedup(MinhashDedupParams())
    table = rng.integers(0, 1 << 32, (1000, 138), dtype=np.uint32)
    table[:, 136], table[:, 137] = 0, 300
    table[500:800] = table[rng.integers(0, 20, 300)]
    for part in range(4):
        np.save(tmp_path / f"{part}.npy", table[part * 250 : (part + 1) * 250])
    mapped = join_arrays([tmp_path / f"{part}.npy" for part in range(4)], tmp_path / "all.npy")
    assert np.array_equal(mapped, table) and np.array_equal(np.load(tmp_path / "all.npy"), table)
    assert np.array_equal(step.decide(mapped)[0], step.decide(table)[0])
    assert len(list(tmp_path.iterdir())) == 5  # nothing is left beside it
    assert (step.decide(mapped)[0] == 0).sum() >= 300
    monkeypatch.setattr(array_file, "READ", 20 * table.nbytes // len(table))  # twenty rows at a time
    for wanted in (np.arange(1000), np.arange(3, 1000, 7), np.array([0, 999]), np.array([], np.int64)):
        assert np.array_equal(take_rows(tmp_path / "all.npy", wanted, tmp_path / "some.npy"), table[wanted])
