"""Measures of Korean without a judge: each moves the right way when text is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kormo_plugins.korean import discourse, translationese
from kormo_plugins.korean.errors import errors
from kormo_plugins.korean.nativeness import MEASURES, measure
from kormo_plugins.korean.stems import CHANGING, noun_stems, right_form, stem_of, words_of
from kormo_plugins.korean.text import sentences

TEXT = Path(__file__).with_name("village.txt").read_text(encoding="utf-8").replace("\n", " ").strip()
SECOND = (
    "도서관의 사서는 아이들에게 고마운 사람이다. 마을에서 사서를 모르는 아이는 없다. 그래도 바다를 모르는 아이는 있다."
)


def swapped(text: str) -> str:
    """Every particle of a noun in its other form."""
    nouns = noun_stems(words_of(text))
    words = []
    for word in text.split(" "):
        bare = word.rstrip(".,\n")
        for particle, forms in CHANGING.items():
            stem = bare[: -len(particle)]
            if bare.endswith(particle) and stem in nouns and right_form(stem, particle):
                other = forms[1] if particle == forms[0] else forms[0]
                word = stem + other + word[len(bare) :]
                break
        words.append(word)
    return " ".join(words)


def test_clean_text_has_no_errors_and_swapped_particles_are_seen() -> None:
    clean, damaged = errors(TEXT), errors(swapped(TEXT))
    assert clean.particles == clean.endings == ()
    assert len(damaged.particles) >= 12 and damaged.endings == ()
    one = errors("절충안를 전략와 길으로 나무을 학교은. 시스템에서 시스템의 시스템가 시스템는")
    assert one.particles == ("절충안를", "전략와", "길으로", "나무을", "학교은", "시스템가", "시스템는")
    assert errors("자본을 모은 자본가 음악을 하는 음악가 자본에 자본의 음악에 음악의").particles == ()


@pytest.mark.parametrize(
    "word",
    words_of("막었다 먹았다 받어서 읽아요 하습니다 가습니까 있읍니다 했읍니다 할께 갈께요 되요 되서 됬다 안되"),
)
def test_wrong_endings(word: str) -> None:
    assert errors(word).endings == (word,)


@pytest.mark.parametrize(
    "word",
    Path(__file__).with_name("right_words.txt").read_text(encoding="utf-8").split(),
)
def test_right_words_are_left_alone(word: str) -> None:
    assert errors(word).endings == () and errors(word).particles == ()


def without_connectives(text: str) -> str:
    kept = [one.split(" ", 1)[1] if one.split()[0] in discourse.CONNECTIVES else one for one in sentences(text)]
    return " ".join(kept)


def one_connective(text: str) -> str:
    return " ".join(
        f"그리고 {one.split(' ', 1)[1]}" if one.split()[0] in discourse.CONNECTIVES else one for one in sentences(text)
    )


def strangers(text: str) -> str:
    """Every second sentence about something else."""
    others = ["고양이가 낮잠을 잔다.", "기차가 늦게 왔다.", "우산을 두고 나왔다.", "전화가 두 번 울렸다."]
    found = sentences(text)
    return " ".join(others[n % 4] if n % 2 else one for n, one in enumerate(found))


def translated(text: str) -> str:
    """The same, as it would be put by somebody who has English in front of them."""
    return (
        text.replace("도서관이 있다", "도서관을 가지고 있다")
        .replace("아이들에게 책을", "아이들을 위해 책을 그들에게")
        .replace("바다의 이야기", "바다에 대한 이야기")
        .replace("시장에서 하루를", "시장을 통해 하루를")
        .replace("국가의 행사로", "국가에 의해 열린 행사로 인해")
        .replace("사서는", "그녀는")
    )


DAMAGES: list[tuple[str, Callable[[str], str], int]] = [
    ("particle_errors", swapped, +1),
    ("ending_errors", lambda text: text.replace("닮았다", "닮었다").replace("좋았다", "좋었다"), +1),
    ("connectives", without_connectives, -1),
    ("connective_variety", one_connective, -1),
    ("continuity", strangers, -1),
    ("repetition", lambda text: f"{text} {text[:200]}", +1),
    ("translationese", translated, +1),
]


@pytest.mark.parametrize(("name", "damage", "direction"), DAMAGES, ids=[one[0] for one in DAMAGES])
def test_a_measure_moves_the_right_way_on_damaged_text(name: str, damage: Callable[[str], str], direction: int) -> None:
    clean, damaged = measure([[TEXT]]), measure([[damage(TEXT)]])
    assert (damaged[name] - clean[name]) * direction > 0
    assert MEASURES[name].title


def test_measures_over_turns() -> None:
    """A speaker that goes on about the same, one that says the same again, and one that changes the subject."""
    goes_on = measure([[TEXT, SECOND]])
    again = measure([[TEXT, TEXT[: len(TEXT) // 2]]])
    elsewhere = measure([[TEXT, "기차의 시간은 늦다. 기차를 타면 터널에서 창을 닫는다. 터널의 끝에서 기차는 멈춘다."]])
    assert again["repetition_over_turns"] > 0.9 > 0.1 > goes_on["repetition_over_turns"]
    assert elsewhere["return"] == 0.0 < 0.5 < goes_on["return"]
    assert "return" not in measure([[TEXT]]) and measure([]) == {} and measure([[""]]) == {}


def test_stems_and_marks() -> None:
    nouns = noun_stems(words_of(TEXT))
    assert {"도서관", "바다", "시장", "작가"} <= nouns
    assert [stem_of(word, nouns) for word in ("도서관에서", "바다를", "작가", "먹는")] == [
        "도서관",
        "바다",
        "작가",
        None,
    ]
    found, words = translationese.marks("그녀는 책을 가지고 있다. `그것은` 코드다. 여러 사람들이 그것에 대해 말했다.")
    assert (found["pronoun"], found["have"], found["about"], found["plural with a number"]) == (1, 1, 1, 1)
    assert words == 10


REAL = Path(os.environ.get("KORMO_TEST_TEXT", "/nonexistent"))


@pytest.mark.skipif(not REAL.is_dir(), reason="KORMO_TEST_TEXT names no folder of real text")
def test_on_text_that_people_wrote() -> None:
    """Hardly an error per thousand words, and swapped particles are found in it."""
    import json

    path = REAL / "tech_docs_ko.jsonl"
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()[:60]]
    found = measure([[text] for text in texts])
    assert found["particle_errors"] < 0.5 and found["ending_errors"] < 0.5
    assert measure([[swapped(text)] for text in texts])["particle_errors"] > 20 * (found["particle_errors"] + 0.1)
