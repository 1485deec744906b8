"""Checks of an answer's language and length without a judge: a fluent answer in the wrong language is wrong.

share       share of Hangul among the letters of the prose (a Korean question should get a Korean answer)
right       the share is at least 0.5 for a Korean question, at most 0.1 for an English one
switches    foreign words per 100 eojeol of a Korean answer, except those of the question
level kept  all sentences of a Korean conversation are polite, or none
cut         the answer was truncated at the maximum length
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kormo_plugins.evaluation.judged.questions import Question
from kormo_plugins.evaluation.judged.statistics import summary
from kormo_plugins.korean import text as counts
from kormo_plugins.korean.speech_level import speech_levels

KOREAN_ANSWER, ENGLISH_ANSWER = 0.5, 0.1
"""Minimum share of Hangul in an answer to a Korean question; maximum in an answer to an English one."""


@dataclass(frozen=True)
class Control:
    """Counts over the answers of one conversation.

    Args:
        hangul: share of Hangul over all answers; None: no letters.
        right_language: None without letters.
        switches: per 100 eojeol; None for English.
        switched: the counted words, up to ten.
        level: the most frequent speech level; None for English, or if no sentence has one.
        level_kept: None for English, or if no sentence has a level.
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
        """As JSON types."""
        return asdict(self)


def control(question: Question, answers: Sequence[str]) -> Control:
    """Computes the counts of one conversation."""
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
    """Means of the counts per language."""
    by_language = {}
    for language in sorted({one.language for one in questions}):
        rows = [c for c, q in zip(controls, questions, strict=True) if q.language == language]
        by_language[language] = summary(
            {
                "hangul": [one.hangul for one in rows if one.hangul is not None],
                "right_language": [float(one.right_language) for one in rows if one.right_language is not None],
                "switches": [one.switches for one in rows if one.switches is not None],
                "level_kept": [float(one.level_kept) for one in rows if one.level_kept is not None],
                "characters": [float(one.characters) for one in rows],
            }
        )
    return by_language
