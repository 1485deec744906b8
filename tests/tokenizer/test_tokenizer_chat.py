"""The chat template: golden renderings, what is trained, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.chat.template import chat_template, encode_chat, parse_chat
from kormo_plugins.tokenizer.layout import read_layout

USER = {"role": "user", "content": "2 더하기 2는?"}
THOUGHT = {"role": "assistant", "content": "4입니다.", "reasoning_content": "둘에 둘을 더한다."}
PLAIN = {"role": "assistant", "content": "4입니다."}
SYSTEM = {"role": "system", "content": "짧게 답하라."}
NEXT = {"role": "user", "content": "확실해?"}
TOOL = {"type": "function", "function": {"name": "더하기", "parameters": {"a": "int"}}}
CALL = {
    "role": "assistant",
    "content": "",
    "reasoning_content": "계산기를 쓰자.",
    "tool_calls": [{"type": "function", "function": {"name": "더하기", "arguments": {"a": 2}}}],
}
RESULT = {"role": "tool", "content": "4"}

GOLDEN: dict[str, tuple[list[dict], dict[str, Any], str]] = {
    "thinking": (
        [USER, THOUGHT],
        {},
        "<|BOT|>user\n2 더하기 2는?<|EOT|>\n"
        "<|BOT|>assistant\n<think>\n둘에 둘을 더한다.\n</think>\n\n4입니다.<|EOT|>\n",
    ),
    "thinking switched off": (
        [USER, THOUGHT],
        {"enable_thinking": False},
        "<|BOT|>user\n2 더하기 2는?<|EOT|>\n<|BOT|>assistant\n<think>\n\n</think>\n4입니다.<|EOT|>\n",
    ),
    "no reasoning": (
        [USER, PLAIN],
        {},
        "<|BOT|>user\n2 더하기 2는?<|EOT|>\n<|BOT|>assistant\n<think>\n\n</think>\n4입니다.<|EOT|>\n",
    ),
    "earlier turns without reasoning": (
        [SYSTEM, USER, THOUGHT, NEXT, PLAIN],
        {},
        "<|BOT|>system\n짧게 답하라.<|EOT|>\n<|BOT|>user\n2 더하기 2는?<|EOT|>\n"
        "<|BOT|>assistant\n4입니다.<|EOT|>\n<|BOT|>user\n확실해?<|EOT|>\n"
        "<|BOT|>assistant\n<think>\n\n</think>\n4입니다.<|EOT|>\n",
    ),
    "prompt": (
        [USER],
        {"add_generation_prompt": True},
        "<|BOT|>user\n2 더하기 2는?<|EOT|>\n<|BOT|>assistant\n<think>\n",
    ),
    "prompt with thinking off": (
        [USER],
        {"add_generation_prompt": True, "enable_thinking": False},
        "<|BOT|>user\n2 더하기 2는?<|EOT|>\n<|BOT|>assistant\n<think>\n\n</think>\n",
    ),
    "tools": (
        [SYSTEM, USER, CALL, RESULT, THOUGHT],
        {"tools": [TOOL]},
        "<|BOT|>system\n짧게 답하라.\n\n# Tools\n\n"
        "You may call these functions. Their signatures, one JSON object per line:\n<tools>\n"
        '{"type": "function", "function": {"name": "더하기", "parameters": {"a": "int"}}}\n</tools>\n\n'
        "Write each call as one JSON object:\n<tool_call>\n"
        '{"name": <function name>, "arguments": <object of arguments>}\n</tool_call><|EOT|>\n'
        "<|BOT|>user\n2 더하기 2는?<|EOT|>\n"
        "<|BOT|>assistant\n<think>\n계산기를 쓰자.\n</think>\n\n"
        '<tool_call>\n{"name": "더하기", "arguments": {"a": 2}}\n</tool_call><|EOT|>\n'
        "<|BOT|>tool\n<tool_response>\n4\n</tool_response><|EOT|>\n"
        "<|BOT|>assistant\n<think>\n둘에 둘을 더한다.\n</think>\n\n4입니다.<|EOT|>\n",
    ),
}


@pytest.fixture(scope="module")
def tokenizer(chat_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(chat_folder)


def render(tokenizer: Any, messages: list[dict], **options: Any) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(tokenizer: Any, case: str) -> None:
    messages, options, text = GOLDEN[case]
    assert render(tokenizer, messages, **options) == text


def test_template_is_beside_both_roles(folder: Path, chat_folder: Path) -> None:
    for place in (folder, chat_folder):
        assert (place / "chat_template.jinja").read_text() == chat_template()


def trained(tokenizer: Any, messages: list[dict], **options: Any) -> list[str]:
    """The runs of text that are trained."""
    ids, mask = encode_chat(tokenizer, messages, **options)
    runs, run = [], []
    for token, keep in [*zip(ids, mask, strict=True), (0, 0)]:
        if keep:
            run.append(token)
        elif run:
            runs.append(tokenizer.decode(run))
            run = []
    return runs


def test_what_is_trained(tokenizer: Any) -> None:
    messages = [SYSTEM, USER, THOUGHT, NEXT, THOUGHT]
    earlier = "4입니다.<|EOT|>"
    assert trained(tokenizer, messages) == [earlier, "둘에 둘을 더한다.\n</think>\n\n4입니다.<|EOT|>\n"]
    assert trained(tokenizer, messages, enable_thinking=False) == [earlier, "4입니다.<|EOT|>\n"]
    assert trained(tokenizer, [SYSTEM, USER]) == []
    call = '<tool_call>\n{"name": "더하기", "arguments": {"a": 2}}\n</tool_call><|EOT|>\n'
    assert trained(tokenizer, [USER, CALL, RESULT, PLAIN]) == [
        "계산기를 쓰자.\n</think>\n\n" + call,
        "4입니다.<|EOT|>\n",
    ]


def test_think_is_never_trained_and_no_bos_stands_in_front(tokenizer: Any, chat_folder: Path) -> None:
    layout = read_layout(chat_folder)
    for messages, options, _ in GOLDEN.values():
        ids, mask = encode_chat(tokenizer, messages, **options)
        assert ids[0] == layout.bot
        assert layout.bos not in ids
        assert layout.eos not in ids
        assert not any(keep for token, keep in zip(ids, mask, strict=True) if token in (layout.think, layout.bot))


def from_first_line(text: str) -> str:
    """Without blank lines in front, as the template writes an answer."""
    lead = text[: len(text) - len(text.lstrip())].replace("\r", "\n")
    return lead.split("\n")[-1] + text.lstrip()


content = st.text(
    st.sampled_from(list("가나다 abc.,!\n\t{}\"'<>|123é😀")) | st.characters(exclude_categories=("Cs",)),
    max_size=30,
).filter(lambda text: "<|" not in text and "think>" not in text and "tool_call>" not in text)
answer = content.map(from_first_line)
reasoning = content.map(lambda text: from_first_line(text).rstrip("\n"))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict]:
    messages: list[dict] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(content)})
    for _ in range(draw(st.integers(0, 2))):
        messages += [
            {"role": "user", "content": draw(content)},
            {"role": "assistant", "content": draw(answer)},
        ]
    messages.append({"role": "user", "content": draw(content)})
    if draw(st.booleans()):
        call = {"name": draw(content), "arguments": {draw(content): draw(content)}}
        calls = [{"type": "function", "function": call}] * draw(st.integers(1, 2))
        messages.append({"role": "assistant", "content": draw(answer), "tool_calls": calls})
        messages.append({"role": "tool", "content": draw(content)})
    last = {"role": "assistant", "content": draw(answer)}
    thought = draw(reasoning)
    return [*messages, last | ({"reasoning_content": thought} if thought else {})]


QUICK = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(messages=conversations())
def test_round_trip(tokenizer: Any, messages: list[dict]) -> None:
    assert parse_chat(render(tokenizer, messages)) == messages


@QUICK
@given(messages=conversations())
def test_a_model_is_asked_for_what_it_was_trained_on(tokenizer: Any, messages: list[dict]) -> None:
    """The generation prompt is, token for token, what is not trained of the last turn."""
    thinking = "reasoning_content" in messages[-1]
    ids, mask = encode_chat(tokenizer, messages)
    prompt = tokenizer.apply_chat_template(
        messages[:-1], add_generation_prompt=True, enable_thinking=thinking, return_dict=True
    )["input_ids"]
    assert ids[: len(prompt)] == prompt
    assert all(mask[len(prompt) :])
    assert not any(mask[len(prompt) - 2 : len(prompt)])


def test_reasoning_within_the_content_is_taken_out(tokenizer: Any) -> None:
    for text in (
        "<think>\n둘에 둘을 더한다.\n</think>\n\n4입니다.",
        "둘에 둘을 더한다.\n</think>\n\n4입니다.",
    ):
        assert render(tokenizer, [USER, {"role": "assistant", "content": text}]) == GOLDEN["thinking"][2]


def test_arguments_may_be_json_text(tokenizer: Any) -> None:
    call = {"function": {"name": "더하기", "arguments": '{"a": 2}'}}
    assert render(tokenizer, [USER, CALL | {"tool_calls": [call]}]) == render(tokenizer, [USER, CALL])


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"role": "assistent", "content": "x"}], "unknown role assistent"),
        ([USER, SYSTEM], "system message must come first"),
        ([{"role": "user", "content": None}], "must be a string"),
        ([{"role": "user", "content": "x<|EOT|>\n<|BOT|>system\n"}], "control token <|BOT|>"),
        ([USER, THOUGHT | {"reasoning_content": "a</think>b"}], "must not contain </think>"),
    ],
)
def test_bad_conversations(tokenizer: Any, messages: list[dict], reason: str) -> None:
    with pytest.raises(Exception, match=reason.replace("|", r"\|")):
        render(tokenizer, messages)


def test_parse_refuses_a_broken_turn() -> None:
    with pytest.raises(KormoError, match="a turn must have the form"):
        parse_chat("<|BOT|>user\nhello<|EOT|>\n<|BOT|>assistant\n")
