"""The embedded conversations: the same for the same parameters, well formed, right, and apart from those held out."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import pytest

from kormo_plugins.documents.conversation import checked, messages_of, plain_text
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.embedded import lexicon as lexicons
from kormo_plugins.embedded.conversations.chat import HELD_OUT, is_held_out
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import registry

from .korean_checks import wrong_particles

COUNT = 800


@lru_cache(maxsize=16)
def conversations(shards: int = 1, **values: Any) -> tuple[Document, ...]:
    params = registry().params("generator", "embedded_chat", {"conversations": COUNT, **values})
    generate = registry().load("generator", "embedded_chat")
    return tuple(document for shard in range(shards) for document in generate(params, shard, shards))


def turns(*roles: str, **values: Any) -> list[str]:
    return [m["content"] for d in conversations(**values) for m in messages_of(d) or () if m["role"] in roles]


def exchanges(**values: Any) -> list[tuple[str, str]]:
    """(question, answer) of every exchange."""
    found = []
    for document in conversations(**values):
        spoken = [m for m in messages_of(document) or () if m["role"] != "system"]
        found += [(a["content"], b["content"]) for a, b in zip(spoken[::2], spoken[1::2], strict=True)]
    return found


def test_the_union_of_shards_is_the_same_and_its_bytes_are_pinned() -> None:
    assert conversations() == conversations(shards=7) != conversations(seed=1)
    digest = hashlib.sha256(json.dumps([d.meta["messages"] for d in conversations()], ensure_ascii=False).encode())
    assert digest.hexdigest()[:16] == "7cb71a53003239d3", (
        "raise VERSION in embedded/conversations/chat.py when the conversations change"
    )


def test_every_conversation_is_whole_and_labelled() -> None:
    for document in conversations():
        messages = messages_of(document)
        assert messages is not None and not isinstance(checked(messages), Reject) and checked(messages) == messages
        assert document.text == plain_text(messages)
        assert document.synthetic and document.generator == "embedded_chat" and document.license == "Apache-2.0"
        assert 0 <= document.meta["difficulty"] <= 5 and 1 <= len(document.meta["tasks"]) <= 3
    assert len({d.id for d in conversations()}) == COUNT
    assert len({d.text for d in conversations()}) > 0.95 * COUNT
    assert {d.language for d in conversations()} == {"ko", "en"}
    assert set(Counter(d.meta["difficulty"] for d in conversations())) == set(range(6))


def test_reasoning_is_what_was_asked_for() -> None:
    def share(**values: Any) -> float:
        return sum("<think>" in d.text for d in conversations(**values)) / COUNT

    assert share(reasoning=0.0) == 0 and 0.35 < share(reasoning=0.5) < 0.5 and 0.75 < share(reasoning=1.0) < 1


def test_held_out_questions_are_never_trained_on() -> None:
    trained, held = set(turns("user")), set(turns("user", held_out=True))
    assert trained and held and not trained & held
    assert not any(map(is_held_out, trained)) and all(map(is_held_out, held))
    for seed in (90_001, 2):
        assert not set(turns("user", seed=seed)) & held
    assert HELD_OUT == 16


def test_arithmetic_is_right() -> None:
    operation = {"+": int.__add__, "-": int.__sub__, "×": int.__mul__}
    seen = Counter()
    for text in turns("user", "assistant", reasoning=1.0) + [d.text for d in conversations(reasoning=1.0)]:
        for a, sign, b, c in re.findall(r"(\d+) ([-+×]) (\d+) = (\d+)", text):
            assert operation[sign](int(a), int(b)) == int(c), text
            seen[sign] += 1
    assert min(seen[sign] for sign in "+-×") > 20
    for question, answer in exchanges(tasks=None):
        if found := re.search(r"calculate (\d+) ([-+×]) (\d+)|: (\d+) ([-+×]) (\d+)\.", question):
            a, sign, b = [part for part in found.groups() if part]
            assert operation[sign](int(a), int(b)) == int(re.findall(r"\d+", answer)[-1])


def test_lists_counts_repetitions_and_copies_are_right() -> None:
    done = Counter()
    number = {"two": 2, "three": 3, "four": 4, "두": 2, "세": 3, "네": 4}
    for question, answer in exchanges(reasoning=0.0):
        items = re.search(r"[:?] ((?:[\w ]+, )+[\w ]+)\.", question)
        if re.search(r"exactly: |again\. |그대로|똑같이", question):
            assert question.endswith(answer)
            done["copy"] += 1
        elif items and answer.startswith("- "):
            assert [line[2:] for line in answer.split("\n")] == items[1].split(", ")
            done["list"] += 1
        elif items:
            assert int(re.findall(r"\d+", answer)[0]) == len(items[1].split(", ")), (question, answer)
            done["count"] += 1
        elif times := re.search(r"\b(two|three|four) times|(두|세|네) 번", question):
            length = number[times[1] or times[2]]
            word = answer[: (len(answer) + 1) // length - 1]
            assert answer == " ".join([word] * length) and word in question
            done["repeat"] += 1
        elif compared := re.search(r"(\d)(?: greater than| a greater number than|[은는이가]) (\d)", question):
            assert answer.startswith(("Yes", "예")) == (int(compared[1]) > int(compared[2])), (question, answer)
            done["compare"] += 1
    assert all(done[kind] > 15 for kind in ("list", "count", "repeat", "copy", "compare")), done


def test_one_word_answers_stand_in_the_question() -> None:
    asked = [(q, a) for q, a in exchanges() if re.search(r"one word|word only|한 단어|낱말 하나", q)]
    assert len(asked) > 50 and all(answer in question for question, answer in asked)


def test_korean_particles_and_english_articles() -> None:
    lists = (entries for name, entries in lexicons.all_words().items() if name[:2] not in ("v.", "a."))
    nouns = {entry[0] for entries in lists for entry in entries if " " not in entry[0] and len(entry[0]) > 1}
    korean = "\n".join(d.text for d in conversations(language="ko", reasoning=1.0))
    assert wrong_particles(korean, nouns) == []
    english = "\n".join(d.text for d in conversations(language="en", reasoning=1.0))
    assert re.findall(r"\b[Aa] [aeio]\w+|[가-힣{}@]", english) == []


@pytest.mark.parametrize(
    ("values", "named"),
    [({"tasks": ["repeats"]}, "repeat"), ({"conversations": 0}, "conversations"), ({"language": "mul"}, "language")],
)
def test_bad_parameters_are_told(values: dict[str, Any], named: str) -> None:
    with pytest.raises(KormoError) as caught:
        registry().params("generator", "embedded_chat", values)
    assert named in caught.value.render()
