"""What the log says of a step, and that looking changes nothing."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainerState

from kormo_plugins.measures.flops import Shape, model_flops_per_token
from kormo_plugins.measures.metrics_file import read_metrics, read_metrics_file
from kormo_plugins.training.objective import next_token
from kormo_plugins.training.telemetry import progress, throughput
from kormo_plugins.training.telemetry.loss_by_source import CHUNK, LossBySource, row_losses
from kormo_plugins.training.telemetry.metrics import Meter, MetricsFile

from .harness import LENGTH, VOCAB, trainer

SOURCES, LANGUAGES = ("books", "news", "web"), ("en", "ko", "en")


class Sourced:
    """Adds what our collators add: each row's source, and positions of two documents."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        half = torch.arange(LENGTH // 2)
        return {
            **self.inner(rows),
            "sources": torch.tensor([row["sample"] * 5 % 3 for row in rows]),
            "position_ids": torch.cat([half, half]).repeat(len(rows), 1),
        }


def sourced(micro: int, accumulation: int, out: Path, **arguments: Any) -> Any:
    """A trainer whose rows are of three sources in two languages."""
    made = trainer(micro, accumulation, out=str(out), **arguments)
    made.data_collator = Sourced(made.data_collator)
    settings = dataclasses.replace(made.kormo, sources=SOURCES, languages=LANGUAGES)
    made.configure(settings, next_token, made._stop)
    return made


def logged(made: Any) -> list[dict[str, Any]]:
    return [line for line in made.state.log_history if "loss" in line]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = sourced(4, 2, tmp_path_factory.mktemp("sourced"))
    made.train()
    return made


def test_the_parts_weighted_by_tokens_are_the_loss(run: Any) -> None:
    assert len(logged(run)) == 4
    for line in logged(run):
        tokens = {name: line[f"predicted/source/{name}"] for name in SOURCES}
        mean = sum(line[f"loss/source/{name}"] * tokens[name] for name in SOURCES) / sum(tokens.values())
        assert mean == pytest.approx(line["loss"], rel=1e-5)
        assert line["batch_loss"] == pytest.approx(line["loss"], rel=1e-5)
        english = sum(line[f"loss/source/{name}"] * tokens[name] for name in ("books", "web"))
        assert line["loss/language/en"] == pytest.approx(english / (tokens["books"] + tokens["web"]))
        assert line["loss/language/ko"] == line["loss/source/news"]


def test_terms_that_the_model_adds_are_summed_over_the_step_and_forgotten(run: Any) -> None:
    meter = Meter(dataclasses.replace(run.kormo, sources=()), run.model, torch.device("cpu"), 1)
    inputs = {"input_ids": torch.zeros(2, 8, dtype=torch.long)}
    for measure in (False, True, True):
        meter.begin(inputs, measure)
        meter.end(inputs, {"parts": {"loss/load_balance": torch.tensor(0.75)}}, None)
    assert meter.collect(1, lambda value: 2 * value)["loss/load_balance"] == 3.0  # two micro-batches on two ranks
    meter.begin(inputs, True)
    meter.end(inputs, {}, None)
    assert "loss/load_balance" not in meter.collect(2, lambda value: value)


