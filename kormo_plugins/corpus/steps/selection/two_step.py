"""A two-step filter for translated and reasoning data.

KORMo filters such data with an "Algorithm 1" that drops mistranslated and degraded items; its steps are not published,
these are ours. Step one checks the form (is the item complete?), step two the consistency of its parts.

    1   no sentence end, an unclosed code fence or <think>, a repetitive tail
    2   an answer in the wrong language or left untranslated, a refusal to translate, reasoning that ends in a different
        number than the answer

Reasoning is the text between <think> and </think>; the answer follows. Text without the marks is all answer.
"""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.steps.heuristics.text import prose, scripts
from kormo_plugins.corpus.steps.languages.language import identify
from kormo_plugins.documents.document import Document, Reject

_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_END = re.compile(r"(?:[.!?…。:;)\]}>|*`\"'”’」』$\d]|[가-힣][다요죠까오음함임됨]|\\\]|```)\s*$")
_BOXED = re.compile(r"\\boxed\{\s*\$?(-?[\d,]*\.?\d+)\s*%?\$?\s*\}")
_ANSWER = re.compile(
    r"(?:정답|답|결과|answer)(?:은|는|이|:| is|\s)*\**\s*\$?\s*(-?\d[\d,]*(?:\.\d+)?)(?![\d.,]*\d)", re.IGNORECASE
)
_REFUSAL = re.compile(
    r"(?:here is the (?:korean )?translation|as an ai (?:language )?model|i cannot translate|translate the following|"
    r"다음은 번역(?:입니다|문입니다|한)|번역 ?결과 ?[:：]|한국어로 번역(?:하면|한 것입니다|해 드리))",
    re.IGNORECASE,
)
TAIL = 400
"""Characters at the end that are searched for a loop."""


class TwoStepParams(Strict):
    """Which checks run."""

    RENAMED: ClassVar = {"fewest_hangul": "min_hangul"}

    answer_language: str | None = Field(
        default="source",
        description="required language of the answer (ko, en); `source`: the document's language; null: any",
    )
    min_hangul: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="minimum share of Hangul among the letters of a Korean answer, outside code; below it the "
        "answer was left untranslated (ours)",
    )
    check_end: bool = Field(default=True, description="drop documents that end in the middle of a sentence")
    check_numbers: bool = Field(
        default=True, description="drop documents whose reasoning and answer end in different numbers"
    )
    check_loops: bool = Field(default=True, description="drop documents that end in a repeated phrase")


class TwoStep:
    """Drops items that are truncated or inconsistent."""

    VERSION = 2

    def __init__(self, params: TwoStepParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text.rstrip()
        reason = self._whole(text)
        if reason is None:
            reasoning = "\n".join(_THINK.findall(text))
            reason = self._agrees(reasoning, _THINK.sub("", text).strip(), document.language)
        return Reject(reason) if reason else document

    def _whole(self, text: str) -> str | None:
        if text.count("<think>") != text.count("</think>"):
            return "truncated (reasoning not closed)"
        if len(re.findall(r"^ {0,3}```", text, re.MULTILINE)) % 2:
            return "truncated (code not closed)"
        if self.params.check_loops and loops(text[-TAIL:]):
            return "repetitive end"
        if self.params.check_end and not _END.search(text):
            return "truncated (no end of sentence)"
        return None

    def _agrees(self, reasoning: str, answer: str, language: str) -> str | None:
        if not answer:
            return "no answer"
        if _REFUSAL.search(answer[:300]):
            return "words of the translator"
        wanted = language if self.params.answer_language == "source" else self.params.answer_language
        if wanted == "ko":
            count = scripts(prose(answer))
            letters = count.hangul + count.latin + count.han + count.kana
            if letters > 20 and count.hangul < self.params.min_hangul * letters:
                return "untranslated"
            if count.han + count.kana > 0.1 * max(letters, 1):
                return "mixed with Chinese or Japanese"
        elif wanted == "en" and identify(prose(answer)) not in ("en", "und"):
            return "answer in another language"
        if self.params.check_numbers and reasoning:
            return None if _same_number(reasoning, answer) else "answer and reasoning differ in the number"
        return None


def loops(text: str) -> bool:
    """Whether `text` ends in a phrase of 4 to 80 characters repeated at least 4 times in a row (3 from 40 on)."""
    for size in range(4, min(80, len(text) // 3) + 1):
        times = 3 if size >= 40 else 4 if size >= 12 else 8
        phrase = text[-size:]
        if len(set(phrase)) > 2 and text.endswith(phrase * times):
            return True
    return False


def _same_number(reasoning: str, answer: str) -> bool:
    """False only if both contain a final number and the two differ."""
    ends = [_final(part) for part in (reasoning, answer)]
    return None in ends or ends[0] == ends[1]


def _final(text: str) -> float | None:
    numbers = _BOXED.findall(text) or _ANSWER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None
