"""Answers and verdicts side by side: one HTML file that opens without a network.

First the scores and how reliable they are; then every conversation, turn by turn, with the answer on the left and the
verdicts on the right. All text of models and data is escaped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from kormo_plugins.evaluation.judged.answers import Answered
from kormo_plugins.evaluation.judged.controls import Control
from kormo_plugins.evaluation.judged.probes import SHOWN
from kormo_plugins.evaluation.judged.verdicts import Verdict
from kormo_plugins.measures.scores import Interval, JudgedResult, Nativeness, PairResult, SingleResult
from kormo_plugins.reporting.document import write_page
from kormo_plugins.reporting.markup import folded, number, parts_with_links, percent, table, text

LANGUAGES = {"ko": "Korean", "en": "English"}
CONTROLS = {
    "hangul": "Hangul among letters",
    "right_language": "answers in the language of the question",
    "switches": "foreign words per 100 eojeol",
    "level_kept": "conversations with a consistent speech level",
    "characters": "characters per conversation's answers",
}
SHARES = ("hangul", "right_language", "level_kept")


def write_judged_page(
    result: JudgedResult,
    answered: Sequence[Answered],
    controls: Sequence[Control],
    verdicts: Sequence[Verdict],
    others: Mapping[str, Sequence[str]],
    path: Path,
) -> Path:
    """Writes the page atomically.

    Args:
        result: as `evaluate_judged` returns it.
        others: the other model's answers by question; empty without a comparison.
    """
    parts = {
        "Scores": _scores(result),
        "Pairs": _pairs(result),
        "The judge": _judge(result),
        "Language": _language(result) + nativeness(result.get("nativeness")),
        "Conversations": _conversations(answered, controls, verdicts, others),
    }
    judge = result["judge"]
    intro = f"{text(result['title'])}. Model: {text(result['model'])}. "
    intro += f"Judge: {text(judge['name'])}." if judge else "No judge."
    return write_page(f"Judged: {result['suite']}", f"<p class=soft>{intro}</p>{parts_with_links(parts)}", path)


def interval(one: Interval | None, places: int = 2) -> str:
    """`7.25 [6.90, 7.60]`."""
    if not one or one["mean"] is None:
        return "–"
    return f"{one['mean']:.{places}f} [{one['low']:.{places}f}, {one['high']:.{places}f}]"


def _scores(result: JudgedResult) -> str:
    single = result.get("single")
    if not single:
        return ""
    cards = {
        "of 10, with 95% interval": interval(single),
        "conversations": number(single["n"]),
        "agreement between repetitions (alpha)": number(single["alpha"]),
        "score against length (rank correlation)": number(single["length_correlation"]),
        "excluded verdicts": number(sum(single["not_counted"].values())),
        "turns without an answer": number(result["unanswered"]),
    }
    top = "".join(f"<div><b>{value}</b><small>{text(name)}</small></div>" for name, value in cards.items())
    groups = {LANGUAGES.get(name, name): one for name, one in single["by_language"].items()}
    groups |= {f"turn {name}": one for name, one in single["by_turn"].items()} | single["by_category"]
    rows = [[text(label), interval(one), number(one["n"])] for label, one in groups.items()]
    body = _doubts(result) + f"<div class=cards>{top}</div>{table(['', 'score of 10', 'conversations'], rows, '-nn')}"
    published = result.get("published") or {}
    if published:
        listed = ", ".join(f"{text(model)} {score:.2f}" for model, score in published.items())
        body += f"<p class=soft>Published, by another judge and prompt: {listed}.</p>"
    return body + _reasons(single)


def _doubts(result: JudgedResult) -> str:
    """Warnings from the test of the judge, shown above the scores."""
    return "".join(f"<p class=warn>{text(one[0].upper() + one[1:])}.</p>" for one in result.get("judge_doubts") or ())


def _reasons(part: SingleResult | PairResult) -> str:
    if not part["not_counted"]:
        return ""
    listed = "; ".join(f"{text(reason)}: {count:,}" for reason, count in part["not_counted"].items())
    return f"<p class=warn>Verdicts excluded from the means, of {part['verdicts']:,}: {listed}.</p>"


def _pairs(result: JudgedResult) -> str:
    pairs = result.get("pairs")
    if not pairs:
        return ""
    rows = [
        ["against", text(pairs["against"])],
        ["win rate (a tie counts half)", interval(pairs, 3)],
        ["win rate at equal length", number(pairs["length_controlled"], 3)],
        ["wins, ties, losses", f"{pairs['wins']:,}, {pairs['ties']:,}, {pairs['losses']:,}"],
        ["pairs with the same verdict in both orders", percent(pairs["same_in_both_orders"])],
        ["position bias: wins of the first position minus the second", percent(pairs["position"])],
        ["agreement of orders and repetitions (alpha)", number(pairs["alpha"])],
    ]
    return table(["", ""], rows, "-n") + _reasons(pairs)


def _judge(result: JudgedResult) -> str:
    check = result.get("judge_check")
    if not check:
        return ""
    rows = [[text(title), percent(check[key]), good] for key, (title, good) in SHOWN.items()]
    head = f"<p>{check['pairs']:,} questions about planted answers; {check['unread']:,} verdicts could not be read.</p>"
    return head + table(["", "this judge", "a good one"], rows, "-nn")


def _language(result: JudgedResult) -> str:
    controls = result["controls"]
    rows = []
    for key, title in CONTROLS.items():
        cells = [controls[language].get(key) for language in controls]
        shown = [percent(one) if key in SHARES else number(one) for one in cells]
        rows.append([text(title), *shown])
    return table(["", *(LANGUAGES.get(one, one) for one in controls)], rows, "-" + "n" * len(controls))


def nativeness(found: Nativeness | None) -> str:
    """Table of judge-free measures of Korean text, a column per text; empty without measures."""
    if not found:
        return ""
    columns = list(found["texts"])
    rows = [
        [
            text(measure["title"]),
            *(number(found["texts"][one].get(name), 3) for one in columns),
            text(measure["better"]),
        ]
        for name, measure in found["measures"].items()
    ]
    return "<h3>Korean without a judge</h3>" + table(["", *columns, "better"], rows, "-" + "n" * len(columns) + "-")


def _conversations(
    answered: Sequence[Answered],
    controls: Sequence[Control],
    verdicts: Sequence[Verdict],
    others: Mapping[str, Sequence[str]],
) -> str:
    by_turn: dict[tuple[str, int], list[Verdict]] = defaultdict(list)
    for one in verdicts:
        by_turn[one.question, one.turn].append(one)
    parts = []
    for conversation, counted in zip(answered, controls, strict=True):
        question = conversation.question
        scores = [v.score for t in range(len(question.turns)) for v in by_turn[question.id, t] if v.score is not None]
        mean = f"{sum(scores) / len(scores):.2f}" if scores else "–"
        body = f"<p class=soft>{_counts(counted)}</p>"
        for turn, prompt in enumerate(question.turns):
            other = others.get(question.id)
            body += _turn(prompt, conversation, turn, by_turn[question.id, turn], other[turn] if other else None)
        title = f"{question.id} · {question.category} · {LANGUAGES[question.language]} · {mean}"
        parts.append(folded(title, body))
    return "".join(parts)


def _counts(counted: Control) -> str:
    parts = [f"Hangul {percent(counted.hangul)}", f"{counted.characters:,} characters"]
    if counted.level is not None:
        kept = {True: "kept", False: "not kept", None: "one sentence"}[counted.level_kept]
        parts.append(f"speech level {text(counted.level)}, {kept}")
    if counted.switched:
        parts.append("foreign words: " + ", ".join(map(text, counted.switched)))
    return "; ".join(parts)


def _turn(prompt: str, conversation: Answered, turn: int, verdicts: Sequence[Verdict], other: str | None) -> str:
    answer, note = conversation.answers[turn], conversation.notes[turn]
    mark = (
        ""
        if note == "stop"
        else f" <small class=alert>{'cut at max_tokens' if note == 'length' else text(note)}</small>"
    )
    answers = f"<div><small>answer</small>{mark}<blockquote>{text(answer) or '–'}</blockquote>"
    if other is not None:
        answers += f"<small>the other model's</small><blockquote>{text(other) or '–'}</blockquote>"
    judgements = "".join(f"<small>{_label(one)}</small><blockquote>{_verdict(one)}</blockquote>" for one in verdicts)
    return f"<h3>{turn + 1}. {text(prompt)}</h3><div class=samples>{answers}</div><div>{judgements}</div></div>"


def _label(one: Verdict) -> str:
    repeat = f"repetition {one.repeat + 1}"
    if one.kind == "single":
        return f"score, {repeat}"
    return f"pair, this model as {'B' if one.swapped else 'A'}, {repeat}"


def _verdict(one: Verdict) -> str:
    if one.reason:
        return f"<b>{text(one.reason)}</b>\n{text(one.text)}"
    if one.score is not None:
        return f"<b>{one.score:g}</b>\n{text(one.text)}"
    outcome = {1.0: "won", 0.5: "tie", 0.0: "lost", None: ""}[one.won]
    return f"<b>{outcome}</b>\n{text(one.text)}"
