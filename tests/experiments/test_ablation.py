"""An ablation trains each cell once, goes on when killed, and its statistics are scipy's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kormo_plugins.errors import KormoError
from kormo_plugins.experiments.ablation import runner as ablation_module
from kormo_plugins.experiments.ablation.markdown import markdown
from kormo_plugins.experiments.ablation.runner import STATE, Ablation, run
from kormo_plugins.experiments.ablation.spec import cells, read_spec
from kormo_plugins.experiments.ablation.statistics import compare, holm, paired
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.runs.identity import identity_inputs
from kormo_plugins.store.lease import Lease
from kormo_plugins.training.checkpoints.complete import mark_complete

from ..integration.conftest import RECIPE

SPEC: dict[str, Any] = {
    "question": "Is it?",
    "base": "base.yml",
    "set": {"max_steps": 4},
    "variants": {"plain": {}, "warm": {"learning_rate": 0.02}},
    "seeds": [1, 2, 3],
    "measure": {"loss": {"metric": "loss", "last": 2}},
}


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """Writes a base recipe and an ablation file with changes."""

    def write(**change: Any) -> Path:
        (tmp_path / "base.yml").write_text(yaml.safe_dump({**RECIPE, "output_dir": str(tmp_path / "out")}))
        path = tmp_path / "mine.yml"
        path.write_text(yaml.safe_dump({**SPEC, **change}))
        return path

    return write


class Trainer:
    """Stands for `axolotl train`: writes what a finished run holds, and its loss from seed and learning rate."""

    def __init__(self, codes: Mapping[int, int] | None = None) -> None:
        self.trained: list[dict[str, Any]] = []
        self.codes = dict(codes or {})

    def __call__(self, recipe: Path, log: Path, env: Mapping[str, str]) -> int:
        values = yaml.safe_load(recipe.read_text())
        self.trained.append(values)
        code = self.codes.get(len(self.trained), 0)
        folder = Path(values["output_dir"])
        log.write_text("a line\nthe last line\n")
        if code:
            return code
        loss = values["seed"] + 100 * values["learning_rate"]
        lines = [{"step": step, "loss": loss + step - 3.5} for step in (1, 2, 3, 4)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "config.json").write_text("{}")
        mark_complete(folder, 4, {"config.json"})
        return 0


def ablation(path: Path, out: Path) -> Ablation:
    spec = read_spec(path)
    return Ablation(path, spec, cells(path, spec), out / path.stem, out / "cells")


def test_each_cell_is_trained_once_with_its_changes(files: Any, tmp_path: Path) -> None:
    train, lines = Trainer(), []
    made = ablation(files(), tmp_path / "o")
    assert run(made, lines.append, train) == 0
    assert [(v["seed"], v["learning_rate"], v["max_steps"]) for v in train.trained] == [
        (seed, rate, 4) for rate in (0.01, 0.02) for seed in (1, 2, 3)
    ]
    assert len({v["output_dir"] for v in train.trained}) == 6
    record = json.loads((tmp_path / "o/mine" / STATE).read_text())
    assert record["table"]["loss"]["plain"]["mean"] == pytest.approx(3.0)  # mean of the last two, over seeds 1..3
    assert record["table"]["loss"]["warm"]["against"]["difference"] == pytest.approx(1.0)
    assert "| warm | 4 |" in (tmp_path / "o/mine/ablation.md").read_text()
    page = (tmp_path / "o/mine/ablation.html").read_text()
    assert "plain, seed 2" in page and "During training" in page and page.count("data-for=") == 3
    again = Trainer()
    assert run(ablation(files(), tmp_path / "o"), lines.append, again) == 0 and not again.trained
    assert {cell["state"] for cell in json.loads((tmp_path / "o/mine" / STATE).read_text())["cells"]} == {"reused"}


def test_equal_cells_are_one_in_this_ablation_and_in_another(files: Any, tmp_path: Path) -> None:
    train = Trainer()
    twice = files(variants={"plain": {}, "same": {"learning_rate": 0.01}, "elsewhere": {"save_steps": 2}})
    assert run(ablation(twice, tmp_path / "o"), print, train) == 0 and len(train.trained) == 3
    assert run(ablation(files(), tmp_path / "o"), print, train) == 0 and len(train.trained) == 6


def test_a_cell_of_other_documents_is_not_reused(files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a cell says which folder is read, not what is in it."""
    monkeypatch.setenv("KORMO_DATA", str(tmp_path / "text"))
    (tmp_path / "text").mkdir()
    text = tmp_path / "text" / "a.txt"
    source = {"language": "ko", "license": "CC0-1.0", "reader": {"name": "text", "path": "${KORMO_DATA}"}}
    data = {"name": "mine", "sources": {"a": source}, "mixture": {"name": "weighted", "weights": {"a": 1}}}
    path = files(seeds=[1])
    base = yaml.safe_load((tmp_path / "base.yml").read_text())
    base["kormo"]["data"] = data
    base["kormo"]["tokenizer"] = {"train": {"name": "kormo_bpe", "shares": {}}}  # the documents are of one language
    (tmp_path / "base.yml").write_text(yaml.safe_dump(base))

    class Recording(Trainer):
        def __call__(self, recipe: Path, log: Path, env: Mapping[str, str]) -> int:
            folder = Path(yaml.safe_load(recipe.read_text())["output_dir"])
            (folder / "run.json").write_text(
                json.dumps({"stage": identity_inputs(load_recipe(recipe).identity_plan())})
            )
            return super().__call__(recipe, log, env)

    def trained() -> tuple[int, list[str]]:
        train, lines = Recording(), []
        ablation_module._known.clear()  # another process would know nothing
        assert run(ablation(path, tmp_path / "o"), lines.append, train) == 0
        return len(train.trained), lines

    text.write_text("하나")
    assert trained()[0] == 2
    assert trained()[0] == 0
    text.write_text("둘")
    count, lines = trained()
    assert count == 2 and sum("other documents (a)" in line and ".before-1" in line for line in lines) == 2
    assert len(list((tmp_path / "o" / "cells").iterdir())) == 4 and trained()[0] == 0


