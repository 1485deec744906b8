"""The page: everything that a run wrote down, as text, in one file; most of all when something is missing or broken."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.override import parse
from kormo_plugins.reporting.charts import curves, downsample, legend, safe_json
from kormo_plugins.reporting.markup import duration, number, short
from kormo_plugins.reporting.needle import needles
from kormo_plugins.reporting.page import write_report
from kormo_plugins.reporting.run import names, read_run, read_runs, trained
from kormo_plugins.reporting.sections import final_numbers
from kormo_plugins.training.guards import preemption_file

from .made_runs import EVIL, write_ablation_folder, write_evaluation, write_run


def page_of(*folders: Path, out: Path) -> str:
    return write_report(folders, out).read_text(encoding="utf-8")


def ours(page: str) -> str:
    """The page without the drawing library."""
    head, _, rest = page.partition("<script>")
    return head + rest.partition("</script>")[2]


def test_a_run_has_every_part(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_evaluation(run)
    page = ours(page_of(run, out=tmp_path / "report.html"))
    for title in ("Curves", "Evaluation", "Long context", "Samples", "Mixture", "Recipe", "Hardware and versions",
                  "Hashes"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page, title
    for words in ("서울은", "KORMo-10B", "<b>46.5</b>", "± 1.2", "56.90", "69.04", "H200 (141 GiB)", "2 × ", "abc123",
                  "2.03M", "extends a.yml", "odd/metric", "50.0%", "ko_web"):  # fmt: skip
        assert words in page, words
    assert "class=warn" not in page


def test_nothing_is_fetched_and_the_file_is_small(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    page = ours(page_of(write_run(tmp_path / "run"), out=out))
    assert out.stat().st_size < 6_000_000
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*['\"]?\s*(?:https?:)?//", page)
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_run_wrote_is_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", name=f"a{EVIL}", recipe=EVIL, amendments=[EVIL])
    page = ours(page_of(run, out=tmp_path / "report.html"))
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert page.count("<script>") == 1  # the one that draws
    assert "</script" not in safe_json({"name": "</script><b>&"}) and json.loads(safe_json("<&>")) == "<&>"


def test_no_number_has_fifteen_digits(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_evaluation(run)
    page = re.sub(r"<script.*?</script>", "", ours(page_of(run, out=tmp_path / "report.html")), flags=re.S)
    assert not re.findall(r"\d\.\d{7,}", page)


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (3.0, "3"), (1234567, "1,234,567"), (12345.678, "12,346"), (7.5076, "7.508"), (0.0123456, "0.01235"),
     (1e-5, "1e-05"), (None, "–"), (float("nan"), "nan"), (-0.5, "-0.5000")],
)  # fmt: skip
def test_numbers_are_short(value: float | None, told: str) -> None:
    assert number(value) == told


def test_counts_and_times() -> None:
    assert [short(n) for n in (999, 655360, 2_031_744, 10.8e9)] == ["999", "655K", "2.03M", "10.8B"]
    assert [duration(s) for s in (8, 150, 7500)] == ["8 s", "2 min 30 s", "2 h 05 min"]


def test_a_resumed_run_is_drawn_once_and_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=20)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "resume", "step": 10, "time": 5000}\n')
        for step in range(11, 21):
            file.write(json.dumps({"step": step, "loss": 1.0, "time": 5000 + 2 * step}) + "\n")
        file.write('{"step": 21, "lo')
    (run / "checkpoint-15.incomplete").mkdir()
    found = read_run(run)
    assert [y for _, y in found.curve("loss")][-10:] == [1.0] * 10 and len(found.curve("loss")) == 20
    assert found.curve("loss")[-1][0] == 20 * 1024
    told = " ".join(found.warnings)
    assert "resumed from step 10" in told and "checkpoint-15.incomplete" in told and "1 lines cannot be read" in told
    assert trained(found) == (20, 20.0 + 40.0)  # not the hours between


def _resumed(folder: Path, *lines: dict[str, object]) -> Path:
    """A run with lines of metrics after those of its 20 steps, which end with an evaluation 2 s after 1,041."""
    run = write_run(folder, steps=20)
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return run


def test_the_start_of_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    """Earlier versions wrote a resume after the last step, and a record of the training that was none."""
    end = {"step": 20, "train_loss": 6.5, "time": 1043.0}
    again = [{"event": "resume", "step": 20, "time": 9000.0}, {"step": 20, "train_loss": 0.0, "time": 9001.0}]
    once, twice = (read_run(_resumed(tmp_path / str(n), end, *again * n)) for n in (0, 2))
    assert final_numbers(once) == final_numbers(twice) and trained(twice) == (20, 42.0)
    assert once.lines == twice.lines and twice.last("train_loss") == 6.5
    assert not twice.starts and "interrupted" not in " ".join(twice.warnings)


@pytest.mark.parametrize("first", [{"step": 12, "held_out/loss": 1.0, "time": 9000.0}, None])
def test_the_time_between_a_stop_and_a_resume_counts_nowhere(tmp_path: Path, first: dict[str, object] | None) -> None:
    """Also where a line of the checkpoint's step comes first, and where an earlier resume went further."""
    resumes: list[dict[str, object]] = [
        {"event": "resume", "step": 15, "time": 5000.0}, {"step": 16, "loss": 1.0, "time": 5002.0},
        {"event": "resume", "step": 12, "time": 9000.0}, *([first] if first else []),
        *({"step": step, "loss": 1.0, "time": 9000.0 + 2 * (step - 12)} for step in range(13, 21)),
    ]  # fmt: skip
    run = read_run(_resumed(tmp_path / "run", *resumes))
    assert trained(run) == (12 + 8, 23.0 + 16.0)
    assert [start.step for start in run.starts] == [15, 12]
    assert final_numbers(run)["tokens per second"] == number(20 * 1024 / 39.0, 3)


