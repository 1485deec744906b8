"""Prompts of the generating model: one kind for each of KORMo's five synthetic sets.

The published prompts are not known; these are ours. Each has a system message and a user message with the seed.
Variants selected by the seed's hash keep the texts from starting and ending alike.
"""

from __future__ import annotations

from typing import Literal

Style = Literal["rewrite", "answer", "translate", "textbook", "reasoning"]

_COMMON = (
    "당신은 한국어로 글을 쓰는 숙련된 저자입니다. 자연스러운 한국어로만 쓰고, 번역투를 피합니다. "
    "원문에 없는 사실을 지어내지 않으며, 인사말이나 작업에 대한 설명 없이 글만 씁니다."
)

SYSTEM: dict[Style, str] = {
    "rewrite": _COMMON + " 원문의 내용을 한국 독자에게 맞게 새로 씁니다.",
    "answer": _COMMON + " 영어 원문을 읽고 그 내용에 대해 한국어로 답합니다.",
    "translate": _COMMON + " 영어 원문을 옮긴 뒤, 처음부터 한국어로 쓴 글처럼 다듬어 최종 글만 내놓습니다.",
    "textbook": _COMMON + " 주어진 주제를 처음 배우는 사람을 위한 교과서의 한 단원을 씁니다.",
    "reasoning": (
        "You are a careful problem solver. Think step by step in English, between <think> and </think>. "
        "Then give the final answer in natural Korean only, with the key steps explained."
    ),
}
"""Style -> system message. KORMo's reasoning set has English reasoning and Korean answers."""

FORMS: dict[Style, tuple[str, ...]] = {
    "rewrite": (
        "다음 글을 신문의 해설 기사처럼 다시 써 주세요.\n\n{seed}",
        "다음 글의 내용을 백과사전 항목처럼 정리해 주세요.\n\n{seed}",
        "다음 글을 두 사람이 묻고 답하는 대화로 바꾸어 주세요.\n\n{seed}",
        "다음 글을 개인이 경험을 나누는 수필처럼 다시 써 주세요.\n\n{seed}",
        "다음 글을 고등학생이 이해할 수 있는 설명문으로 다시 써 주세요.\n\n{seed}",
    ),
    "answer": (
        "다음 영어 글의 핵심 내용을 묻는 질문 세 개를 만들고, 각각에 자세히 답해 주세요.\n\n{seed}",
        "다음 영어 글을 읽고, 무엇을 주장하며 근거가 무엇인지 한국어로 설명해 주세요.\n\n{seed}",
        "다음 영어 글이 다루는 주제를 모르는 사람에게 한국어로 알려 주세요.\n\n{seed}",
    ),
    "translate": (
        "다음 영어 글을 한국어로 옮기고 한국의 글답게 다듬어 주세요.\n\n{seed}",
        "다음 영어 글의 모든 내용을 담아 한국어 글로 다시 써 주세요. 단위와 표기는 한국의 관례를 따릅니다.\n\n{seed}",
    ),
    "textbook": (
        "다음 내용을 바탕으로 예시와 연습 문제가 있는 교과서 단원을 써 주세요.\n\n{seed}",
        "다음 내용을 바탕으로 중학생을 위한 교과서 단원을 써 주세요. 일상의 예에서 출발합니다.\n\n{seed}",
        "다음 내용을 바탕으로 대학 교재의 한 절을 써 주세요. 정의, 설명, 예제의 순서를 따릅니다.\n\n{seed}",
    ),
    "reasoning": ("{seed}", "Solve the following problem.\n\n{seed}"),
}
"""Style -> user messages; one is selected per seed."""


def messages(style: Style, seed: str, choice: int) -> list[dict[str, str]]:
    """The conversation that is sent for a seed; `choice` selects the variant."""
    forms = FORMS[style]
    user = forms[choice % len(forms)].replace("{seed}", seed)
    return [{"role": "system", "content": SYSTEM[style]}, {"role": "user", "content": user}]
