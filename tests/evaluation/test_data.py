"""A user's folder of datasets: found in the layouts in which they come, and what is wrong with it said beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.evaluation import run
from kormo_plugins.evaluation.catalogue import catalogue_of
from kormo_plugins.evaluation.local_data import find_dataset, read_splits

from .conftest import rows_of, with_positions, write_rows

TASKS = ["kobest", "kmmlu_accounting", "haerae_history", "arc_easy"]


def test_four_datasets_in_four_layouts(ask: Any, data: Path) -> None:
    rows = {row["task"]: row for row in ask(TASKS, data=data, limit=6)}
    assert list(rows) == TASKS
    assert rows["kobest"]["n"] == 30  # five tasks of six items
    assert all(0 <= row["value"] <= 1 for row in rows.values())


def test_shots_come_from_the_folder(opened: Any, registry: Any, data: Path, tmp_path: Path) -> None:
    """Five examples of KMMLU's dev split stand before each question."""
    from kormo_plugins.evaluation.plan import Wanted, make_ready

    suite = tmp_path / "s.yml"
    suite.write_text("title: t\ntasks:\n  - {task: kmmlu_accounting, metric: acc, shots: 5}\n")
    (line,) = run.find_lines([str(suite)], [], 2, registry)
    wanted = [Wanted("s", line.named.leaves[0], line.line, 2)]
    model = with_positions(opened, 100_000)
    (ready,) = make_ready(wanted, catalogue_of(registry), model, data=data, cut_long=False)
    assert ready.task.instances[0].args[0].count("정답：") == 6


def test_all_that_is_missing_in_one_message(ask: Any, data: Path) -> None:
    with pytest.raises(KormoError) as error:
        ask(["click", "piqa", "arc_easy", "csatqa_gr", "csatqa_li"], data=data)
    told = error.value.render()
    assert "3 datasets missing" in told
    for dataset in ("EunsuKim/CLIcK", "baber/piqa", "HAERAE-HUB/csatqa (for csatqa_gr, csatqa_li)"):
        assert dataset in told
    assert f"{data}/CLIcK" in told and "ai2_arc" not in told
    assert ask.loaded == 0


def test_without_a_folder_and_without_a_network(ask: Any) -> None:
    """The same message for datasets that the hub would have."""
    with pytest.raises(KormoError) as error:
        ask(["kobest_boolq", "kobest_copa", "piqa"])
    told = error.value.render()
    assert "2 datasets missing" in told and "skt/kobest_v1 (for kobest_boolq, kobest_copa)" in told
    assert ask.loaded == 0


def test_wrong_columns_are_named(ask: Any, data: Path) -> None:
    path = data / "kobest_v1" / "boolq" / "test.jsonl"
    write_rows(path, [{"passage": "가", "question": "나", "label": 0}])
    with pytest.raises(KormoError) as error:
        ask(["kobest_boolq"], data=data)
    told = error.value.render()
    assert "kobest_boolq reads 'paragraph'" in told and "label, passage, question" in told
    assert ask.loaded == 0


def test_wrong_columns_in_a_function_of_the_task(ask: Any, data: Path) -> None:
    write_rows(data / "kobest_v1" / "copa" / "test.jsonl", [{"premise": "가", "label": 0}])
    with pytest.raises(KormoError, match="kobest_copa reads 'question'"):
        ask(["kobest_copa"], data=data)


def test_a_split_that_is_not_there(ask: Any, data: Path) -> None:
    (data / "kobest_v1" / "wic" / "test.jsonl").unlink()
    with pytest.raises(KormoError, match="'wic: test'"):
        ask(["kobest_wic"], data=data)


def test_our_own_task_files(ask: Any, data: Path) -> None:
    """K2-Eval, KoBALT and KR-Clinical-QA, in the columns that their files name."""
    k2 = [{"question": f"{n}?", "a": "1", "b": "2", "c": "3", "d": "4", "gold_answer": n % 4} for n in range(6)]
    kobalt = [{"ID": str(n), "Question": f"{n}?\nA: 1\nB: 2", "Answer": "ABCDEFGHIJ"[n]} for n in range(6)]
    clinical = [{"question": f"{n}?", **dict.fromkeys("ABCDE", "x"), "answer": "ABCDE"[n % 5]} for n in range(6)]
    write_rows(data / "K2-Eval" / "knowledge" / "test.jsonl", k2)
    write_rows(data / "KoBALT-700" / "raw.parquet", kobalt)
    write_rows(data / "kr_clinical_qa" / "test.jsonl", clinical)
    rows = ask(["k2_eval", "kobalt", "kr_clinical_qa"], data=data)
    assert [row["n"] for row in rows] == [6, 6, 6]


def test_nothing_outside_of_the_folder_is_read(tmp_path: Path) -> None:
    outside = tmp_path / "secret.jsonl"
    write_rows(outside, rows_of("KMMLU", "Accounting"))
    folder = tmp_path / "data"
    for pattern in ("../../secret.jsonl", str(outside)):
        dataset = folder / "d"
        dataset.mkdir(parents=True, exist_ok=True)
        config = f"---\nconfigs:\n- config_name: x\n  data_files:\n  - {{split: test, path: '{pattern}'}}\n---\n"
        (dataset / "README.md").write_text(config)
        with pytest.raises(KormoError, match="no file of"):
            read_splits(dataset, "x", ["test"])
    assert find_dataset(folder, "../secret") is None
    assert find_dataset(folder, "owner/..") is None


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"a": 1}) + "\n{oops\n")
    with pytest.raises(KormoError, match=r"test\.jsonl:2"):
        read_splits(tmp_path, None, ["test"])
