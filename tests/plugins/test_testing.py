"""The checks that we give to plugin authors pass for our own components, and fail for broken ones."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from kormo_plugins import Component, hookimpl, testing
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.mixture.params import ConcatParams
from kormo_plugins.mixture.row_plans.packing import Packing, concat


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a plugin module `broken_plugin` of one component."""

    def make(hook: str, load: Any) -> list[str]:
        module = types.ModuleType("broken_plugin")
        function = hookimpl(lambda: [Component("broken", load=load, summary="s")])
        setattr(module, hook, function)
        monkeypatch.setitem(sys.modules, "broken_plugin", module)
        return ["broken_plugin"]

    return make


@pytest.mark.parametrize(
    "name, values",
    [("normalize", {}), ("length", {"minimum": 3}), ("html", {}), ("mojibake", {}), ("personal_data", {}),
     ("exact_dedup", {}), ("repetition", {}), ("korean", {})],
)  # fmt: skip
def test_our_steps_are_sound(name: str, values: dict[str, Any]) -> None:
    testing.check_step(name, values)


@pytest.mark.parametrize("name", ["best_fit", "concat", "pad"])
def test_our_packings_are_sound(name: str) -> None:
    testing.check_packing(name)


def test_our_mixing_is_sound() -> None:
    testing.check_mixing("weighted")
    testing.check_mixing("weighted", {"weights": {"a": 1, "b": 0, "c": 3}})


class Step:
    """A step that can be broken in one way."""

    VERSION: Any = 1
    calls = 0

    def __init__(self, params: None) -> None:
        pass

    def __call__(self, document: Document) -> Document | Reject:
        return document


class NoReason(Step):
    def __call__(self, document: Document) -> Document | Reject:
        return Reject(" ")


class Renames(Step):
    def __call__(self, document: Document) -> Document | Reject:
        document.id = "same"
        return document


class Forgets(Step):
    def __call__(self, document: Document) -> Document | Reject:
        document.license = "unknown"
        return document


class Moody(Step):
    def __call__(self, document: Document) -> Document | Reject:
        Moody.calls += 1
        return Reject("odd") if Moody.calls % 2 else document


class NoVersion(Step):
    VERSION = None


class LosesInBatches(Step):
    def batch(self, documents: list[Document]) -> list[Document | Reject]:
        return list(documents[1:])


class OtherInBatches(Step):
    def batch(self, documents: list[Document]) -> list[Document | Reject]:
        return [Reject("odd") for _ in documents]


@pytest.mark.parametrize(
    "step, told",
    [(NoReason, "without a reason"), (Renames, "renamed"), (Forgets, "provenance"), (Moody, "second run"),
     (NoVersion, "VERSION"), (LosesInBatches, "results for a batch"), (OtherInBatches, "a batch gives another")],
)  # fmt: skip
def test_a_broken_step_is_found(broken: Any, step: type, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        testing.check_step("broken", plugins=broken("kormo_corpus_steps", step))


def _loses(lengths: Any, row_length: int, params: Any) -> Packing:
    whole = concat(lengths, row_length, ConcatParams())
    end = whole.end.copy()
    end[end - whole.start > 1] -= 1
    return Packing(whole.rows, whole.document, whole.start, end, whole.closed)


def _too_long(lengths: Any, row_length: int, params: Any) -> Packing:
    return concat(lengths, 2 * row_length, ConcatParams())


@pytest.mark.parametrize("pack, told", [(_loses, "lost"), (_too_long, "more than 64")])
def test_a_broken_packing_is_found(broken: Any, pack: Any, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        testing.check_packing("broken", plugins=broken("kormo_packings", pack))


class Mixing:
    """A mixing that can be broken in one way."""

    def __init__(self, batch: int, size: int, extra: int = 0) -> None:
        self.batch, self.size, self.extra, self.calls = batch, size, extra, 0

    def counts(self, step: int) -> np.ndarray:
        self.calls += 1
        counts = np.zeros(self.size, np.int64)
        counts[0] = step * self.batch + self.extra
        return counts

    def stages(self) -> list[dict[str, Any]]:
        return [{"from_step": 0, "shares": {"a": 1.0}}]


def test_a_broken_mixing_is_found(broken: Any) -> None:
    def early(sources: Any, params: Any, *, row_length: int, global_batch: int, steps: int) -> Mixing:
        return Mixing(global_batch, len(sources), extra=1)

    with pytest.raises(AssertionError, match="before step 0"):
        testing.check_mixing("broken", plugins=broken("kormo_mixings", early))

    def partial(sources: Any, params: Any, *, row_length: int, global_batch: int, steps: int) -> Mixing:
        return Mixing(global_batch - 1, len(sources))

    with pytest.raises(AssertionError, match="global batch"):
        testing.check_mixing("broken", plugins=broken("kormo_mixings", partial))

    def forgetful(sources: Any, params: Any, *, row_length: int, global_batch: int, steps: int) -> Mixing:
        return Mixing(global_batch, len(sources))

    with pytest.raises(AssertionError, match="not of the sources"):
        testing.check_mixing("broken", plugins=broken("kormo_mixings", forgetful))
