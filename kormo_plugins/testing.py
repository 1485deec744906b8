"""Help for the tests of plugins: run a component as a recipe would, and check what every one of its kind must keep.

    from kormo_plugins import testing

    kept, rejected = testing.run_step("drop_word", ["some text"], {"words": ["lorem"]})
    testing.check_step("drop_word", {"words": ["lorem"]})
    testing.check_packing("my_packing")
    testing.check_mixing("my_mixing")

The component is asked for by name, through the registry, so that a test fails when a recipe could not find it either.
A module that is not installed is named with `plugins=["my_package.plugin"]`, as in a recipe. A check raises
`AssertionError` that says what was broken.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.corpus.step import is_source_step
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.hookspecs import BatchStep
from kormo_plugins.plugins.registry import Registry

TEXTS = (
    "",
    " ",
    "a",
    "한",
    "서울은 대한민국의 수도이다. 한강이 도시를 가로지른다.",
    "The river runs through the city.",
    "두 언어로 쓴 문서. Written in two languages.",
    "줄\n나눔\r\n탭\t끝",
    "🙂 \u200b\u202e e\u0301",
    "가" * 5000,
    "word " * 2000,
    "<p>표시 &amp; 기호</p>",
    "1234567890-1234567",
    '{"json": [1, 2, 3]}',
    "\x00\x07",
)
"""Texts that every step meets sooner or later."""

LENGTHS = ((), (0,), (1,), (7, 7, 7), (0, 64, 0, 65, 63), (1000,), (64,) * 5, tuple(range(130)))
"""Token counts for packing into rows of 64: none, empty, whole rows, longer than a row, all sizes."""


def documents(texts: Sequence[str], language: str = "ko") -> list[Document]:
    """Documents of a source `test` with provenance, named by their place."""
    return [Document(f"test-{number}", text, "test", language, "CC0-1.0") for number, text in enumerate(texts)]


def component(kind: str, name: str, plugins: Sequence[str] = ()) -> Any:
    """The object that the component's `load` names.

    Raises:
        KormoError: there is none of that kind and name.
    """
    return Registry(tuple(plugins)).load(kind, name)


def params(kind: str, name: str, values: Mapping[str, object] | None = None, plugins: Sequence[str] = ()) -> object:
    """`values` checked by the component's own parameter model, as a recipe's are."""
    return Registry(tuple(plugins)).params(kind, name, dict(values or {}))


def run_step(
    name: str,
    texts: Sequence[str] | Sequence[Document],
    values: Mapping[str, object] | None = None,
    plugins: Sequence[str] = (),
) -> tuple[list[Document], list[tuple[Document, str]]]:
    """What a corpus step keeps, and what it drops with which reason.

    Args:
        texts: texts or documents; they are copied.
        values: the step's parameters, as in a dataset recipe.
    """
    make = component("corpus_step", name, plugins)
    step = make(params("corpus_step", name, values, plugins))
    given = [copy.deepcopy(t) if isinstance(t, Document) else documents([t])[0] for t in texts]
    for number, document in enumerate(given):
        document.id = document.id if isinstance(texts[number], Document) else f"test-{number}"
    kept: list[Document] = []
    rejected: list[tuple[Document, str]] = []
    if is_source_step(make):
        fates, reasons = step.decide(np.array([step.sign(document) for document in given]))
        for document, fate in zip(given, fates, strict=True):
            if fate < 0:
                kept.append(document)
            else:
                rejected.append((document, reasons[fate]))
        return kept, rejected
    for document in given:
        result = step(document)
        if isinstance(result, Reject):
            rejected.append((document, result.reason))
        else:
            kept.append(result)
    return kept, rejected


def check_step(
    name: str, values: Mapping[str, object] | None = None, texts: Sequence[str] = TEXTS, plugins: Sequence[str] = ()
) -> None:
    """What every corpus step must keep: no document is lost or made twice, a reason for each that goes, provenance and
    names untouched, the same result again, a whole number as `VERSION`."""
    make = component("corpus_step", name, plugins)
    assert isinstance(getattr(make, "VERSION", None), int), f"{name}: VERSION must be a whole number"
    kept, rejected = run_step(name, texts, values, plugins)
    names = sorted([d.id for d in kept] + [d.id for d, _ in rejected])
    assert names == sorted(d.id for d in _named(texts)), f"{name}: documents are lost, duplicated or renamed"
    for _, reason in rejected:
        assert isinstance(reason, str) and reason.strip(), f"{name}: a document is dropped without a reason"
    for document in kept:
        assert isinstance(document.text, str), f"{name}: the text of {document.id} is not a str"
        provenance = (document.source, document.language, document.license)
        assert provenance[::2] == ("test", "CC0-1.0") and provenance[1], (
            f"{name}: {document.id} lost its provenance: {provenance}"
        )
    again = run_step(name, texts, values, plugins)
    assert (kept, rejected) == again, f"{name}: a second run gives another result"
    step = make(params("corpus_step", name, values, plugins))
    batch: Any = step.batch if isinstance(step, BatchStep) else None
    if batch is not None:
        results = list(batch(_named(texts)))
        assert len(results) == len(texts), f"{name}: {len(results)} results for a batch of {len(texts)} documents"
        lone = [step(document) for document in _named(texts)]
        assert results == lone, f"{name}: a batch gives another result than a call for each document"


def _named(texts: Sequence[str]) -> list[Document]:
    return documents(texts)


def check_packing(
    name: str, values: Mapping[str, object] | None = None, row_length: int = 64, plugins: Sequence[str] = ()
) -> None:
    """What every packing must keep: each token in one piece, once, or counted as dropped; no row too long; pure."""
    pack, chosen = component("packing", name, plugins), params("packing", name, values, plugins)
    for lengths in LENGTHS:
        sizes = np.array(lengths, np.int64)
        packing = pack(sizes.copy(), row_length, chosen)
        again = pack(sizes.copy(), row_length, chosen)
        for field in ("rows", "document", "start", "end"):
            same = np.array_equal(getattr(packing, field), getattr(again, field))
            assert same, f"{name}: {field} differs the second time, for {lengths}"
        seen = np.zeros((len(sizes), int(sizes.max(initial=0))), np.int64)
        for document, start, end in zip(packing.document, packing.start, packing.end, strict=True):
            assert 0 <= start < end <= sizes[document], f"{name}: piece {start}..{end} of {sizes[document]} tokens"
            seen[document, start:end] += 1
        assert seen.max(initial=0) <= 1, f"{name}: a token is in two pieces, for {lengths}"
        assert seen.sum() + packing.dropped == sizes.sum(), f"{name}: tokens are lost, for {lengths}"
        used = np.add.reduceat(np.append(packing.end - packing.start, 0), packing.rows[:-1]) if len(sizes) else sizes
        filled = used[np.diff(packing.rows) > 0] if len(packing.rows) > 1 else used[:0]
        assert (filled <= row_length).all(), f"{name}: a row holds more than {row_length} tokens, for {lengths}"
        assert 0 <= packing.closed < max(len(packing.rows), 1), f"{name}: more closed rows than rows"


def mixing_counts(
    name: str,
    rows: Mapping[str, int],
    values: Mapping[str, object] | None = None,
    *,
    global_batch: int = 8,
    steps: int = 50,
    row_length: int = 64,
    plugins: Sequence[str] = (),
) -> NDArray[np.int64]:
    """Rows of each source before each step; int64 [steps + 1, sources], sources by name.

    Args:
        rows: rows of each source; all of their places hold a token.
    """
    from kormo_plugins.mixture.sampling.schedule import SourceSize

    sizes = {source: SourceSize(count, count * row_length) for source, count in rows.items()}
    mixing = component("mixing", name, plugins)(
        sizes, params("mixing", name, values, plugins), row_length=row_length, global_batch=global_batch, steps=steps
    )
    return np.array([mixing.counts(step) for step in range(steps + 1)])


def check_mixing(
    name: str,
    values: Mapping[str, object] | None = None,
    rows: Mapping[str, int] | None = None,
    plugins: Sequence[str] = (),
) -> None:
    """What every mixing must keep: it starts at zero, each step adds a whole global batch, none falls, and any step can
    be asked for first."""
    from kormo_plugins.mixture.sampling.schedule import SourceSize

    sizes = dict(rows or {"a": 1000, "b": 10, "c": 300})
    counts = mixing_counts(name, sizes, values, plugins=plugins)
    assert counts.shape == (51, len(sizes)), f"{name}: counts of shape {counts.shape[1:]} for {len(sizes)} sources"
    assert not counts[0].any(), f"{name}: there are rows before step 0"
    assert (counts.sum(axis=1) == 8 * np.arange(51)).all(), f"{name}: a step is not one global batch of 8 rows"
    assert (np.diff(counts, axis=0) >= 0).all(), f"{name}: the number of rows of a source decreases"
    fresh = component("mixing", name, plugins)(
        {source: SourceSize(count, count * 64) for source, count in sizes.items()},
        params("mixing", name, values, plugins),
        row_length=64,
        global_batch=8,
        steps=50,
    )
    for step in (50, 3, 17):
        assert np.array_equal(fresh.counts(step), counts[step]), (
            f"{name}: the counts at step {step} depend on earlier calls"
        )
    for stage in fresh.stages():
        assert set(stage) == {"from_step", "shares"}, f"{name}: a stage has `from_step` and `shares`, not {stage}"
        assert set(stage["shares"]) == set(sizes), f"{name}: shares of {sorted(stage['shares'])}, not of the sources"
