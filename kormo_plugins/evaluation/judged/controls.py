"""What an answer's language and length say without a judge: a fluent answer in the wrong language is a wrong answer.

share       Hangul among the letters of the prose (a Korean question should get a Korean answer)
right       that share is at least a half for a Korean question, at most a tenth for an English one
switches    words of another language per 100 eojeol of a Korean answer, apart from those of the question
level kept  all sentences of a Korean conversation are polite, or none is
cut         the answer ended at its longest
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kormo_plugins.evaluation.judged.questions import Question
from kormo_plugins.evaluation.judged.statistics import summary
from kormo_plugins.korean import text as counts
from kormo_plugins.korean.speech_level import speech_levels

KOREAN_ANSWER, ENGLISH_ANSWER = 0.5, 0.1
"""Shares of Hangul: at least, in an answer to a Korean question; at most, in one to an English question."""


@dataclass(frozen=True)
class Control:
    """What was counted in the answers of one conversation.

    Args:
        hangul: share of Hangul over all answers; None: they have no letter.
        right_language: None where there is no letter.
        switches: per 100 eojeol; None for English.
        switched: the words that were counted, up to ten.
        level: the commonest speech level; None for English, or where no sentence has one.
        level_kept: None where it cannot be asked.
        characters: of all answers.
    """

    hangul: float | None
    right_language: bool | None
    switches: float | None
    switched: tuple[str, ...]
    level: str | None
    level_kept: bool | None
    characters: int

    def row(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


def control(question: Question, answers: Sequence[str]) -> Control:
    """Counts in the answers of one conversation."""
    whole = "\n\n".join(answers)
    share = counts.hangul_share(whole)
    korean = question.language == "ko"
    right = None if share is None else (share >= KOREAN_ANSWER if korean else share <= ENGLISH_ANSWER)
    if not korean:
        return Control(share, right, None, (), None, None, len(whole))
    words = counts.eojeols(counts.prose(whole))
    allowed = counts.latin_words(" ".join(question.turns))
    foreign = counts.foreign_words(whole, allowed)
    levels = speech_levels(whole)
    rate = 100 * len(foreign) / len(words) if words else None
    return Control(share, right, rate, tuple(foreign[:10]), levels.dominant, levels.kept, len(whole))


def total(controls: Sequence[Control], questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Means of the controls, for each language."""
    found = {}
    for language in sorted({one.language for one in questions}):
        rows = [c for c, q in zip(controls, questions, strict=True) if q.language == language]
        found[language] = summary(
            {
                "hangul": [one.hangul for one in rows if one.hangul is not None],
                "right_language": [float(one.right_language) for one in rows if one.right_language is not None],
                "switches": [one.switches for one in rows if one.switches is not None],
                "level_kept": [float(one.level_kept) for one in rows if one.level_kept is not None],
                "characters": [float(one.characters) for one in rows],
            }
        )
    return found