def test_each_part_is_that_of_its_rows(run: Any, tmp_path: Path) -> None:
    """Against transformers' own loss of the first batch, row by row."""
    made = sourced(4, 2, tmp_path)
    rows = [made.train_dataset[i] for i in range(8)]
    sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in SOURCES}
    half = torch.arange(LENGTH // 2)
    for row in rows:
        labels = row["labels"][None]
        loss = made.model(
            input_ids=row["input_ids"][None], labels=labels, position_ids=torch.cat([half, half])[None]
        ).loss
        count = int((labels[:, 1:] != -100).sum())
        part = sums[SOURCES[row["sample"] * 5 % 3]]
        part[0] += loss.item() * count
        part[1] += count
    for name, (total, count) in sums.items():
        assert logged(run)[0][f"loss/source/{name}"] == pytest.approx(total / count, rel=1e-5)
        assert logged(run)[0][f"predicted/source/{name}"] == count


def test_looking_changes_no_bit(run: Any, tmp_path: Path) -> None:
    blind = sourced(4, 2, tmp_path, logging_strategy="no")
    blind.train()
    assert not logged(blind)
    for one, other in zip(run.model.parameters(), blind.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_only_logged_steps_are_measured(tmp_path: Path) -> None:
    made = sourced(2, 4, tmp_path)
    made.args.logging_steps = 3
    calls: list[int] = []
    add = made.meter.losses.add
    made.meter.losses.add = lambda *args: (calls.append(made.state.global_step), add(*args))
    made.train()
    assert calls == [2] * 4  # the third step's four micro-batches
    assert [line["step"] for line in logged(made)] == [3]


def test_position_and_tokens_are_counted(run: Any) -> None:
    assert [line["sample"] for line in logged(run)] == [8, 16, 24, 32]
    assert [line["tokens"] for line in logged(run)] == [8 * LENGTH * step for step in (1, 2, 3, 4)]
    assert all(line["tokens_per_second"] > 0 and line["grad_norm"] > 0 for line in logged(run))
    assert "mfu" not in logged(run)[0], "the peak of this machine is not known"


def test_two_ranks_report_the_whole_batch() -> None:
    """Each rank holds some rows; what they report is that of all rows."""
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 9, VOCAB), torch.randint(0, VOCAB, (6, 9))
    labels[2, 4:] = -100
    where = torch.tensor([0, 1, 1, 0, 0, 1])
    ranks = [LossBySource(SOURCES, LANGUAGES) for _ in range(3)]
    for rank, rows in zip(ranks, (slice(0, 6), slice(0, 2), slice(2, 6)), strict=True):
        rank.add({"logits": logits[rows]}, labels[rows], where[rows])
    other = ranks[2]._table
    whole = ranks[0].collect(lambda table: table, "cpu")
    assert ranks[1].collect(lambda table: table + other, "cpu") == pytest.approx(whole, rel=1e-12)
    assert "loss/source/web" not in whole, "a source without tokens in this step has no loss"
    assert ranks[1].collect(lambda table: table, "cpu") == {}, "a step's sums go into one log"


def test_long_rows_are_taken_in_chunks() -> None:
    torch.manual_seed(0)
    length = 2 * CHUNK + 3
    logits, labels = torch.randn(1, length, 7), torch.randint(0, 7, (1, length))
    widths: list[int] = []

    def scores(row: int, part: slice) -> torch.Tensor:
        widths.append(part.stop - part.start)
        return logits[row, part]

    sums, counts = row_losses(labels, scores)
    assert widths == [CHUNK, CHUNK, 2]
    whole = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum")
    assert sums.item() == pytest.approx(whole.item(), rel=1e-6) and counts.item() == length - 1


def test_mfu_is_flops_over_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 14.0, 15.0])
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(now))
    shape = Shape(64, 160, 3, 4, 2, 16, 320)
    speed = throughput.Throughput(shape, 512, 1e9)
    speed.start()
    speed.start()  # the clock runs already
    first = speed.mark(8192)
    assert first["tokens_per_second"] == 2048
    assert first["mfu"] == pytest.approx(model_flops_per_token(shape, 512) * 2048 / 1e9, abs=5e-5)
    isolated = speed.mark(2048, mean_position=49.5)  # documents of 100 tokens: less attention to be done
    assert isolated["mfu"] == pytest.approx(model_flops_per_token(shape, 512, 100.0) * 2048 / 1e9, abs=5e-5)


def test_a_frozen_weight_or_another_family_has_no_mfu() -> None:
    made = SimpleNamespace(config=SimpleNamespace(model_type="gpt2"), parameters=lambda: iter(()))
    assert throughput.shape_of(made) is None
    whole = trainer(4, 2).model
    assert throughput.shape_of(whole) == Shape.of(whole.config.to_dict())
    next(whole.parameters()).requires_grad_(False)
    assert throughput.shape_of(whole) is None


def test_a_run_that_begins_again_replaces_everything(tmp_path: Path) -> None:
    """Killed before its first checkpoint, it finds the lines of the first attempt in its file."""
    state = TrainerState(is_world_process_zero=True)
    for losses in ([4.0, 3.5], [4.0]):
        file = MetricsFile(tmp_path)
        state.global_step = 0
        file.on_log(None, state, None, {"held_out": 5.0})  # a monitor looks before the first step
        file.on_train_begin(None, state, None)
        for state.global_step, loss in enumerate(losses, 1):
            file.on_log(None, state, None, {"loss": loss})
    found = read_metrics_file(tmp_path / "metrics.jsonl")
    assert [(line["step"], line.get("loss")) for line in found.lines] == [(0, None), (1, 4.0)]
    assert found.resumes == [0]


