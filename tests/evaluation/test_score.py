"""Truths about scores: equal to the harness's own command, at chance for a model that knows nothing, full for one that
was told the answers; and what is finished is not done again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation.catalogue import mini_folder
from kormo_plugins.evaluation.mini import items
from kormo_plugins.evaluation.models import checkpoint as models

from .conftest import with_positions, write_checkpoint
from .made_data import write_rows_of

CHOOSING = [f"mini_{family}_{language}" for language in ("ko", "en")
            for family in ("choice", "cloze", "reading", "arithmetic")]  # fmt: skip


def _harness(model: Path, tasks: Sequence[str], include: Path, out: Path) -> dict[str, Any]:
    """`lm_eval run`, in a process that knows nothing of us."""
    words = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model}", "--tasks",
        ",".join(tasks), "--include_path", str(include), "--device", "cpu", "--batch_size", "8", "--output_path",
        str(out), "--limit", "20", "--log_samples",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = out.rglob("results_*.json")
    return dict(json.loads(found.read_text())["results"])


def test_equal_to_the_harnesss_own_command(
    ask: Any, opened: Any, registry: Any, checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    """Values, standard errors and prompts: `lm_eval run` on the Llama export of the same checkpoint."""
    from kormo_plugins.architecture.family import KORMO

    KORMO.export_llama(checkpoint, tmp_path / "llama")
    include = tmp_path / "tasks"
    include.mkdir()
    boolq = data / "kobest_v1" / "boolq"
    arc = data / "datasets--allenai--ai2_arc" / "snapshots" / "0123abcd" / "ARC-Easy" / "test-00000-of-00001.parquet"
    write_rows_of(data, "Idavidrein/gpqa", "gpqa_main", ["train"])
    gpqa = data / "Idavidrein" / "gpqa" / "gpqa_main" / "train.jsonl"
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent
    files = {
        "arc_easy": (
            0, "arc/arc_easy.yaml", "parquet", f"test: '{arc}'", "training_split: null\nvalidation_split: null",
        ),
        "kobest_boolq": (
            3, "kobest/kobest_boolq.yaml", "json", f"train: '{boolq}/train.jsonl', test: '{boolq}/test.jsonl'",
            "validation_split: null",
        ),
        "gpqa_main_zeroshot": (0, "gpqa/zeroshot/gpqa_main_zeroshot.yaml", "json", f"train: '{gpqa}'", ""),
    }  # fmt: skip
    tasks, lines = list(files), []
    for name, (shots, place, kind, listed, more) in files.items():
        (include / f"{name}.yaml").write_text(
            f"include: {shipped / place}\ntask: {name}_here\ndataset_path: {kind}\ndataset_name: null\n"
            f"num_fewshot: {shots}\ndataset_kwargs: {{data_files: {{{listed}}}}}\n{more}\n"
        )
        lines.append(f"  - {{task: {name}, metric: acc, shots: {shots}}}\n")
    shutil.copytree(mini_folder(), include / "mini")
    names = ["mini_reading_ko", "mini_instruct_en"]
    suite = tmp_path / "plainly.yml"  # as the tasks' files say, without the suite's form for base models
    lines += [f"  - {{task: {name}}}\n" for name in names]
    suite.write_text("title: t\ntasks:\n" + "".join(lines))
    theirs = _harness(tmp_path / "llama", [*(f"{name}_here" for name in tasks), *names], include, tmp_path / "harness")
    ask([], suites=[str(suite)], data=data, limit=20)
    ours = {row["task"]: row for row in json.loads((tmp_path / "out" / "evaluation.json").read_text())["tasks"]}
    compared = 0
    for name in [*tasks, *names]:
        for key, one in ours[name]["metrics"].items():
            metric, filter_name = key.split(",")
            found = theirs[f"{name}_here" if name in tasks else name]
            assert one["value"] == found[key], (name, key)
            error = found[f"{metric}_stderr,{filter_name}"]
            assert one["stderr"] == (None if error == "N/A" else error), (name, key)
            compared += 1
    assert compared >= 8
    for name in ("kobest_boolq", "gpqa_main_zeroshot"):  # the same examples drawn; the same shuffle of the options
        (samples,) = (tmp_path / "harness").rglob(f"samples_{name}_here_*.jsonl")
        theirs_asked = {json.loads(line)["prompt_hash"] for line in samples.read_text().splitlines()}
        assert theirs_asked == _prompts(opened, registry, str(suite), name, data), name


def _prompts(model: Any, registry: Any, suite: str, task: str, data: Path) -> set[str]:
    """The harness's hashes of our prompts of a task."""
    from lm_eval.utils import hash_string

    from kormo_plugins.evaluation.catalogue import catalogue_of
    from kormo_plugins.evaluation.plan import Wanted, make_ready
    from kormo_plugins.evaluation.run import find_lines

    (line,) = (one for one in find_lines([suite], [], 20, registry) if one.named.name == task)
    wanted = [Wanted("s", line.named.leaves[0], line.line, 20)]
    (ready,) = make_ready(wanted, catalogue_of(registry), model, data=data, cut_long=False)
    return {hash_string(instance.args[0]) for instance in ready.task.instances}


