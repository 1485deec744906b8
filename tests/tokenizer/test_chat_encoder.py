"""Ids and masks against transformers' `apply_chat_template`: weights, tools, and text that spells tokens."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.documents.conversation import checked, with_messages
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.message import TAGS, TURN_TOKENS
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.chat.chat_pieces import Piece, chat_pieces, coloured
from kormo_plugins.tokenizer.chat.chat_tokenizer import open_chat
from kormo_plugins.tokenizer.chat.conversations import ChatEncoder
from kormo_plugins.tokenizer.layout import read_layout

from .conftest import sentence

ASK = {"role": "user", "content": "2 더하기 2는?"}
WRONG = {"role": "assistant", "content": "5입니다.", "weight": 0}
FOUR = {"role": "assistant", "content": "4입니다."}
CALL = {"type": "function", "function": {"name": "더하기", "arguments": {"a": 2}}}
CALLING = {"role": "assistant", "content": "", "reasoning_content": "계산기를 쓰자.", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "4"}
TOOL = {"type": "function", "function": {"name": "더하기", "parameters": {"a": "int"}}}


def document(*turns: dict[str, Any], tools: list[Any] | None = None, name: str = "x") -> Document:
    messages = checked(list(turns))
    assert not isinstance(messages, Reject), messages
    return with_messages(Document(name, "", meta={"tools": tools} if tools else {}), messages)


def encoded(folder: Path, *documents: Document) -> list[tuple[list[int], list[int]]]:
    ids, lengths, mask = ChatEncoder(folder)(documents)
    ends = np.cumsum(lengths)[:-1]
    return [(a.tolist(), b.tolist()) for a, b in zip(np.split(ids, ends), np.split(mask, ends), strict=True)]


@pytest.fixture(scope="module")
def tokenizer(chat_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(chat_folder)


def reference(tokenizer: Any, document: Document) -> tuple[list[int], list[int]]:
    """transformers' own ids and assistant mask, which knows no weights."""
    both = tokenizer.apply_chat_template(
        document.meta["messages"],
        tools=document.meta.get("tools"),
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return both["input_ids"], both["assistant_masks"]


def spoken(tokenizer: Any, ids: list[int], mask: list[int]) -> list[str]:
    """The runs of tokens that are trained, as text."""
    runs = re.finditer("1+", "".join(map(str, mask)))
    return [tokenizer.decode(ids[run.start() : run.end()]) for run in runs]


def made_up(number: int) -> Document:
    draw = random.Random(number)
    turns: list[dict[str, Any]] = [{"role": "system", "content": sentence(draw, "ko")}] if draw.random() < 0.3 else []
    for _ in range(draw.randint(1, 3)):
        turns.append({"role": "user", "content": sentence(draw, "en")})
        if draw.random() < 0.3:
            turns += [CALLING, RESULT]
        turns.append({"role": "assistant", "content": sentence(draw, "ko")})
        if draw.random() < 0.5:
            turns[-1]["reasoning_content"] = sentence(draw, "en")
    return document(*turns, tools=[TOOL] if draw.random() < 0.3 else None, name=f"c{number}")


def test_ids_and_masks_are_those_of_transformers(chat_folder: Path, tokenizer: Any) -> None:
    documents = [made_up(number) for number in range(40)]
    for given, found in zip(documents, encoded(chat_folder, *documents), strict=True):
        assert found == reference(tokenizer, given)


def test_an_answer_of_weight_0_is_shown_and_not_trained(chat_folder: Path, tokenizer: Any) -> None:
    given = document(ASK, WRONG, ASK, FOUR)
    ((ids, mask),) = encoded(chat_folder, given)
    whole, full = reference(tokenizer, given)
    assert ids == whole and "5입니다." in tokenizer.decode(ids)
    assert spoken(tokenizer, whole, full) == ["5입니다.<|EOT|>", "4입니다.<|EOT|>\n"]
    assert spoken(tokenizer, ids, mask) == ["4입니다.<|EOT|>\n"]
    swapped = document(ASK, {"role": "assistant", "content": "4입니다."}, ASK, FOUR | {"weight": 0})
    ((ids, mask),) = encoded(chat_folder, swapped)
    assert spoken(tokenizer, ids, mask) == ["4입니다.<|EOT|>"]


def test_calls_are_trained_and_results_are_not(chat_folder: Path, tokenizer: Any) -> None:
    ((ids, mask),) = encoded(chat_folder, document(ASK, CALLING, RESULT, FOUR, tools=[TOOL]))
    call = '<tool_call>\n{"name": "더하기", "arguments": {"a": 2}}\n</tool_call><|EOT|>\n'
    assert spoken(tokenizer, ids, mask) == ["계산기를 쓰자.\n</think>\n\n" + call, "4입니다.<|EOT|>\n"]
    layout = read_layout(chat_folder)
    assert mask[ids.index(layout.tool_response or 0)] == 0
    last = len(ids) - 1 - ids[::-1].index(layout.tool_call or 0)
    assert mask[last] == 1, "the mark of a call is the model's to write"


@pytest.mark.parametrize("token", TAGS)
@pytest.mark.parametrize("role", ["system", "user", "tool", "arguments", "tools"])
def test_text_that_spells_a_tag_stays_text(chat_folder: Path, tokenizer: Any, role: str, token: str) -> None:
    text = f"왜 {token}가 있나요?"
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": text if role == "arguments" else "b"}}}
    turns = [
        {"role": "system", "content": text if role == "system" else "a"},
        {"role": "user", "content": text if role == "user" else "b"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": text if role == "tool" else "c"},
        FOUR,
    ]
    tools = [TOOL | {"description": text if role == "tools" else "d"}]
    ((ids, _),) = encoded(chat_folder, document(*turns, tools=tools))
    ((clean, _),) = encoded(chat_folder, document(*_replaced(turns, token), tools=_replaced(tools, token)))
    number = tokenizer.convert_tokens_to_ids(token)
    assert ids.count(number) == clean.count(number)
    assert text in tokenizer.decode(ids)


def _replaced(value: Any, token: str) -> Any:
    if isinstance(value, str):
        return value.replace(token, "그것")
    if isinstance(value, dict):
        return {key: _replaced(item, token) for key, item in value.items()}
    return [_replaced(item, token) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("token", TURN_TOKENS)
def test_a_document_of_another_maker_cannot_end_its_turn(chat_folder: Path, tokenizer: Any, token: str) -> None:
    """Readers refuse these; what a plugin's generator wrote is encoded as characters."""
    given = with_messages(Document("x", ""), [{"role": "user", "content": f"a{token}b"}, FOUR])  # type: ignore[list-item]
    ((ids, mask),) = encoded(chat_folder, given)
    ((clean, _),) = encoded(chat_folder, document({"role": "user", "content": "ab"}, FOUR))
    number = tokenizer.convert_tokens_to_ids(token)
    assert ids.count(number) == clean.count(number) and spoken(tokenizer, ids, mask) == ["4입니다.<|EOT|>\n"]


def test_a_reserved_character_is_named(chat_folder: Path) -> None:
    given = with_messages(Document("x", ""), [{"role": "user", "content": "\U0010fffeA"}, FOUR])  # type: ignore[list-item]
    with pytest.raises(KormoError, match=r"document x.*U\+10FFFE"):
        ChatEncoder(chat_folder)([given])


def test_a_template_that_marks_answers_otherwise_refuses_weights(chat_folder: Path, tmp_path: Path) -> None:
    for file in chat_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = (tmp_path / "chat_template.jinja").read_text(encoding="utf-8")
    one = "{%- generation -%}{{- content ~ calls.text ~ '<|EOT|>' -}}{%- endgeneration -%}"
    assert one in template
    unmarked = template.replace(one, "{{- content ~ '<|EOT|>' -}}")
    (tmp_path / "chat_template.jinja").write_text(unmarked, encoding="utf-8")
    with pytest.raises(KormoError, match="2 answers, but 1 trained spans"):
        ChatEncoder(tmp_path)([document(ASK, WRONG, ASK, FOUR)])


def test_opened_names_are_readable(chat_folder: Path) -> None:
    chat = open_chat(chat_folder)
    text = chat.tokenizer.apply_chat_template([ASK, FOUR], tokenize=False)
    assert "<|BOT|>" not in text
    assert chat.readable(str(text)) == "".join(piece.text for piece in chat_pieces([ASK, FOUR]))  # type: ignore[list-item]


# ---- for people


def test_pieces_are_the_text_and_the_mask(chat_folder: Path, tokenizer: Any) -> None:
    for number in range(20):
        given = made_up(number)
        pieces = chat_pieces(given.meta["messages"], given.meta.get("tools"))
        ((ids, mask),) = encoded(chat_folder, given)
        assert "".join(piece.text for piece in pieces) == tokenizer.decode(ids)
        assert [piece.text for piece in pieces if piece.trained] == spoken(tokenizer, ids, mask)


def test_pieces_in_colour() -> None:
    pieces = chat_pieces([ASK, WRONG, ASK, FOUR])  # type: ignore[list-item]
    assert [piece.text for piece in pieces if piece.trained] == ["4입니다.<|EOT|>\n"]
    assert Piece("5입니다.<|EOT|>", False) in pieces
    text = coloured(pieces)
    assert text.plain == "".join(piece.text for piece in pieces)
    green = [text.plain[span.start : span.end] for span in text.spans if "green" in str(span.style)]
    assert green == ["4입니다.<|EOT|>\n"]