def test_a_preempted_run_says_how_it_goes_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=20)
    assert "75" not in " ".join(read_run(run).warnings)
    preemption_file.write(run, 12, signal.SIGTERM)
    told = " ".join(read_run(run).warnings)
    assert "stopped after step 12 on SIGTERM" in told and "exit status 75" in told
    assert "The same command resumes it: axolotl train b.yml." in told
    changes = {"seed": 7, "kormo.samples.prompts": ["한 줄"], "deepspeed": None}
    write_run(run, recipe="my recipes/b.yml", overrides=changes)
    preemption_file.write(run, 12, signal.SIGTERM)
    told = " ".join(read_run(run).warnings)
    (command,) = re.findall(r"resumes it: (.*)\.$", told)
    assert shlex.split(command)[:3] == ["kormo", "train", "my recipes/b.yml"]
    recipe = Path(__file__).parents[2] / "recipes/pretrain.yml"
    assert parse(tuple(shlex.split(command)[3:]), recipe) == changes
    (run / preemption_file.FILE).write_text("{", encoding="utf-8")
    assert "exit status 75" in " ".join(read_run(run).warnings), "a damaged file says no step"


def test_a_run_that_left_little_still_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 2.5}\n')
    (tmp_path / "run" / "evaluation.json").write_text("{")
    page = ours(page_of(tmp_path / "run", out=tmp_path / "report.html"))
    assert "run.json is missing" in page and "evaluation.json cannot be read" in page and "<h2>Curves</h2>" in page


def test_runs_are_compared(tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "a" / "run"), write_run(tmp_path / "b" / "run", rate=0.01)
    page = ours(page_of(one, two, out=tmp_path / "report.html"))
    assert "a/run" in page and "b/run" in page
    different = page.partition("Differences")[2].partition("</table>")[0]
    assert "learning_rate" in different and "0.01" in different and "output_dir" not in different
    runs, _ = read_runs([one, two])
    figures = [json.loads(f) for f in re.findall(r"data-for=c\d+>(.*?)</script>", "".join(curves(runs)))]
    loss = figures[0]["data"]
    assert [one["name"] for one in loss] == ["a/run: training", "a/run: held out", "b/run: training", "b/run: held out"]
    assert loss[0]["line"]["color"] == loss[1]["line"]["color"] != loss[2]["line"]["color"]


def test_a_long_legend_names_each_run_and_each_series_once(tmp_path: Path) -> None:
    def one(run: str, part: str) -> dict[str, Any]:
        return {"name": f"{run}: {part}", "meta": [run, part], "line": {"color": run, "dash": part}}

    few = legend([one("a", "dot"), one("a", "dash"), one("b", "dot")])
    assert few.count("<button") == 3 and "a: dash" in few
    many = legend([one(run, part) for run in "abc" for part in ("solid", "dot", "dash")])
    assert re.findall("data-traces='(.*?)'", many) == ["0,1,2", "3,4,5", "6,7,8", "0,3,6", "1,4,7", "2,5,8"]
    assert re.findall("</i>(.*?)<", many) == ["a", "b", "c", "solid", "dot", "dash"]
    assert legend([one("a", "dot")]) == ""


