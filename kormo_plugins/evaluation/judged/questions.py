"""Multi-turn questions: our own, and MT-Bench, KO-MT-Bench and LogicKor from the user's copies.

    own        questions_ko.yml and questions_en.yml of this folder, written for this package
    mt_bench   {question_id, category, turns: [q1, q2], reference: [a1, a2]}     also `prompt_id`, `prompt` of the hub
    logickor   {id, category, questions: [q1, q2], references: [a1, a2]}

KO-MT-Bench has the layout of MT-Bench. Reference answers may be in a file `reference_answer/*.jsonl` beside the
questions, as in FastChat's folder ({question_id, choices: [{turns: [a1, a2]}]}).
(MT-Bench: Zheng et al., arXiv 2306.05685; KO-MT-Bench: LG AI Research; LogicKor: github.com/instructkr/LogicKor.)
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.errors import Faults, KormoError, in_words
from kormo_plugins.evaluation.local_data import find_dataset
from kormo_plugins.korean.text import hangul_share

FOLDER = Path(__file__).parent
QUESTION_FILES = ("question", "questions", "test", "train", "data")
"""Names of question files; the first that exists is read."""
ENDINGS = (".jsonl", ".json", ".parquet")
LOG = logging.getLogger(__name__)
LOGICKOR = 2
"""Turns of a question of LogicKor; its question 3 holds its second text twice."""
KOREAN = 0.5
"""Minimum share of Hangul of a Korean question."""


@dataclass(frozen=True)
class Question:
    """The user's turns of one conversation.

    Args:
        turns: the user's messages.
        references: the correct answer of each turn; empty if there is none.
        language: `ko` or `en`: expected language of the answers.
    """

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...]
    language: str


def own_questions() -> list[Question]:
    """The forty tasks of this package."""
    questions = []
    for language in ("ko", "en"):
        rows = yaml.safe_load((FOLDER / f"questions_{language}.yml").read_text(encoding="utf-8"))
        questions += [_question(row, f"questions_{language}.yml", language) for row in rows]
    return questions


def read_questions(data: Path | None, dataset: str) -> list[Question]:
    """Reads the questions from a user's copy.

    Args:
        data: the folder `--data`.
        dataset: name of the dataset's folder in `data`, as on the hub.
    Raises:
        KormoError: the folder or file does not exist, a row is not a question (one message for all such rows), or two
            questions have the same id.
    """
    if data is None or not data.is_dir():
        raise KormoError(
            where="kormo eval: --data",
            found="nothing" if data is None else f"{data}, which is not a folder",
            why=f"the questions of {dataset} are read from a local copy",
            do=f"name a folder with {dataset.split('/')[-1]}/question.jsonl in it",
        )
    folder = find_dataset(data, dataset)
    if folder is None:
        raise KormoError(
            where=f"kormo eval: --data {data}",
            found=f"no folder {dataset.split('/')[-1]!r}",
            why=f"the questions of {dataset} are read from it",
            do=f"copy them to {data / dataset.split('/')[-1] / 'question.jsonl'}",
        )
    path = _file(folder)
    references = _references(folder)
    questions: list[Question] = []
    faults = Faults()
    for number, row in enumerate(_rows(path), 1):
        with faults.catch():
            questions.append(_question(row, f"{path}:{number}", None, references))
    repeated = sorted({one.id for one in questions if sum(other.id == one.id for other in questions) > 1})
    if repeated:
        faults.add(
            KormoError(
                where=str(path),
                found=f"the ids {', '.join(repeated[:5])} more than once",
                why="a verdict is assigned to its question by the id",
                do="give each question an id of its own",
            )
        )
    faults.raise_any()
    return questions


def _file(folder: Path) -> Path:
    places = [folder, folder / "data"]
    for place in places:
        for name in QUESTION_FILES:
            for ending in ENDINGS:
                matches = sorted(place.glob(f"{name}{ending}")) or sorted(place.glob(f"{name}-*{ending}"))
                if matches:
                    return matches[0]
    raise KormoError(
        where=str(folder),
        found="no file of questions",
        why=f"one of {', '.join(QUESTION_FILES)} with the ending {', '.join(ENDINGS)} is expected",
        do=f"copy the questions to {folder / 'question.jsonl'}",
    )


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            yield from pyarrow.parquet.read_table(path).to_pylist()
            return
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.splitlines() if x]
    except (OSError, ValueError) as error:
        raise KormoError(
            where=str(path), found=in_words(error), why="it cannot be read", do="copy the questions again"
        ) from None
    yield from rows


def _references(folder: Path) -> dict[str, list[str]]:
    """Question id -> correct answers, from the folder `reference_answer`."""
    references: dict[str, list[str]] = {}
    for path in sorted((folder / "reference_answer").glob("*.jsonl")):
        for row in _rows(path):
            choices = row.get("choices") or [{}]
            references[str(row.get("question_id"))] = [str(one) for one in choices[0].get("turns") or ()]
    return references


def _question(
    row: object, where: str, language: str | None, elsewhere: Mapping[str, list[str]] | None = None
) -> Question:
    values = row if isinstance(row, Mapping) else {}
    name = next((values[key] for key in ("question_id", "prompt_id", "id") if values.get(key) is not None), None)
    turns = next((values[key] for key in ("turns", "questions", "prompt") if values.get(key)), None)
    if turns is not None and turns is values.get("questions") and isinstance(turns, list) and len(turns) > LOGICKOR:
        LOG.warning(
            "%s: %d texts, of which LogicKor's own code asks the first %d; so here", where, len(turns), LOGICKOR
        )
        turns = turns[:LOGICKOR]
    if name is None or not isinstance(turns, (list, tuple)) or not all(isinstance(t, str) and t.strip() for t in turns):
        raise KormoError(
            where=where,
            found=f"the columns {', '.join(sorted(map(str, values))) or 'none'}",
            why="a question has an id (question_id, prompt_id or id) and a list of texts (turns, questions or prompt)",
            do="copy the questions again, or rename the columns",
        )
    given = next((values[key] for key in ("reference", "references") if values.get(key)), None)
    given = given or (elsewhere or {}).get(str(name)) or []
    given = [given] if isinstance(given, str) else list(given)
    references = tuple(str(one or "") for one in [*given, *[""] * len(turns)][: len(turns)])
    share = hangul_share(" ".join(turns)) or 0.0
    return Question(
        str(name),
        str(values.get("category") or "all"),
        tuple(turns),
        references,
        language or ("ko" if share >= KOREAN else "en"),
    )
