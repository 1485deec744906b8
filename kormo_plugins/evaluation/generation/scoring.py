"""Scoring functions of the tasks with generated answers; the task files refer to them.

Each takes a row of the dataset and the generated texts (one, or several tries) and returns metric -> value. With
several tries, `pass@k` is returned for every power of two up to their number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from kormo_plugins.evaluation.generation import extract
from kormo_plugins.evaluation.instructions.follow import follow


class Row(TypedDict, total=False):
    """A row of the dataset: a question with `options` and the correct one (`solution` or `answer`), or instructions
    and the arguments of each."""

    question: str
    options: Sequence[object]
    solution: object
    answer: object
    instruction_id_list: Sequence[str]
    kwargs: Sequence[Mapping[str, object]]


def tries_of(results: Sequence[object]) -> list[str]:
    """The generated texts of one row, whether the harness's filter kept one or several."""
    first = results[0]
    return [str(one) for one in first] if isinstance(first, (list, tuple)) else [str(first)]


def _scores(texts: Sequence[str], right: Callable[[str], bool], extracted: Callable[[str], bool]) -> dict[str, float]:
    hits = sum(right(text) for text in texts)
    scores = {"exact_match": hits / len(texts), "extracted": sum(map(extracted, texts)) / len(texts)}
    k = 1
    while len(texts) > 1 and k <= len(texts):
        scores[f"pass@{k}"] = extract.pass_at(k, len(texts), hits)
        k *= 2
    return scores


def right_option(row: Row) -> int:
    """Index of the correct option, from 0; `solution` or `answer` is a number from 1, a letter, or the text.

    Raises:
        KeyError: neither column exists, or its value matches no option.
    """
    value = str(row["solution"] if "solution" in row else row["answer"]).strip()
    options = [str(one) for one in row["options"]]
    if value.isdigit() and 1 <= int(value) <= len(options):
        return int(value) - 1
    if len(value) == 1 and 0 <= ord(value.upper()) - ord("A") < len(options):
        return ord(value.upper()) - ord("A")
    if value in options:
        return options.index(value)
    raise KeyError(f"solution {value!r} of {len(options)} options")


def choice_prompt(row: Row) -> str:
    """Prompt of a question with numbered options, to be answered in `\\boxed{}`."""
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(row["options"], 1))
    return (
        f"다음 문제를 풀고, 마지막 줄에 정답의 번호를 \\boxed{{번호}} 꼴로 쓰십시오.\n\n"
        f"{str(row['question']).strip()}\n{listed}"
    )


def choice_target(row: Row) -> str:
    """The number of the correct option."""
    return str(right_option(row) + 1)


def score_choice(row: Row, results: Sequence[object]) -> dict[str, float]:
    """Of a question with options."""
    options, right = [str(one) for one in row["options"]], right_option(row)
    return _scores(
        tries_of(results),
        lambda text: extract.option(text, options) == right,
        lambda text: extract.option(text, options) is not None,
    )


def score_number(row: Row, results: Sequence[object]) -> dict[str, float]:
    """Of a mathematical question whose `answer` is a number or an expression.

    Where the question lists options and `answer` is the number of one, the option's text is right too, as in the
    authors' own scoring of HRM8K.
    """
    right = str(row["answer"])
    option = extract.listed_options(str(row.get("question", ""))).get(right)

    def is_right(text: str) -> bool:
        """Whether the final answer is `answer`, or the text of the option that it numbers."""
        final = extract.boxed(text) or extract.said(text)
        return extract.same_number(text, right) or (
            option is not None and final is not None and extract.same_expression(final, option)
        )

    return _scores(
        tries_of(results),
        is_right,
        lambda text: (extract.boxed(text) or extract.said(text)) is not None,
    )


def score_short(row: Row, results: Sequence[object]) -> dict[str, float]:
    """Of a question with a short `answer`: equal to it, or holding it in no more than twice its length."""
    right = extract.normal(str(row["answer"]))

    def is_right(text: str) -> bool:
        """Whether the answer is the right one, or holds it in at most twice its length; both normalized."""
        given = extract.normal(extract.short_answer(text) or "")
        return bool(right) and (given == right or (right in given and len(given) <= 2 * len(right)))

    return _scores(tries_of(results), is_right, lambda text: extract.short_answer(text) is not None)


def score_instructions(row: Row, results: Sequence[object]) -> dict[str, float | list[bool]]:
    """Of instructions: prompts of which all are kept, and all instructions by themselves; strictly and loosely."""
    strict, loose = follow(row["instruction_id_list"], row["kwargs"], tries_of(results)[0])
    return {
        "prompt_level_strict_acc": float(all(strict)),
        "inst_level_strict_acc": strict,
        "prompt_level_loose_acc": float(all(loose)),
        "inst_level_loose_acc": loose,
    }


def mean_of_lists(items: Sequence[Sequence[bool]]) -> float:
    """Mean over all instructions of all prompts."""
    flat = [kept for one in items for kept in one]
    return sum(flat) / len(flat)