def test_a_chain_is_one_line_from_stage_to_stage(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "first", 20), write_run(tmp_path / "second", 10)
    stages = [{"name": "pretrain", "status": "trained", "seconds": 62.1, "output": str(first)},
              {"name": "sft", "status": "skipped", "seconds": 5.0, "output": str(second)},
              {"name": "dpo", "status": "not run", "seconds": 0.0, "output": "nowhere"}]  # fmt: skip
    (tmp_path / "chain.json").write_text(json.dumps({"chain": "nano", "stages": stages}))
    page = ours(page_of(tmp_path, out=tmp_path / "report.html"))
    assert "<title>nano</title>" in page and "1 min 02 s" in page and "not run" in page
    runs, _ = read_runs([tmp_path])
    assert [run.name for run in runs] == ["pretrain", "sft"]
    assert [run.offset for run in runs] == [0, 20 * 1024]
    assert runs[1].curve("loss")[0][0] == 21 * 1024


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    points = [(float(n), float(n)) for n in range(100_001)]
    kept = downsample(points)
    assert 1000 < len(kept) <= 1502 and kept[0] == points[0] and kept[-1] == points[-1]
    assert downsample(points[:10]) == points[:10]


def test_names_tell_folders_apart(tmp_path: Path) -> None:
    assert names([Path("/x/a/run"), Path("/x/b/run")]) == ["a/run", "b/run"]
    assert names([Path("/x/a")]) == ["a"]
    assert len(set(names([Path("/x/a"), Path("/x/a")]))) == 2


def test_final_numbers_say_tokens_and_share(tmp_path: Path) -> None:
    found = final_numbers(read_run(write_run(tmp_path / "run", 20)))
    assert found["tokens"] == "20.5K" and found["synthetic text"] == "50.0%" and found["parameters"] == "2.03M"


