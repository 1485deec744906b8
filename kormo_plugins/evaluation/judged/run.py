"""Runs a judged suite: checks questions, judge and cost first, then produces answers, verdicts, result and page.

Answers and verdicts are cached one by one; the result files are written from the cache in a fixed order, so that an
interrupted and repeated run writes the same files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.endpoint.client import Unreachable
from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.generation.speaker import ServedSpeaker, Speaker, unreachable
from kormo_plugins.evaluation.judged import prompts
from kormo_plugins.evaluation.judged.answers import FILE, Answered, answer_all, read_answers, write_rows
from kormo_plugins.evaluation.judged.controls import control, total
from kormo_plugins.evaluation.judged.human import read_texts
from kormo_plugins.evaluation.judged.judge import judge_sampling, repeats
from kormo_plugins.evaluation.judged.page import write_judged_page
from kormo_plugins.evaluation.judged.probes import doubts, probes, questions_to_judge, report
from kormo_plugins.evaluation.judged.questions import Question, own_questions, read_questions
from kormo_plugins.evaluation.judged.result import pair_result, single_result
from kormo_plugins.evaluation.judged.suite import JudgedSuite
from kormo_plugins.evaluation.judged.verdicts import Asked, Judge, Verdict, about, ask, cost
from kormo_plugins.evaluation.published import published
from kormo_plugins.korean.nativeness import MEASURES, measure
from kormo_plugins.measures.scores import JudgedResult, Nativeness
from kormo_plugins.store.fingerprint import identity

Say = Callable[[str], None]
VERDICTS, PAGE = "verdicts.jsonl", "judged.html"
PAIRS_WITH_ORDERS = 2


@dataclass(frozen=True)
class Prepared:
    """A judged suite with all its inputs loaded.

    Args:
        others: another model's answers by question id; None: no pairs.
        times: verdicts per answer.
        human: human-written texts for comparison.
    """

    name: str
    suite: JudgedSuite
    questions: list[Question]
    judge: Judge | None
    others: dict[str, tuple[str, ...]] | None
    against: Path | None
    times: int
    human: list[str]


def prepare(
    name: str,
    suite: JudgedSuite,
    judge: Judge | None,
    *,
    data: Path | None = None,
    limit: int | None = None,
    against: Path | None = None,
    yes: bool = False,
    say: Say,
) -> Prepared:
    """Reads the questions and the other model's answers, and reports the maximum number of requests to the judge.

    Args:
        limit: maximum conversations per language; the first ones are used.
        yes: allow more requests than the suite's `max_requests`.
    Raises:
        KormoError: see `read_questions` and `read_answers`; more requests than `max_requests`.
    """
    questions = own_questions() if suite.questions == "own" else read_questions(data, suite.questions)
    if limit is not None:
        kept = [[one for one in questions if one.language == language][:limit] for language in ("ko", "en")]
        questions = [one for part in kept for one in part]
    others = read_answers(against, questions) if against is not None else None
    times = repeats(suite, judge)
    if judge is not None and times < suite.repeats:
        say("a judge on this machine at temperature 0 is deterministic: each answer gets one verdict")
    turns = sum(len(one.turns) for one in questions)
    planned = turns * times * (1 if others is None else 1 + PAIRS_WITH_ORDERS)
    planned += len(questions_to_judge(probes())) if suite.check_judge else 0
    if judge is not None:
        counts = f"{len(questions)} conversations, {turns} answers"
        say(f"{suite.title}: {counts}; at most {planned:,} questions to the judge")
    if isinstance(judge, ServedSpeaker) and planned > suite.max_requests and not yes:
        raise KormoError(
            where=f"suite {name}: max_requests",
            found=f"{planned:,} requests to {judge.name}",
            why=f"without --yes, at most {suite.max_requests:,} are sent to an endpoint",
            do="pass --yes, --limit N or fewer repeats, or raise max_requests in a suite file",
        )
    texts = read_texts(suite.human) if suite.human is not None else []
    return Prepared(name, suite, questions, judge, others, against, times, texts)


def evaluate_judged(wanted: Prepared, speaker: Speaker, folder: Path, say: Say) -> JudgedResult:
    """Generates and judges answers; writes `answers.jsonl`, `verdicts.jsonl` and `judged.html` into the folder.

    Raises:
        KormoError: an endpoint stopped answering; answers so far are kept.
    """
    suite, questions = wanted.suite, wanted.questions
    with _one_message("kormo eval: --endpoint"):
        answered = answer_all(speaker, questions, suite.answers.sampling())
    controls = [control(one.question, one.answers) for one in answered]
    rows = [one.row(control=counted.row()) for one, counted in zip(answered, controls, strict=True)]
    write_rows(folder / FILE, rows)
    result: JudgedResult = {
        "suite": wanted.name,
        "title": suite.title,
        "questions": suite.questions,
        "questions_hash": identity([[one.id, one.turns, one.references] for one in questions])[:12],
        "conversations": len(questions),
        "model": speaker.name,
        "answers": suite.answers.model_dump(mode="json"),
        "unanswered": sum(one.missing for one in answered),
        "cut": sum(one.cut for one in answered),
        "controls": total(controls, questions),
        "nativeness": _nativeness(wanted, answered),
        "judge": None,
    }
    verdicts: list[Verdict] = []
    if wanted.judge is not None:
        verdicts = _judge(wanted, wanted.judge, answered, result, say)
    write_rows(folder / VERDICTS, [one.row() for one in verdicts])
    write_judged_page(result, answered, controls, verdicts, wanted.others or {}, folder / PAGE)
    say(f"answers and verdicts side by side: {folder / PAGE}")
    return result


def _nativeness(wanted: Prepared, answered: Sequence[Answered]) -> Nativeness | None:
    """Judge-free measures of the Korean answers and of human text; None: no Korean answers."""
    korean = [one.answers for one in answered if one.question.language == "ko"]
    if not korean:
        return None
    texts = {"model": measure(korean)}
    if wanted.others is not None:
        texts["other model"] = measure(
            wanted.others[one.question.id] for one in answered if one.question.language == "ko"
        )
    if wanted.human:
        texts["human text"] = measure([text] for text in wanted.human)
    return {
        "measures": {name: {"title": one.title, "better": one.better} for name, one in MEASURES.items()},
        "texts": texts,
    }


def _judge(
    wanted: Prepared, judge: Judge, answered: Sequence[Answered], result: JudgedResult, say: Say
) -> list[Verdict]:
    """Judges all answers and adds scores, comparison and judge test to the result."""
    suite, sampling = wanted.suite, judge_sampling(wanted.suite)
    questions = list(_questions(wanted, answered))
    planted = probes() if suite.check_judge else []
    planted_asked = questions_to_judge(planted)
    count, kept, into, out = cost(judge, [*planted_asked, *questions], sampling)
    say(
        f"judge {judge.name}: {count:,} requests to send ({kept:,} kept from before), about {into:,} tokens in and "
        f"{out:,} out, {suite.judge.max_tokens * count:,} out at most"
    )
    with _one_message("kormo eval: --judge"):
        tested = ask(judge, planted_asked, sampling, suite.layout)
        verdicts = ask(judge, questions, sampling, suite.layout)
    result["judge"] = {
        "name": judge.name,
        "layout": suite.layout,
        "repeats": wanted.times,
        "temperature": suite.judge.temperature,
        "questions": len(questions) + len(planted_asked),
    }
    check = result["judge_check"] = report(planted, tested) if planted else None
    result["judge_doubts"] = doubts(planted, tested, check) if check else []
    result["single"] = single_result(answered, [one for one in verdicts if one.kind == "single"])
    if wanted.others is not None:
        pairs = [one for one in verdicts if one.kind == "pair"]
        result["pairs"] = pair_result(answered, wanted.others, pairs, str(wanted.against))
    row = published().judged.get(suite.published or "", [])
    result["published"] = {
        model: score for model, score in zip(published().judged_models, row, strict=False) if score is not None
    }
    return verdicts


def _questions(wanted: Prepared, answered: Sequence[Answered]) -> Iterator[Asked]:
    """All questions to the judge, in a fixed order."""
    for one in answered:
        for turn in range(len(one.answers)):
            for repeat in range(wanted.times):
                messages = prompts.single(one.question, one.answers, turn, wanted.suite.layout)
                yield about(one.question, turn, messages, repeat)
                if wanted.others is None:
                    continue
                other = wanted.others[one.question.id]
                for swapped in (False, True):
                    first, second = (other, one.answers) if swapped else (one.answers, other)
                    messages = prompts.pair(one.question, first, second, turn)
                    yield about(one.question, turn, messages, repeat, "pair", swapped)


@contextlib.contextmanager
def _one_message(where: str) -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        raise unreachable(where, error) from None