def test_a_group_scores_as_in_the_harness(ask: Any, checkpoint: Path, data: Path) -> None:
    """KoBEST's five tasks together: the harness's group row, when it runs the same five in one go."""
    import lm_eval
    from lm_eval.api.group import ConfigurableGroup

    from kormo_plugins.evaluation.catalogue import catalogue_of
    from kormo_plugins.evaluation.models.model import Model
    from kormo_plugins.evaluation.plan import Wanted, make_ready
    from kormo_plugins.evaluation.run import find_lines
    from kormo_plugins.plugins.registry import registry

    path = data / "kobest_v1" / "wic" / "test.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))  # so that the five differ in size
    (row,) = ask(["kobest"], data=data, limit=7)
    (line,) = find_lines([], ["kobest"], 7, registry())
    model = models.open_checkpoint(checkpoint, registry())
    catalogue = catalogue_of(registry())
    wanted = [Wanted("x", leaf, line.line, 7) for leaf in line.named.leaves]
    tasks = {one.name: one.task for one in make_ready(wanted, catalogue, model, data=data, cut_long=False)}
    group = ConfigurableGroup(
        config={
            "group": "kobest",
            "task": list(tasks),
            "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
        }
    )
    found = lm_eval.evaluate(lm=Model(checkpoint, batch_size=8, device="cpu"), task_dict={group: tasks}, limit=7)
    assert found is not None
    assert row["value"] == found["groups"]["kobest"]["acc,none"]
    assert row["stderr"] == found["groups"]["kobest"]["acc_stderr,none"]


def test_a_model_that_knows_nothing_scores_at_chance(ask: Any, opened: Any) -> None:
    """800 items of four options: 25%, within three standard errors of a guess (4.6 points)."""
    rows = ask(CHOOSING, model=opened, batch_size=100)
    right = sum(row["value"] * row["n"] for row in rows)
    n = sum(row["n"] for row in rows)
    assert n == 800
    assert abs(right / n - 0.25) < 3 * (0.25 * 0.75 / n) ** 0.5