def test_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    result = CliRunner().invoke(cli, ["report", str(run), "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["page"] == str(run / "report.html")
    bad = CliRunner().invoke(cli, ["report", str(tmp_path / "nothing")])
    assert bad.exit_code == 2 and "there is no such folder" in bad.stderr
    empty = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert empty.exit_code == 2 and "neither run.json nor metrics.jsonl" in empty.stderr
    with pytest.raises(KormoError):
        read_run(tmp_path)


def test_a_run_without_tokens_is_drawn_over_steps(tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two", global_batch=None)
    runs, _ = read_runs([one, two])
    assert [run.curve("loss")[0][0] for run in runs] == [1.0, 1.0]
    assert '"text":"steps"' in "".join(curves(runs)) and '"text":"tokens"' in "".join(curves(read_runs([one])[0]))


def test_what_a_score_cannot_say_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_evaluation(run, stops=0.975, unverified="columns not checked", cut=12)
    page = ours(page_of(run, out=tmp_path / "report.html"))
    for words in (
        "98% of the answers end",
        "kmmlu: columns not checked.",
        "kmmlu: 12 prompts were truncated on the left.",
    ):
        assert words in page, words


def test_scores_of_other_numbers_of_items_stand_apart(tmp_path: Path) -> None:
    """A score of 8 items is not put in the row of one of 500."""
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two")
    write_evaluation(one)
    write_evaluation(two, n=8, value=0.5)
    rows = ours(page_of(one, two, out=tmp_path / "report.html")).split("<h2>Evaluation")[1].split("</table>")[0]
    assert rows.count("<b>46.5</b>") == rows.count("<b>50.0</b>") == 1 and rows.count("<tr>") == 3


def test_shares_end_at_one_and_mini_accuracy_is_drawn(tmp_path: Path) -> None:
    figures = curves([read_run(write_run(tmp_path / "run"))])
    drawn = {re.findall("<figcaption>(.*?)<", one)[0].strip(): one for one in figures}
    assert {"Mini suite", "Mini suite by family"} <= set(drawn)
    data = json.loads(re.findall(r"data-for=\w+>(.*?)</script>", drawn["Mini suite"])[0])["data"]
    assert [one["name"] for one in data] == ["all", "ko"]
    flat = json.loads(re.findall(r"data-for=\w+>(.*?)</script>", drawn["Distinct n-grams of 2 and 4 words"])[0])
    assert flat["layout"]["yaxis"]["range"][1] < 1.1


def test_heat_maps_hold_every_cell(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_evaluation(run)
    maps = needles([read_run(run)])
    figures = [json.loads(f) for f in re.findall(r"data-for=n\w+>(.*?)</script>", maps)]
    assert len(figures) == 4 and "Korean falls after about 13K" in maps and "<script>alert" not in maps
    assert figures[0]["data"][0]["z"] == [[25, 25], [25, 25]] and figures[2]["data"][0]["z"] == [[75, 75], [75, 75]]
    assert figures[0]["data"][0]["x"] == ["128", "128K"] and figures[0]["data"][0]["y"] == ["0%", "100%"]


def test_an_ablation_has_everything_that_a_run_has(tmp_path: Path) -> None:
    """Its measures, and of its cells the data, curves, scores, samples, machine and hashes; also when all was moved."""
    folder = write_ablation_folder(tmp_path)
    result = CliRunner().invoke(cli, ["report", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0
    page = ours((folder / "report.html").read_text())
    for title in ("bits", "Variants", "Cells", "Curves", "Evaluation", "Long context", "Samples", "Mixture", "Recipe",
                  "Hardware and versions", "Hashes"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page, title
    for words in (
        "base.yml",
        "exit status 1",
        "Differences",
        "plain, seed 2",
        "56.90",
        "글 20",
        "abc123",
        "EPYC",
    ):
        assert words in page, words
    assert "plain, seed 2" not in page.split("<h2>Samples")[1].split("<h2>Hashes")[0]  # one cell speaks for a variant
    assert "<script>alert" not in page


def test_a_damaged_record_of_an_ablation(tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text('{"cells": []}')
    result = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert result.exit_code == 2 and "no record of an ablation" in result.stderr


WIDTHS = (390, 1400)
"""Pixels: a telephone, a screen."""
MEASURE = """<script>setTimeout(()=>{
const outside=[...document.querySelectorAll('body *')].filter(e=>!e.closest('.wide,pre,svg')&&
e.getBoundingClientRect().right>innerWidth+1).map(e=>e.tagName+'.'+e.className);
parent.postMessage([innerWidth,document.documentElement.scrollWidth,document.querySelectorAll('figure').length,
document.querySelectorAll('.js-plotly-plot').length,document.querySelectorAll('.main-svg').length,
outside.slice(0,3).join()||'nothing'].join(' '),'*')},2500)</script>"""


POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def browse(page: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Opens a page in headless Chromium: its DOM on stdout, what it complains of on stderr."""
    return subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", "--window-size=1500,2000",
         "--virtual-time-budget=8000", "--dump-dom",
         page if isinstance(page, str) else f"file://{page}"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def complaints(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What the browser wrote to its console."""
    return [line for line in result.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to open the page in")
@pytest.mark.parametrize("kind", ["run", "ablation"])
def test_a_browser_draws_it_without_a_word_wide_and_narrow(kind: str, tmp_path: Path) -> None:
    """Every figure is drawn, nothing is complained of, and nothing reaches beyond the page (tables scroll)."""
    if kind == "run":
        folder = write_run(tmp_path / "run", name=f"a{EVIL}")
        write_evaluation(folder)
    else:
        folder = write_ablation_folder(tmp_path)
    page = write_report([folder], tmp_path / "report.html")
    strict = page.read_text()
    assert not complaints(browse(page, tmp_path)), "nothing is blocked by the page's own policy"
    page.write_text(POLICY.sub("", strict).replace("</body>", MEASURE + "</body>"))  # a foreign script may measure
    frames = "".join(f"<iframe src=report.html style='width:{w}px;height:900px;border:0'></iframe>" for w in WIDTHS)
    outer = tmp_path / "outer.html"  # frames, since a browser's window cannot be as narrow as a telephone
    heard = "onmessage=e=>document.body.append(Object.assign(document.createElement('p'),{textContent:e.data}))"
    outer.write_text(f"<body><script>{heard}</script>{frames}")
    result = browse(outer, tmp_path)
    assert not complaints(result)
    seen = sorted(
        (one.split(maxsplit=5) for one in re.findall("<p>(.*?)</p>", result.stdout)), key=lambda one: int(one[0])
    )
    assert [int(one[0]) for one in seen] == list(WIDTHS), result.stdout[-500:]
    for width, scrolled, figures, plots, drawings, outside in seen:
        assert int(scrolled) <= int(width) and outside == "nothing", (width, outside)
        assert int(figures) == int(plots) >= 8 and int(drawings) >= int(plots)
