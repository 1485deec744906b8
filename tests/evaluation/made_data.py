"""Made-up copies of every dataset of the suites `korean` and `english`, in the columns that the hub's have, and a model
that finds their right answers: each carries a mark, in the right option or behind the question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM

from kormo_plugins.evaluation.catalogue import Catalogue
from kormo_plugins.evaluation.run import Line

MARK = "맞음"
Row = dict[str, Any]


def options(n: int, count: int) -> list[str]:
    """Texts of which number n (modulo their count) is marked."""
    return [f"{MARK} {n}" if place == n % count else f"답 {place}" for place in range(count)]


def lettered(n: int, count: int) -> dict[str, str]:
    return dict(zip("ABCDEFGHIJ", options(n, count), strict=False))


def kobest(part: str, n: int) -> Row:
    yes, end = ("아니오", "예")[n % 2], options(n, 4)
    made: dict[str, Row] = {
        "boolq": {"paragraph": "나무가 있다.", "question": f"그런가? {MARK}: {yes}.", "label": n % 2},
        "copa": {"premise": "비가 왔다.", "question": ("원인", "결과")[n // 2 % 2], "label": n % 2,
                 "alternative_1": options(n, 2)[0], "alternative_2": options(n, 2)[1]},
        "hellaswag": {"context": f"{n}시가 되었다.", "label": n % 4, **{f"ending_{k + 1}": end[k] for k in range(4)}},
        "sentineg": {"sentence": f"그렇다. {MARK}: {('부정', '긍정')[n % 2]}.", "label": n % 2},
        "wic": {"word": "배", "context_1": "배를 먹었다.", "context_2": f"{MARK}: {yes}.", "label": n % 2},
    }  # fmt: skip
    return made[part]


def super_glue(part: str, n: int) -> Row:
    if part == "boolq":
        return {"passage": "A tree.", "question": f"is it? {MARK}: {('no', 'yes')[n % 2]}.", "idx": n, "label": n % 2}
    one, two = options(n, 2)
    return {"premise": "It rained.", "choice1": one, "choice2": two, "question": ("cause", "effect")[n // 2 % 2],
            "idx": n, "label": n % 2}  # fmt: skip


CLICK = ("CSAT_korean_22_1", "CSAT_korean_20_12", "CSAT_korean_23_40", "Economy_1", "Geography_1", "KHB_1", "Law_1",
         "Politics_1", "Popular_1", "Society_1", "Tradition_1")  # fmt: skip
"""Ids by which the eleven parts of CLIcK are told apart."""
KBL = ("query", *(f"{which}_case_{what}" for which in ("query", "retrieved")
                  for what in ("appellant", "fact", "claim", "judicial_opinion")),
       "facts_charged", "defendant_claim", "facts_accepted", "cause", "effect", "statement1", "statement2")  # fmt: skip


def row(dataset: str, part: str, n: int, subjects: Sequence[str] = ()) -> Row:
    """Row n of a part of a dataset."""
    question, subject = f"{n}의 두 배는?", subjects[n % len(subjects)] if subjects else ""
    four, letter = options(n, 4), "ABCD"[n % 4]
    made: dict[str, Any] = {
        "HAERAE-HUB/KMMLU": lambda: {"question": question, **lettered(n, 4), "answer": n % 4 + 1, "Category": part},
        "HAERAE-HUB/HAE_RAE_BENCH": lambda: {
            "query": question + "".join(f"\n({k}) {v}" for k, v in lettered(n, 5).items()) + "\n정답:",
            "options": options(n, 5), "answer": f"({'ABCDE'[n % 5]})",
        },
        "skt/kobest_v1": lambda: kobest(part, n),
        "EunsuKim/CLIcK": lambda: {
            "id": CLICK[n % len(CLICK)], "paragraph": "글." * (n % 2), "question": question, "choices": four,
            "answer": four[n % 4],
        },
        "HAERAE-HUB/csatqa": lambda: {
            "question": question, "context": "글", "gold": str(n % 5 + 1),
            **{f"option#{k + 1}": one for k, one in enumerate(options(n, 5))},
        },
        "CohereForAI/Global-MMLU": lambda: {
            "sample_id": f"{subject}/{n}", "subject": subject, "question": question, "answer": letter,
            **{f"option_{k.lower()}": one for k, one in lettered(n, 4).items()},
        },
        "HAERAE-HUB/K2-Eval": lambda: {"question": question, **dict(zip("abcd", four, strict=True)),
                                       "gold_answer": n % 4},
        "snunlp/KoBALT-700": lambda: {
            "ID": str(n), "Question": question + "".join(f"\n{k}: {v}" for k, v in lettered(n, 10).items()),
            "Answer": "ABCDEFGHIJ"[n % 10],
        },
        "kr_clinical_qa": lambda: {"question": question, **lettered(n, 5), "answer": "ABCDE"[n % 5]},
        "HAERAE-HUB/HRM8K": lambda: {"question": f"얼마인가? {MARK}: {n % 4 + 1}.", "answer": n % 4 + 1},
        "lbox/kbl": lambda: {"question": question, **lettered(n % 2, 5), "gt": "AB"[n % 2], "label": "AB"[n % 2],
                             **dict.fromkeys(KBL, "글")},
        "allenai/ai2_arc": lambda: {"id": str(n), "question": question, "answerKey": letter,
                                    "choices": {"text": four, "label": list("ABCD")}},
        "aps/super_glue": lambda: super_glue(part, n),
        "Idavidrein/gpqa": lambda: {"Question": question, "Correct Answer": f"{MARK} {n}",
                                    **{f"Incorrect Answer {k}": f"답 {k}" for k in (1, 2, 3)}},
        "Rowan/hellaswag": lambda: {"activity_label": "Sports", "ctx_a": "A man", "ctx_b": "he", "endings": four,
                                    "label": str(n % 4)},
        "cais/mmlu": lambda: {"question": question, "subject": part, "choices": four, "answer": n % 4},
        "TIGER-Lab/MMLU-Pro": lambda: {
            "question": question, "options": options(n, 10), "answer": "ABCDEFGHIJ"[n % 10], "answer_index": n % 10,
            "cot_content": "A: Let's think step by step. It is so.", "category": subject,
        },
        "fxmarty/mmlu-redux-2.0-ok": lambda: {"question": question, "choices": four, "answer": n % 4},
        "allenai/openbookqa": lambda: {"question_stem": question, "answerKey": letter,
                                       "choices": {"text": four, "label": list("ABCD")}},
        "baber/piqa": lambda: {"goal": question, "sol1": options(n, 2)[0], "sol2": options(n, 2)[1], "label": n % 2},
        "allenai/social_i_qa": lambda: {
            "context": "A tree.", "question": question, "label": str(n % 3 + 1),
            **{f"answer{k}": one for k, one in lettered(n, 3).items()},
        },
    }  # fmt: skip
    return dict(made[dataset]())


def parts(lines: Iterable[Line], catalogue: Catalogue) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Dataset, part, splits and subjects of all that the lines read."""
    found: dict[tuple[str, str], tuple[set[str], list[str]]] = {}
    for line in lines:
        for leaf in line.named.leaves:
            config = catalogue.configuration(leaf)
            dataset, part = config["dataset_path"], config.get("dataset_name") or ""
            splits, subjects = found.setdefault((dataset, part), (set(), []))
            splits |= {config[key] for key in ("test_split", "validation_split", "training_split", "fewshot_split")
                       if config.get(key)}  # fmt: skip
            kept = getattr(config.get("process_docs"), "keywords", None)  # a partial that keeps one subject's rows
            subjects += [kept["subject"]] if kept else []
    for (dataset, part), (splits, subjects) in found.items():
        yield dataset, part, tuple(splits), tuple(subjects)


