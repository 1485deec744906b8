"""Prompts and scores of benchmarks with generated answers; the task files refer to them."""

from __future__ import annotations

from kormo_plugins.evaluation.generation import scoring

choice_prompt, choice_target = scoring.choice_prompt, scoring.choice_target
score_choice, score_number, score_short = scoring.score_choice, scoring.score_number, scoring.score_short


def number_prompt(doc: dict[str, object]) -> str:
    """Prompt of a mathematical question, to be answered in `\\boxed{}`."""
    question = str(doc["question"]).strip()
    return f"다음 문제를 풀고, 마지막 줄에 최종 답을 \\boxed{{답}} 꼴로 쓰십시오.\n\n{question}"


def short_prompt(doc: dict[str, object]) -> str:
    """Prompt of a factual question: the column `problem` of the copies on the hub, else `question`."""
    question = str(doc["problem"] if "problem" in doc else doc["question"]).strip()
    return f"다음 질문에 짧게 답하십시오. 모르면 모른다고 하십시오. '답:' 뒤에 답만 쓰십시오.\n\n{question}"
