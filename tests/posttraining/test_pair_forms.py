"""Pairs as preference datasets write them: orca, HH-RLHF, ShareGPT, UltraFeedback, JSON text; all the same pair."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.preference_pair import Pair, pair_of
from kormo_plugins.posttraining.preference_step import PairParams, PreferencePair

SYSTEM = {"role": "system", "content": "너는 도우미다."}
ASK = {"role": "user", "content": "하늘은 무슨 색이야?"}
GOOD = {"role": "assistant", "content": "파랗습니다."}
BAD = {"role": "assistant", "content": "몰라."}
PAIR = Pair([ASK], GOOD, BAD)
SHAREGPT = {"role": "from", "content": "value", "roles": {"human": "user", "gpt": "assistant"}}


def shared(*turns: dict[str, str]) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]


def human(answer: dict[str, str]) -> str:
    return f"\n\nHuman: {ASK['content']}\n\nAssistant: {answer['content']}"


def stepped(meta: dict[str, Any], **params: Any) -> Document | Reject:
    return PreferencePair(PairParams(**params))(Document("x", "", meta=dict(meta)))


@pytest.mark.parametrize(
    ("meta", "params", "pair"),
    [
        ({"question": ASK["content"], "chosen": GOOD["content"], "rejected": BAD["content"]}, {}, PAIR),
        ({"system": "", "question": ASK["content"], "chosen": GOOD["content"], "rejected": BAD["content"]}, {}, PAIR),
        (
            {
                "system": SYSTEM["content"],
                "question": ASK["content"],
                "chosen": GOOD["content"],
                "rejected": BAD["content"],
            },
            {},
            Pair([SYSTEM, ASK], GOOD, BAD),
        ),
        (
            {"system": SYSTEM["content"], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
            {},
            Pair([SYSTEM, ASK], GOOD, BAD),
        ),
        ({"chosen": human(GOOD), "rejected": human(BAD)}, {}, PAIR),
        (
            {
                "prompt": f"\n\nHuman: {ASK['content']}\n\nAssistant:",
                "chosen": " 파랗습니다.".strip(),
                "rejected": BAD["content"],
            },
            {},
            PAIR,
        ),
        ({"conversations": shared(ASK), "chosen": shared(GOOD)[0], "rejected": shared(BAD)[0]}, SHAREGPT, PAIR),
        ({"chosen": shared(ASK, GOOD), "rejected": json.dumps(shared(ASK, BAD))}, SHAREGPT, PAIR),
        ({"prompt": ASK["content"], "chosen": json.dumps([ASK, GOOD]), "rejected": json.dumps([ASK, BAD])}, {}, PAIR),
        ({"prompt": ASK["content"], "question": "not asked", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, {}, PAIR),
        (
            {"q": ASK["content"], "a": GOOD["content"], "b": BAD["content"]},
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            PAIR,
        ),
    ],
)
def test_forms_of_a_pair(meta: dict[str, Any], params: dict[str, Any], pair: Pair) -> None:
    document = stepped(meta, **params)
    assert isinstance(document, Document), document
    assert pair_of(document) == pair and "system" not in document.meta
    again = stepped(document.meta)
    assert isinstance(again, Document) and pair_of(again) == pair, "the one form is read as itself"


def test_an_answer_that_is_json_stays_an_answer() -> None:
    document = stepped({"prompt": "JSON으로", "chosen": '[{"name": "a"}]', "rejected": "{}"})
    assert isinstance(document, Document)
    pair = pair_of(document)
    assert pair is not None and pair.chosen["content"] == '[{"name": "a"}]'


def test_tools_of_a_pair_are_kept_as_objects() -> None:
    tool = {"name": "add", "parameters": {}}
    document = stepped({"prompt": "a", "chosen": "b", "rejected": "c", "tools": json.dumps([tool])})
    assert isinstance(document, Document) and document.meta["tools"] == [tool]
    assert stepped({"prompt": "a", "chosen": "b", "rejected": "c", "tools": "add"}) == Reject("tools that are no JSON")


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        (
            {"question": "a", "instruction": "b", "chosen": "c", "rejected": "d"},
            "question and instruction: one of them is the prompt",
        ),
        ({"chosen": "b", "rejected": "c"}, "chosen: no user turn"),
        ({"chosen": shared(ASK, GOOD), "rejected": shared(ASK, BAD)}, "chosen: unknown role 'None'"),
        (
            {"system": "x", "prompt": [SYSTEM, ASK], "chosen": "b", "rejected": "c"},
            "chosen: a system turn beside the column of the system turn",
        ),
    ],
)
def test_what_is_no_pair_says_why(meta: dict[str, Any], reason: str) -> None:
    assert stepped(meta) == Reject(reason)