def write_all(folder: Path, lines: Iterable[Line], catalogue: Catalogue) -> None:
    """Every dataset that the lines read: a folder for each part, a file for each split."""
    for dataset, part, splits, subjects in parts(lines, catalogue):
        write_rows_of(folder, dataset, part, splits, subjects)


def write_rows_of(folder: Path, dataset: str, part: str, splits: Sequence[str], subjects: Sequence[str] = ()) -> None:
    """One part of a dataset, with seven rows of each subject: enough for five examples and a question."""
    place = folder / dataset / part
    place.mkdir(parents=True, exist_ok=True)
    several = len(subjects) or (len(CLICK) if dataset.endswith("CLIcK") else 1)
    rows = [row(dataset, part, n, subjects) for n in range(7 * several)]
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    for split in splits:
        (place / f"{split}.jsonl").write_text(text, encoding="utf-8")


class Oracle(LM):
    """Reads the mark in the last question, and answers with what it stands at."""

    max_gen_toks = 256

    def speak(self, chat: bool) -> None:
        assert not chat

    @staticmethod
    def _answer(context: str) -> str:
        """The letter (or number) of the marked option, or the word behind the mark."""
        said = re.search(rf".*{MARK}: (\w+)\.", context, flags=re.S)
        option = re.search(rf".*[\s(,]\(?([A-J1-5])[).:]\s*{MARK} \d", context, flags=re.S)
        found = max((one for one in (said, option) if one), key=lambda one: one.end(), default=None)
        return found.group(1) if found else ""

    def loglikelihood(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        found = []
        for context, continuation in (request.args for request in requests):
            right = MARK in continuation or continuation.strip(" ()") == self._answer(context)
            found.append((0.0 if right else -9.0, right))
        return found

    def generate_until(self, requests: Any, **_: Any) -> list[str]:
        answers = [self._answer(request.args[0]) for request in requests]
        return [f"the answer is ({one}), $\\boxed{{{one}}}$" if one else "" for one in answers]

    def loglikelihood_rolling(self, requests: Any, **_: Any) -> list[float]:
        raise NotImplementedError
