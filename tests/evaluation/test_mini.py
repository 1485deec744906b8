"""The mini suite's items: right, fair, the same every time, and in no training corpus of ours."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.documents.document import Reject
from kormo_plugins.evaluation.mini import FAMILIES, ITEMS, LANGUAGES, items, write_items
from kormo_plugins.store.fingerprint import identity

CHOOSING = [family for family in FAMILIES if family != "instruct"]


def test_items_are_a_function_of_nothing_but_their_names() -> None:
    everything = [items(family, language) for family in FAMILIES for language in LANGUAGES]
    assert items("reading", "ko", 5) == items("reading", "ko", 50)[:5]
    assert identity(everything)[:12] == PINNED, "the items changed: scores of before cannot be compared any more"


PINNED = "c507aab054ef"
"""Hash of all items; it changes only with a new version of the suite."""


@pytest.mark.parametrize("family", CHOOSING)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_place_is_a_better_guess(family: str, language: str) -> None:
    made = items(family, language)
    places = collections.Counter(item["answer"] for item in made)
    assert set(places.values()) == {ITEMS // 4}
    assert all(len(set(item["choices"])) == 4 for item in made)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_ending_and_no_size_is_a_better_guess(language: str) -> None:
    """A model that always likes the same ending, or the smallest number, gets about a quarter."""
    first = "을를이가" if language == "ko" else None
    endings: collections.Counter[Any] = collections.Counter()
    for item in items("cloze", language, 160):
        right = item["choices"][item["answer"]]
        endings[first.index(right[0]) if first else _form(right)] += 1
    assert sorted(endings.values()) == [40] * 4
    ranks: collections.Counter[int] = collections.Counter()
    for item in items("arithmetic", language, 160):
        values = [int(value) for value in item["choices"]]
        ranks[sorted(values).index(values[item["answer"]])] += 1
    assert sorted(ranks.values()) == [40] * 4


def _form(ending: str) -> str:
    verb = ending.split()[0]
    return "to" if verb == "to" else "ing" if verb.endswith("ing") else "s" if verb.endswith("s") else "bare"


def test_answers_are_right() -> None:
    """Recomputed from the question by other means."""
    for item in items("arithmetic", "en", 60):
        words = item["question"].split("for ")[1].rstrip("?\nA:").split()
        a, b = int(words[0]), int(words[2])
        value = {"plus": a + b, "minus": a - b, "times": a * b}[words[1]]
        assert item["choices"][item["answer"]] == f" {value}"
    for item in items("reading", "ko", 60):
        told, asked = item["question"].split("\n\n")
        topic = asked.split(": ")[1].split()[0]
        place = next(one for one in told.split(". ") if one.startswith(f"{topic} ")).split()[1]
        assert place.startswith(item["choices"][item["answer"]].strip())
    for item in items("instruct", "en", 60):
        question, answer = item["question"], item["answer"]
        if question.startswith("Please"):
            assert answer.split() == [question.split("'")[1]] * {"two": 2, "three": 3, "four": 4}[question.split()[-2]]
        elif question.startswith("How many"):
            assert int(answer) == len(question.split("only. ")[1].split(", "))
        elif question.startswith("Is "):
            assert answer == ("yes" if int(question.split()[1]) > int(question.split()[4].rstrip("?")) else "no")
        else:
            assert f"in the {answer}." in question


def test_disjoint_from_the_embedded_corpus(tmp_path: Path, registry: Any) -> None:
    """The corpus's own decontamination step finds none of the items in documents of every generator that needs no
    network, and finds one that is put there."""
    write_items(tmp_path)
    values = {"against": str(tmp_path)}
    step = registry.load("corpus_step", "decontaminate")(registry.params("corpus_step", "decontaminate", values))
    generators = [name for name in registry.names("generator") if name.startswith("embedded")]
    for name in generators:
        more = {"embedded": {"megabytes": 1.0}, "embedded_books": {"language": "ko", "megabytes": 1.0}}
        params = registry.params("generator", name, {**more.get(name, {}), "seed": 5})
        seen, document = 0, None
        for document in registry.load("generator", name)(params, 0, 1):
            assert not isinstance(step(document), Reject), document.text
            seen += 1
        assert seen > 20 and document is not None
        document.text += "\n\n" + items("reading", "en")[3]["text"]
        assert isinstance(step(document), Reject)
