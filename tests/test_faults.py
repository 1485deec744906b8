"""Several faults as one report: all of them, sorted by place, none twice, and one error for whoever catches one."""

from __future__ import annotations

import pickle

import pytest

from kormo_plugins.errors import Faults, KormoError, KormoErrors, Notice, each, moved


def fault(where: str, found: str = "x") -> KormoError:
    return KormoError(where=where, found=found, why="w", do="d")


def test_they_are_sorted_by_place_and_counted() -> None:
    report = KormoErrors([fault("b.yml: a"), fault("a.yml, line 10"), fault("a.yml, line 9"), fault("b.yml: a")])
    assert [error.where for error in report.faults] == ["a.yml, line 9", "a.yml, line 10", "b.yml: a"]
    assert report.where == "a.yml, line 9"
    assert report.render().splitlines()[-1] == "kormo: 3 faults"
    assert report.render().count("\n  do:     d") == 3


def test_reports_are_taken_apart() -> None:
    inner = KormoErrors([fault("a"), fault("b")])
    assert [error.where for error in KormoErrors([inner, fault("c"), fault("a")]).faults] == ["a", "b", "c"]
    assert each(fault("a"))[0].where == "a" and len(each(inner)) == 2


def test_what_is_caught_is_raised_at_the_end() -> None:
    faults = Faults()
    faults.raise_any()
    for where in ("a", "b"):
        with faults.catch():
            raise fault(where)
    assert [error.where for error in faults] == ["a", "b"] and faults
    with pytest.raises(KormoErrors):
        faults.raise_any()


def test_one_fault_is_raised_as_it_is() -> None:
    class Special(KormoError):
        pass

    faults = Faults([Special(where="a", found="b", why="c", do="d")])
    with pytest.raises(Special):
        faults.raise_any()


def test_other_errors_are_not_caught() -> None:
    with pytest.raises(ZeroDivisionError), Faults().catch():
        1 / 0  # noqa: B018


def test_they_survive_a_process_pool_and_a_move() -> None:
    report = KormoErrors([fault("a", "1"), fault("b", "2")])
    again = pickle.loads(pickle.dumps(report))
    assert isinstance(again, KormoErrors) and again.render() == report.render()
    there = moved(report, lambda where: f"x.yml: {where}")
    assert [(error.where, error.found) for error in each(there)] == [("x.yml: a", "1"), ("x.yml: b", "2")]


def test_a_notice_has_the_same_four_parts() -> None:
    assert Notice("a", "b", "c", "d").render().splitlines() == [
        "kormo: warning: a", "  found:  b", "  why:    c", "  do:     d",
    ]  # fmt: skip
