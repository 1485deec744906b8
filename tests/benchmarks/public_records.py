"""Our checks and measures against public records of other people's judgements.

    --ifeval FOLDER     IFEval's repository (google-research/instruction_following_eval, its folder `data` with
                        `test_output`): answers of GPT-4 and the authors' own verdicts on them, beside ours
    --logickor FOLDER   github.com/instructkr/LogicKor: the answers of some 65 models to its 42 questions and GPT-4's
                        scores, beside what is measured here without a judge (rank correlation over models)

    python tests/benchmarks/public_records.py --ifeval ~/instruction_following_eval/data --logickor ~/LogicKor

Neither is part of this package: copy them. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from kormo_plugins.evaluation.instructions.follow import follow
from kormo_plugins.evaluation.judged.controls import control, total
from kormo_plugins.evaluation.judged.questions import read_questions
from kormo_plugins.korean.nativeness import measure

WITHOUT_MEANING = "characters"
"""A measure of the length alone, printed last: a judge may like long or short answers."""


def rows(path: Path) -> Iterator[Any]:
    """The objects of a JSONL file, with or without a byte order mark."""
    yield from (json.loads(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())


def ifeval(folder: Path) -> None:
    """Prints both scores of the answers, and how often single verdicts differ."""
    asked = {row["prompt"]: row for row in rows(folder / "input_data.jsonl")}
    loose = {row["prompt"]: row for row in rows(folder / "test_output" / "eval_results_loose.jsonl")}
    differ: Counter[str] = Counter()
    ours, theirs, prompts, verdicts = Counter[str](), Counter[str](), 0, 0
    for row in rows(folder / "test_output" / "eval_results_strict.jsonl"):
        prompt = asked[row["prompt"]]
        names = prompt["instruction_id_list"]
        mine = dict(zip(("strict", "loose"), follow(names, prompt["kwargs"], row["response"]), strict=True))
        other = {"strict": row["follow_instruction_list"], "loose": loose[row["prompt"]]["follow_instruction_list"]}
        prompts, verdicts = prompts + 1, verdicts + len(names)
        for way in ("strict", "loose"):
            ours[f"prompts, {way}"] += all(mine[way])
            theirs[f"prompts, {way}"] += all(other[way])
            differ.update(f"{way} {n}" for n, a, b in zip(names, mine[way], other[way], strict=True) if a != b)
    print(f"IFEval, {prompts} answers of GPT-4, {verdicts} constraints")
    for name in ours:
        print(f"  {name}: ours {ours[name] / prompts:.1%}, the authors' code {theirs[name] / prompts:.1%}")
    print(f"  single verdicts that differ, of {2 * verdicts}: {differ.total()} {dict(differ)}")


def of_a_model(path: Path, questions: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """GPT-4's mean score of a model's answers, 0 to 10, and what is measured of them without a judge."""
    items = list(rows(path))
    scores = [turn["judge_score"] for item in items for turn in (item["query_single"], item["query_multi"])]
    answers = [[str(one) for one in item["outputs"]] for item in items]
    found = dict(measure(answers))
    asked = [questions[str(item["id"])] for item in items]
    controls = total([control(one, said) for one, said in zip(asked, answers, strict=True)], asked)
    return sum(scores) / len(scores), found | controls.get("ko", {})


def logickor(folder: Path) -> None:
    """Prints the rank correlation of each measure with GPT-4's scores, over models."""
    questions = {one.id: one for one in read_questions(folder.parent, folder.name)}
    models = [of_a_model(path, questions) for path in sorted(folder.glob("evaluated/*/*/default.jsonl"))]
    scores = [score for score, _ in models]
    print(f"LogicKor, {len(models)} models, GPT-4's scores {min(scores):.1f} to {max(scores):.1f}")
    names = sorted({name for _, found in models for name in found}, key=lambda name: (name == WITHOUT_MEANING, name))
    for name in names:
        pairs = [(score, found[name]) for score, found in models if found.get(name) is not None]
        result = spearmanr(*zip(*pairs, strict=True))
        low, high = min(value for _, value in pairs), max(value for _, value in pairs)
        print(f"  {name:24} {result.statistic:+.2f} (p {result.pvalue:.1g}), {low:.3g} to {high:.3g}")


def main() -> None:
    """Runs what there is a folder for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ifeval", type=Path)
    parser.add_argument("--logickor", type=Path)
    options = parser.parse_args()
    if options.ifeval is None and options.logickor is None:
        parser.error("name at least one folder")
    if options.ifeval is not None:
        ifeval(options.ifeval)
    if options.logickor is not None:
        logickor(options.logickor.expanduser().resolve())


if __name__ == "__main__":
    main()