def _started(folder: Path, step: int, steps: int) -> None:
    """A start from the checkpoint of a step, up to its last; the final record has a loss, as that of Trainer."""
    state = TrainerState(is_world_process_zero=True, global_step=step, max_steps=steps)
    file = MetricsFile(folder)
    file.on_train_begin(None, state, None)
    for state.global_step in range(step + 1, steps + 1):
        file.on_log(None, state, None, {"loss": 3.0})
    file.on_log(None, state, None, {"train_loss": 3.0 if step < steps else 0.0})


def test_a_start_that_trains_no_step_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    _started(tmp_path, 0, 4)
    _started(tmp_path, 2, 4)
    before = path.read_text()
    assert before.count('"resume"') == 1 and before.count("train_loss") == 2
    _started(tmp_path, 4, 4)
    assert path.read_text() == before
    _started(tmp_path, 3, 3)  # with max_steps lowered to the step of an earlier checkpoint
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3] and "0.0" not in path.read_text()


def test_a_resume_replaces_later_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": 1, "loss": 4}, {"step": 2, "loss": 3}, {"event": "resume", "step": 1}, {"step": 2, "loss": 2}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_metrics(path) == [{"step": 1, "loss": 4}, {"step": 2, "loss": 2}]


def test_metrics_of_an_earlier_version_are_read_under_the_names_of_today(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "unseen/loss/source/a": 2.0, "unseen": 1, "held_out/loss": 3.0}) + "\n")
    assert read_metrics(path) == [{"step": 1, "external_eval/loss/source/a": 2.0, "unseen": 1, "held_out/loss": 3.0}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int = 2000) -> str:
    """What is written in `steps` steps of so many seconds."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.Progress(stream)
    state = SimpleNamespace(global_step=0, max_steps=steps, is_world_process_zero=True)
    bar.on_train_begin(None, state, None)
    for state.global_step in range(1, steps + 1):
        now[0] += seconds
        bar.on_step_end(None, state, None)
        if state.global_step % 10 == 0:
            bar.on_log(None, state, None, logs={"loss": 2.5, "tokens_per_second": 12345.6, "mfu": 0.451})
    bar.on_train_end(None, state, None)
    return str(stream.getvalue())


def test_a_log_file_gets_whole_lines_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(io.StringIO(), monkeypatch, seconds=3.0)
    assert "\r" not in text and "\x1b" not in text and text.endswith("\n")
    lines = text.splitlines()
    assert lines[0] == "kormo: step 0 of 2,000 (0%)"
    assert 100 < len(lines) < 300
    assert lines[-1] == "kormo: step 2,000 of 2,000 (100%), loss 2.5, 12,346 tokens/s, MFU 45.1%, 1:40:00 in all"
    assert lines[1] == "kormo: step 4 of 2,000 (0%), 1:39:48 left"
    month = shown(io.StringIO(), monkeypatch, seconds=2592.0, steps=1000)
    assert month.count("\n") < 1100


def test_a_terminal_gets_one_line_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda *size, **kinds: os.terminal_size((80, 24)))
    text = shown(Terminal(), monkeypatch, seconds=0.05, steps=100)
    assert text.count("\n") == 1 and text.endswith("\n")
    pictures = text.rstrip("\n").split("\r\x1b[2K")[1:]
    assert 20 < len(pictures) < 40 and max(map(len, pictures)) <= 80
    assert "█" in pictures[-1] and "░" not in pictures[-1]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_start_that_trains_no_step_says_so_in_one_line(stream: type[io.StringIO]) -> None:
    bar = progress.Progress(stream())
    state = SimpleNamespace(global_step=2000, max_steps=2000, is_world_process_zero=True)
    bar.on_train_begin(None, state, None)
    bar.on_log(None, state, None, logs={"train_loss": 0.0})
    bar.on_train_end(None, state, None)
    assert bar.stream.getvalue() == "kormo: the run is finished at step 2,000: nothing was trained\n"