def test_a_killed_ablation_goes_on(files: Any, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Dies(Trainer):
        def __call__(self, recipe: Path, log: Path, env: Mapping[str, str]) -> int:
            if len(self.trained) == 2:
                raise Killed
            return super().__call__(recipe, log, env)

    first, second = Dies(), Trainer()
    with pytest.raises(Killed):
        run(ablation(files(), tmp_path / "o"), print, first)
    assert run(ablation(files(), tmp_path / "o"), print, second) == 0
    assert (len(first.trained), len(second.trained)) == (2, 4)


def test_a_failed_cell_is_told_and_the_others_are_trained(files: Any, tmp_path: Path) -> None:
    made, lines = ablation(files(), tmp_path / "o"), []
    assert run(made, lines.append, Trainer({2: 1})) == 1
    record = json.loads((tmp_path / "o/mine" / STATE).read_text())
    assert [c["state"] for c in record["cells"]] == ["trained", "failed", *["trained"] * 4]
    assert any("exit status 1" in line and "the last line" in line for line in lines)
    assert record["table"]["loss"]["warm"]["against"]["pairs"] == 2


def test_a_preempted_cell_ends_with_its_exit_status(files: Any, tmp_path: Path) -> None:
    train = Trainer({2: 75})
    assert run(ablation(files(), tmp_path / "o"), print, train) == 75 and len(train.trained) == 2


def test_the_budget_starts_no_further_cell(files: Any, tmp_path: Path) -> None:
    lines: list[str] = []
    made = ablation(files(budget_minutes=1e-9), tmp_path / "o")
    assert run(made, lines.append, Trainer()) == 0
    assert sum("the budget of 1e-09 minutes is used" in line for line in lines) >= 5
    assert "not started" in markdown(made.record())


def test_two_at_once_are_refused(files: Any, tmp_path: Path) -> None:
    made = ablation(files(), tmp_path / "o")
    made.out.mkdir(parents=True)
    lease = Lease(made.out / ".lease")
    assert lease.acquire()
    with lease.held(), pytest.raises(KormoError, match="is at work on the ablation"):
        run(made, print, Trainer())


@pytest.mark.parametrize(
    "change, told",
    [
        ({"variants": {"a": {"learnin_rate": 1}}}, "learning_rate"),
        ({"variants": {"a": {"kormo.collator.name": "causl"}}}, "causal"),
        ({"variants": {}}, "variants"),
        ({"seeds": [1, 1]}, "given twice"),
        ({"seeds": []}, "seeds"),
        ({"baseline": "plian"}, "Did you mean 'plain'?"),
        ({"base": "none.yml"}, "none.yml"),
        ({"measur": {}}, "Did you mean 'measure'?"),
        ({"launcher_args": ["--x"]}, "would be ignored"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(files: Any, tmp_path: Path, change: Any, told: str) -> None:
    path = files(**change)
    with pytest.raises(KormoError) as error:
        ablation(path, tmp_path / "o")
    assert told in error.value.render()


def test_a_measure_that_nobody_logs_is_told_after_the_first_cell(files: Any, tmp_path: Path) -> None:
    train = Trainer()
    with pytest.raises(KormoError, match="Did you mean 'loss'"):
        run(ablation(files(measure={"x": {"metric": "los"}}), tmp_path / "o"), print, train)
    assert len(train.trained) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=8))
def test_the_paired_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    ours = paired({i: a for i, (a, _) in enumerate(pairs)}, {i: b for i, (_, b) in enumerate(pairs)})
    assert ours is not None and ours.pairs == len(pairs) and ours.p is not None
    spread = max(abs((a - b) - ours.difference) for a, b in pairs)
    if spread > 1e-6:  # below, scipy warns that its own numbers are lost in rounding
        theirs = stats.ttest_rel([a for a, _ in pairs], [b for _, b in pairs])
        interval = theirs.confidence_interval(0.95)
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-9)
        assert (ours.low, ours.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_seeds_that_one_of_them_lacks_are_left_out() -> None:
    found = paired({1: 2.0, 2: 3.0, 9: 100.0}, {1: 1.0, 2: 2.0, 3: 50.0})
    assert found is not None and (found.pairs, found.difference, found.p) == (2, 1.0, 0.0)
    assert paired({1: 1.0}, {2: 1.0}) is None
    table = compare({"a": {}, "b": {1: 1.0}}, "a")
    assert table["a"]["mean"] is None and "against" not in table["b"]


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