def _teach(folder: Path, texts: Sequence[tuple[list[int], list[int]]], steps: int) -> None:
    """Trains a checkpoint on pairs (prompt ids, answer ids) until it has them by heart; only answers count."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    length = max(len(prompt) + len(answer) for prompt, answer in texts)
    ids = torch.zeros((len(texts), length), dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(texts):
        whole = prompt + answer
        ids[row, : len(whole)] = torch.tensor(whole)
        labels[row, len(prompt) : len(whole)] = torch.tensor(answer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    model.save_pretrained(folder)


def test_a_model_that_was_told_the_answers_scores_full(
    ask: Any, registry: Any, tokenizers: dict[str, Path], tmp_path: Path
) -> None:
    """By choice and in words; and it ends its answers, which an untaught one does not."""
    folder = write_checkpoint(tmp_path / "taught", tokenizers["chat"])
    tasks, suite = ["mini_arithmetic_ko", "mini_instruct_en"], tmp_path / "two.yml"
    suite.write_text(
        "title: two\ntasks:\n  - {task: mini_arithmetic_ko, metric: acc, shots: 0}\n"
        "  - {task: mini_instruct_en, metric: exact_match, shots: 0, chat: true}\n"
    )
    before = ask([], suites=[str(suite)], model=models.open_checkpoint(folder, registry), limit=8)
    tokenizer = models.tokenizer_of(folder)
    taught = [
        (
            tokenizer.encode(item["question"]),
            tokenizer.encode(item["choices"][item["answer"]], add_special_tokens=False),
        )
        for item in items("arithmetic", "ko", 8)
    ]
    for item in items("instruct", "en", 8):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": item["question"]}], add_generation_prompt=True, enable_thinking=False,
            return_dict=False,
        )  # fmt: skip
        taught.append((prompt, tokenizer.encode(f"{item['answer']}<|EOT|>", add_special_tokens=False)))
    _teach(folder, taught, 400)
    after = ask([], suites=[str(suite)], model=models.open_checkpoint(folder, registry), limit=8)
    assert [row["value"] for row in after] == [1.0, 1.0], tasks
    assert after[1]["stops"] == 1.0 and after[1]["chat"]
    assert before[1]["value"] == 0.0 and before[1]["stops"] < 0.5


def test_what_is_finished_is_not_done_again(ask: Any, tmp_path: Path, checkpoint: Path, registry: Any) -> None:
    """A run that was killed after one task goes on behind it; other weights and other questions are asked anew."""
    first = ask(["mini_choice_ko"], limit=8)
    again = ask(["mini_choice_ko", "mini_choice_en"], limit=8)
    assert ask.loaded == 2 and again[0] == first[0]
    assert any("1 of 2 tasks are already finished" in line for line in ask.said)
    assert ask(["mini_choice_ko", "mini_choice_en"], limit=8) == again
    assert ask.loaded == 2, "everything was finished: no model is loaded"
    ask(["mini_choice_ko"], limit=9)
    assert ask.loaded == 3
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [row["limit"] for row in record["results"]] == [8, 8, 9]


def test_a_record_of_other_weights_is_set_aside(
    ask: Any, opened: Any, chat_checkpoint: Path, registry: Any, tmp_path: Path
) -> None:
    ask(["mini_choice_ko"], limit=4)
    other = models.open_checkpoint(chat_checkpoint, registry)
    ask(["mini_choice_ko"], limit=4, model=other)
    assert ask.loaded == 2
    assert (tmp_path / "out" / f"evaluation-{opened.hash}.json").is_file()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["model"]["hash"] == other.hash


def test_a_prompt_that_does_not_fit(ask: Any, opened: Any) -> None:
    small = with_positions(opened, 40)
    with pytest.raises(KormoError) as error:
        ask(["mini_reading_ko"], model=small, limit=4)
    assert "mini_reading_ko (16 of 16 requests)" in error.value.render() and ask.loaded == 0
    (row,) = ask(["mini_reading_ko"], model=small, limit=4, cut_long=True)
    assert row["cut"] == 16


def test_an_answer_that_does_not_fit(ask: Any, opened: Any) -> None:
    with pytest.raises(KormoError, match="answers of up to 64 tokens"):
        ask(["mini_instruct_ko"], model=with_positions(opened, 64), limit=4)
    assert ask.loaded == 0


def test_a_metric_that_the_task_has_not(ask: Any, tmp_path: Path) -> None:
    suite = tmp_path / "s.yml"
    suite.write_text("title: t\ntasks:\n  - {task: mini_choice_ko, metric: acc_nrm, shots: 0}\n")
    with pytest.raises(KormoError, match="acc_nrm"):
        ask([], suites=[str(suite)], limit=4)
