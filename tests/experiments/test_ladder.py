"""A ladder finds what was planted, predicts before it trains, and its record cannot be changed unnoticed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.experiments.ladder import record
from kormo_plugins.experiments.ladder.law import Point, fit
from kormo_plugins.experiments.ladder.runner import STATE, Ladder, run
from kormo_plugins.experiments.ladder.spec import read_spec, rungs
from kormo_plugins.reporting.ladder import law_loss
from kormo_plugins.training.checkpoints.complete import mark_complete

from ..integration.conftest import RECIPE

SIZES = (3.2e5, 7.2e5, 1.35e6, 2.03e6, 4.3e6)
TOKENS = tuple(20480 * 2**k for k in range(1, 5))
LAW = {"E": 1.2, "A": 80.0, "alpha": 0.35, "B": 3000.0, "beta": 0.5, "eta": 0.4}


def truth(n: float, d: float, s: float = 0.0) -> float:
    effective = d * (1 - s + LAW["eta"] * s)
    return LAW["E"] + LAW["A"] / n ** LAW["alpha"] + LAW["B"] / effective ** LAW["beta"]


def planted(seed: int, luck: float, noise: float, shares: tuple[float, ...] = (0.0,)) -> tuple[list[Point], Any]:
    """Points of the law, each run off by its own luck and each evaluation by some noise."""
    dice = np.random.default_rng(seed)
    points = []
    for n in SIZES:
        for share in shares:
            off = dice.normal(0, luck)
            points += [
                Point(f"{n}, {share}", n, d, share, truth(n, d, share) * math.exp(off + dice.normal(0, noise)))
                for d in TOKENS
            ]
    return points, dice


def test_the_planted_law_is_recovered() -> None:
    points, _ = planted(0, 0.0, 0.0, shares=(0.0, 0.5))
    found = fit(points, replicas=3)
    assert found.law.values == pytest.approx(LAW, rel=1e-4)
    prediction = found.predict(9.7e6, 1e6, 0.25)
    assert prediction.loss == pytest.approx(truth(9.7e6, 1e6, 0.25), rel=1e-5)
    assert prediction.high - prediction.low < 1e-3


def test_what_cannot_be_known_is_not_told() -> None:
    """With one number of tokens there is no exponent of tokens, and without synthetic text no worth of it."""
    points = [Point(str(n), n, 1e5, 0.0, truth(n, 1e5)) for n in (*SIZES, 8e6)]
    found = fit(points, replicas=2)
    assert set(found.law.values) == {"E", "A", "alpha"}
    assert found.predict(1.6e7, 1e5).loss == pytest.approx(truth(1.6e7, 1e5), rel=2e-3)


@pytest.mark.parametrize("change", ["few", "nan", "negative"])
def test_points_that_say_nothing_are_refused(change: str) -> None:
    points, _ = planted(0, 0.0, 0.0)
    if change == "few":
        points = [point for point in points if point.parameters < 2e6]
    else:
        points[3] = Point("bad", 1e6, 1e5, 0.0, math.nan if change == "nan" else -1.0)
    with pytest.raises(KormoError):
        fit(points, replicas=2)


@pytest.mark.soak
def test_intervals_hold_as_often_as_they_say() -> None:
    """Over 40 ladders with 1% of luck per run: too often rather than too rarely, and not by being endless."""
    held, exponents, widths = 0, 0, []
    for seed in range(40):
        points, dice = planted(seed, 0.01, 0.002)
        found = fit(points, replicas=60, seed=seed)
        outcome = truth(9.7e6, TOKENS[-1]) * math.exp(dice.normal(0, 0.01) + dice.normal(0, 0.002))
        prediction = found.predict(9.7e6, TOKENS[-1])
        held += prediction.low <= outcome <= prediction.high
        low, high = found.interval("beta")
        exponents += low <= LAW["beta"] <= high
        widths.append((prediction.high - prediction.low) / prediction.loss)
    assert held >= 36 and exponents >= 32 and np.median(widths) < 0.2


WIDTHS = (16, 32, 48, 64, 80, 96)


class Trainer:
    """Stands for `axolotl train`: writes metrics with the losses of the planted law."""

    def __init__(self, parameters: Mapping[int, int]) -> None:
        self.parameters, self.trained = parameters, []  # type: ignore[var-annotated]

    def __call__(self, recipe: Path, log: Path, env: Mapping[str, str]) -> int:
        values = yaml.safe_load(recipe.read_text())
        folder, width = Path(values["output_dir"]), values["kormo"]["architecture"]["hidden_size"]
        self.trained.append(width)
        log.write_text("a line\n")
        lines = [
            {"step": step, "held_out/x": truth(self.parameters[width], step * 1024), "time": time.time()}
            for step in (2, 4, 6, 8)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "config.json").write_text("{}")
        mark_complete(folder, 8, {"config.json"})
        return 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "base.yml").write_text(yaml.safe_dump({**RECIPE, "output_dir": str(tmp_path / "out")}))
    sizes = {f"w{width}": {"architecture": {"hidden_size": width}} for width in WIDTHS}
    spec = {"question": "How?", "base": "base.yml", "sizes": sizes, "metric": "held_out/x"}
    (tmp_path / "ladder.yml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return tmp_path / "ladder.yml"


def ladder(path: Path, **change: Any) -> tuple[Ladder, Trainer]:
    if change:
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}, sort_keys=False))
    spec, out = read_spec(path), path.parent / "o"
    made = Ladder(path, spec, rungs(path, spec), out / "ladder", out / "runs", replicas=8)
    return made, Trainer({rung.cell.changes["kormo.architecture.hidden_size"]: rung.parameters for rung in made.rungs})


def test_the_last_size_is_predicted_and_then_trained(file: Path) -> None:
    made, train = ladder(file)
    assert [rung.target for rung in made.rungs] == [False] * 5 + [True]
    written: list[list[dict[str, Any]]] = []

    def watched(recipe: Path, log: Path, env: Mapping[str, str]) -> int:
        written.append(record.read(made.out))
        return train(recipe, log, env)

    lines: list[str] = []
    assert run(made, lines.append, watched) == 0 and train.trained == list(WIDTHS)
    assert [len(entries) for entries in written] == [0] * 5 + [1]  # on the disk before the run of the last size
    found = json.loads((made.out / STATE).read_text())
    (line,) = found["predictions"]
    assert line["before"] and line["at"][-1]["tokens"] == 8192
    outcome = dict(map(tuple, found["runs"][-1]["points"]))[8192]
    assert line["at"][-1]["loss"] == pytest.approx(outcome, rel=0.02)
    assert law_loss(line["law"], line["parameters"], 8192, 0.0) == pytest.approx(line["at"][-1]["loss"])
    page = (made.out / "ladder.html").read_text()
    assert "What this cannot show" in page and line["sha256"] in page and "w96" in page
    again, idle = ladder(file)
    assert run(again, lines.append, idle) == 0 and not idle.trained
    assert len(record.read(made.out)) == 1  # the same points: nothing is predicted again
    assert json.loads((made.out / STATE).read_text())["runs"][-1]["state"] == "reused"


def test_keys_are_named_as_a_file_writes_them(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8") + "\nchanges: {seed: 1}\n", encoding="utf-8")
    with pytest.raises(KormoError) as refused:
        read_spec(file)
    assert "question, base, set, sizes" in str(refused.value)


def test_what_was_trained_before_is_not_told_as_predicted(file: Path) -> None:
    made, train = ladder(file, predict=1)
    other, _ = ladder(file)
    for rung in made.rungs:  # the target's run is there already
        if rung.target:
            folder = made.folder(rung)
            folder.mkdir(parents=True)
            (folder / "r.yml").write_text(yaml.safe_dump({
                "output_dir": str(folder), "kormo": {"architecture": {"hidden_size": 96}}
            }))  # fmt: skip
            train(folder / "r.yml", folder / "log.txt", {})
    lines: list[str] = []
    assert run(other, lines.append, train) == 0
    assert any("none is recorded" in line for line in lines) and record.read(other.out) == []


def test_a_size_that_fails_stops_the_prediction(file: Path) -> None:
    made, train = ladder(file)

    def failing(recipe: Path, log: Path, env: Mapping[str, str]) -> int:
        return 1 if "hidden_size: 48" in recipe.read_text() else train(recipe, log, env)

    lines: list[str] = []
    assert run(made, lines.append, failing) == 1
    assert 96 not in train.trained and any("a smaller size is missing" in line for line in lines)
    assert json.loads((made.out / STATE).read_text())["law"] is None


@pytest.mark.parametrize("damage", ["loss", "order", "gone", "text"])
def test_a_record_that_was_changed_is_noticed(damage: str, tmp_path: Path) -> None:
    for number in range(3):
        record.add(tmp_path, {"target": str(number), "loss": 1.0 + number})
    path = tmp_path / record.FILE
    lines = path.read_text().splitlines()
    if damage == "loss":
        lines[1] = lines[1].replace("2.0", "2.1")
    elif damage == "order":
        lines[0], lines[1] = lines[1], lines[0]
    elif damage == "gone":
        del lines[1]
    else:
        lines[2] = lines[2][:-5]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(KormoError, match="changed or moved after it was written"):
        record.read(tmp_path)
    with pytest.raises(KormoError):
        record.add(tmp_path, {"target": "4"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sizes": {"a": {"architecture": {}}}}, "sizes"),
        ({"predict": 3}, "at least 4 sizes are fitted"),
        ({"synthetic": [{"share": 1.5}]}, "less than or equal to 1"),
        ({"set": {"lr_scheduler": "cosine"}}, "its learning rate decays"),
        ({"set": {"kormo.architecture.hidden_size": 64}, "sizes": {f"n{i}": {"architecture": {}} for i in range(5)}},
         "sizes must increase"),
        ({"set": {"kormo.architecture.hiden_size": 64}}, "hiden_size"),
    ],
)  # fmt: skip
def test_a_ladder_that_says_nothing_is_refused(change: dict[str, Any], why: str, file: Path) -> None:
    with pytest.raises(KormoError, match=why):
        ladder(file, **change)


def test_a_metric_that_is_not_logged_is_named(file: Path) -> None:
    made, train = ladder(file, metric="held_out/y")
    with pytest.raises(KormoError, match="held_out/x"):
        run(made, lambda line: None, train)
