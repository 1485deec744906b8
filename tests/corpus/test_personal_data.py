"""Personal data: recall and precision on lines marked by hand, and what masking promises."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.steps.personal.personal_data import KINDS, PersonalData, PersonalDataParams, mask, spans
from kormo_plugins.errors import KormoError

from .marked_text import MarkedLine, marked_lines


def scores(lines: list[MarkedLine]) -> tuple[float, float, list[str]]:
    """Recall, precision, and each fault. A mark counts as found if all of it is masked; a mask that touches no mark,
    and changes something, is wrong."""
    found = wrong = total = 0
    faults = []
    for line in lines:
        masks = spans(line.text)
        total += len(line.marks)
        for start, end, kind in line.marks:
            hit = any(span.start <= start + 1 and span.end >= end - 1 for span in masks)  # a bracket may stay out
            found += hit
            faults += [] if hit else [f"missed {kind}: {line.text}"]
        outside = [span for span in masks if not any(s < span.end and span.start < e for s, e, _ in line.marks)]
        if outside and mask(line.text) != line.text:
            wrong += len(outside)
            faults.append(f"masked as {outside[0].kind}: {line.text}")
    return found / total, found / max(1, found + wrong), faults


@pytest.mark.parametrize("name", ["personal_data.txt", "personal_data_held_back.txt"])
def test_recall_and_precision_on_marked_lines(name: str) -> None:
    lines = marked_lines(name)
    recall, precision, faults = scores(lines)
    marks = sum(len(line.marks) for line in lines)
    print(
        f"{name}: {len(lines)} lines, {marks} marks: recall {recall:.3f}, precision {precision:.3f}", *faults, sep="\n"
    )
    assert recall >= 0.98 and precision >= 0.98


def test_there_are_enough_marked_lines_of_every_kind() -> None:
    lines = marked_lines("personal_data.txt")
    kinds = [kind for line in lines for _, _, kind in line.marks]
    assert len(lines) >= 300 and min(kinds.count(kind) for kind in KINDS) >= 4
    assert sum(not line.marks for line in lines) >= 150


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("전화 ０１０-５５５５-６６６６", "전화 ０１０-００００-００００"),
        ("+821055556666", "+821000000000"),
        ("010–5555–6666", "010–0000–0000"),
        ("국민 555555-66-777777 로 입금", "국민 000000-00-000000 로 입금"),
        ("메일은 가나다@made.kr 입니다", "메일은 email@example.com 입니다"),
        ("접속 IP 211.234.98.17", "접속 IP 192.0.2.1"),
        ("2406:da12:1b2:c300::1f 에서", "2001:db8::1 에서"),
        ("여권번호 M482A7391", "여권번호 M000A0000"),
        ("외국인등록번호 850101-5123450", "외국인등록번호 000000-0000000"),
        ("전화번호 공일공-삼팔이칠-사육일구", "전화번호 공일공-공공공공-공공공공"),
    ],
)
def test_a_masked_value_keeps_its_shape(text: str, masked: str) -> None:
    assert mask(text) == masked == mask(masked)


@pytest.mark.parametrize(
    "text", ["공일공5–1.2.3.44", "02–1234567)1a@b.kr", "0101０１０1.2.3.41", "a@b.kr.카드 021234567"]
)
def test_what_a_mask_sets_free_is_masked_too(text: str) -> None:
    assert mask(mask(text)) == mask(text)


def test_a_placeholder_that_holds_an_address_ends() -> None:
    assert "@" in mask("메일 hong@naver.com", email="x@y.kr z@w.kr")


def test_kinds_can_be_chosen_and_are_checked() -> None:
    text = "전화 010-1234-5678, 메일 hong@naver.com"
    assert mask(text, kinds=("email",)) == "전화 010-1234-5678, 메일 email@example.com"
    with pytest.raises(KormoError, match="Did you mean 'phone'"):
        PersonalData(PersonalDataParams(kinds=("phones",)))


_NUMBERS = "010|02|+82|０１０|90|0101|1234567|1.2.3.4|211.3.4.5|여권 M12345678|a@b.kr|공일공|일이삼사"
_AROUND = "-| |.|(|)|/|–|@|\n|,|계좌 |국민은행 |카드 |주민 "
_PIECES = st.lists(st.sampled_from([*"0123456789", *_NUMBERS.split("|"), *_AROUND.split("|")]), max_size=24)


@settings(max_examples=400, deadline=None)
@given(_PIECES)
def test_masking_twice_changes_nothing(pieces: list[str]) -> None:
    once = mask("".join(pieces))
    assert mask(once) == once
