"""The build of a source: nothing lost, nothing twice, the same bytes however it was run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus import atomic, clean, decide, stage
from kormo_plugins.corpus.build import build_source, funnel, source_inputs
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.documents import Document, Reject, read_corpus
from kormo_plugins.errors import KormoError
from kormo_plugins.registry import Registry

from .conftest import Build, write_rows

STEPS: tuple[dict[str, Any], ...] = (
    {"name": "normalize"},
    {"name": "exact_dedup"},
    {"name": "length", "minimum": 12},
    {"name": "minhash_dedup", "fewest_words": 3},
)


def tree_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of which some are short, some the same, some nearly."""
    dice = random.Random(seed)
    words = [f"{a}{b}" for a in "가나다라마바사아" for b in ("을", "는", "에서", "하고", "했다.")]
    found = [" ".join(dice.choices(words, k=dice.randint(1, 60))) for _ in range(count)]
    for i in range(0, count, 9):
        found[i] = dice.choice(found)
    return found


def test_every_document_ends_up_in_exactly_one_place(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(500))
    with path.open("a", encoding="utf-8") as file:
        file.write("broken\n")
    stats = build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 3, "license": "CC0-1.0"}, STEPS)
    out = tmp_path / "out"
    kept, held = list(read_corpus(out)), list(read_corpus(out / "held_out"))
    rejects = list(read_corpus(out / "rejects"))
    everywhere = sorted(d.id for d in [*kept, *held, *rejects])
    assert everywhere == sorted([*(f"d{i}" for i in range(500)), "a.jsonl:501"])
    assert (len(kept), len(held), len(rejects)) == (
        stats["documents"],
        stats["held_out"]["documents"],
        stats["rejected"],
    )
    assert stats["read"]["documents"] == 501
    reasons = {(d.meta["rejected"]["step"], d.meta["rejected"]["reason"]) for d in rejects}
    assert ("read", "broken line") in reasons and ("exact_dedup", "exact duplicate") in reasons
    for before, after in zip(stats["steps"], stats["steps"][1:], strict=False):
        assert before["documents_out"] == after["documents_in"] and before["bytes_out"] == after["bytes_in"]
        assert before["documents_in"] - before["documents_out"] == sum(before["rejects"].values())
    assert stats["steps"][-1]["documents_out"] == len(kept) + len(held)
    assert {d.license for d in kept} == {"CC0-1.0"} and {d.source for d in kept} == {"s"}
    assert not (out / "work").exists()


def test_the_first_of_the_same_stays(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["같은  글이다.", "다른 글이다.", "같은 글이다."])
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    build(source, ({"name": "exact_dedup"},), held_out={"documents": 0})
    assert [d.id for d in read_corpus(tmp_path / "out")] == ["d0", "d1"]


def test_the_bytes_do_not_depend_on_workers(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 4}
    one = build(source, STEPS, out="one")
    two = build(source, STEPS, out="two", workers=2)
    assert one == two and tree_hash(tmp_path / "one") == tree_hash(tmp_path / "two")


@pytest.mark.soak
def test_the_bytes_are_the_same_on_ray(tmp_path: Path, build: Build) -> None:
    pytest.importorskip("ray")
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 4}
    options = {"cpus_per_task": 1, "mem_per_cpu_gb": 1}
    here = build(source, STEPS, out="here")
    ray = {"name": "ray", "workers": 2, "options": options}
    there = build(source, STEPS, out="there", executor=ray)
    with pytest.raises(KormoError, match="datatrove has no such filter"):
        build(source, (BAD_STEP,), out="bad", executor=ray)
    assert here == there and tree_hash(tmp_path / "here") == tree_hash(tmp_path / "there")


BAD_STEP = {"name": "datatrove", "filter": "no_filter.None"}


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_input_that_a_worker_finds_is_told_as_it_is(tmp_path: Path, build: Build, workers: int) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(20))
    with pytest.raises(KormoError, match="datatrove has no such filter"):
        build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}, (BAD_STEP,), workers=workers)


def test_how_far_each_stage_is_is_shown(tmp_path: Path, components: Registry) -> None:
    """With one worker, and by the marks that several leave."""
    path = write_rows(tmp_path / "a.jsonl", texts(100))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS})
    for workers in (1, 2):
        shown: dict[str, int] = {}

        @contextmanager
        def watch(label: str, shown: dict[str, int] = shown) -> Iterator[Callable[[int], None]]:
            def add(count: int) -> None:
                shown[label] = shown.get(label, 0) + count

            yield add

        folder = tmp_path / str(workers)
        folder.mkdir()
        stats = build_source("s", recipe.sources["s"], recipe, components, folder, workers=workers, watch=watch)
        assert list(shown)[:2] == ["s, 1 of 3: read, normalize, exact_dedup", "s, 2 of 3: length, minhash_dedup"]
        assert shown["s, 1 of 3: read, normalize, exact_dedup"] == 100
        told = funnel("s", stats)
        assert told.startswith("s: 100 documents read; exact_dedup dropped ") and "(exact duplicate " in told


FAKE_SLURM = {
    # An array is run by as many processes as it may have at a time; a job is in the queue as long as they live.
    "sbatch": """#!{python}
import os, re, shutil, subprocess, sys, threading
script = open(sys.argv[-1]).read()
job = str(len(os.listdir("{folder}/jobs")) + 1)
path = "{folder}/jobs/" + job
open(path, "w").write(script)
print("Submitted batch job", job, flush=True)
if "merge_stats" in script or os.fork():
    sys.exit()
last, most = map(int, re.search(r"--array=0-([0-9]+)%([0-9]+)", script).groups())
open(path + ".queued", "w").close()
os.setsid()
for fd in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
todo = iter(range(last + 1))
def take():
    for task in todo:
        names = dict(SLURM_ARRAY_TASK_ID=str(task), SLURM_JOB_ID=job, SLURM_NODELIST="here", RUN_OFFSET="0")
        subprocess.run(["bash", path], env=dict(os.environ, **names))
takers = [threading.Thread(target=take) for _ in range(most)]
[one.start() for one in takers], [one.join() for one in takers]
os.remove(path + ".queued")
""",
    "srun": '#!/bin/bash\nwhile [ "$1" != launch_pickled_pipeline ]; do shift; done\nexec "$@"\n',
    "scontrol": "#!/bin/bash\necho here\n",
    "squeue": '#!/bin/bash\n[ -e "{folder}/jobs/$3.queued" ] && echo $3\nexit 0\n',
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Slurm's commands, played by scripts that run the tasks here; returns the key `executor` of a recipe."""
    from kormo_plugins.corpus import engine

    (tmp_path / "bin" / "jobs").mkdir(parents=True)
    for name, script in FAKE_SLURM.items():
        path = tmp_path / "bin" / name
        path.write_text(script.replace("{folder}", str(path.parent)).replace("{python}", sys.executable))
        path.chmod(0o755)
    paths = [str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(paths))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(engine, "POLL", 0.2)
    options = {"partition": "cpu", "time": "00:10:00"}
    return {"name": "slurm", "workers": 2, "options": options}


@pytest.mark.soak
def test_the_bytes_are_the_same_on_slurm(tmp_path: Path, build: Build, slurm: dict[str, Any]) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    here = build(source, STEPS, out="here")
    assert build(source, STEPS, out="there", executor=slurm) == here
    assert tree_hash(tmp_path / "here") == tree_hash(tmp_path / "there")
    script = next((tmp_path / "bin" / "jobs").glob("1")).read_text()
    assert "--partition=cpu" in script and "--array=0-1%2" in script


@pytest.mark.soak
def test_a_task_of_slurm_that_fails_or_vanishes_is_told(tmp_path: Path, build: Build, slurm: dict[str, Any]) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(20))
    reader = {"name": "jsonl", "path": str(path)}
    step = {"name": "datatrove", "filter": "regex_filter.RegexFilter", "arguments": {"regex_exp": "("}}
    with pytest.raises(KormoError, match=r"sources\.s, part \d of stage 0: .*unterminated subpattern"):
        build({"reader": reader, "parts": 2}, (step,), executor=slurm)
    (tmp_path / "bin" / "srun").write_text("#!/bin/bash\nexit 9\n")
    with pytest.raises(KormoError, match="ended without a word"):
        build({"reader": reader, "parts": 2}, STEPS, out="gone", executor=slurm)


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(s, marks=pytest.mark.soak) for s in range(4, 30))])
def test_stopped_anywhere_and_run_again(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(120, seed))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}
    build(source, STEPS, out="whole")
    replace, dice = atomic.replace, random.Random(seed)
    left = [0]

    def dying(file: Path, write: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            file.with_name(f".{file.name}.tmp").write_bytes(b"half")
            raise Killed
        replace(file, write)

    for module in (atomic, clean, stage):
        monkeypatch.setattr(module, "replace", dying)
    monkeypatch.setattr(clean, "CHUNK", 800)  # many marks inside each part
    kills = 0
    while True:
        left[0] = dice.randint(2, 25)
        try:
            build(source, STEPS, out="killed")
            break
        except Killed:
            kills += 1
    assert kills
    assert tree_hash(tmp_path / "whole") == tree_hash(tmp_path / "killed")


def test_a_part_goes_on_where_its_last_chunk_ended(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 1}
    whole = build(source, STEPS, out="whole")
    monkeypatch.setattr(clean, "CHUNK", 1000)
    through, looked = clean._through, [0]

    def dying(*given: Any) -> Any:
        looked[0] += 1
        if looked[0] == 200:
            raise Killed
        return through(*given)

    monkeypatch.setattr(clean, "_through", dying)
    with pytest.raises(Killed):
        build(source, STEPS, out="killed")
    marks = len(list((tmp_path / "killed" / "work" / "0").glob("00000-*.json")))
    assert marks > 5 and not (tmp_path / "killed" / "work" / "0" / "00000.json").exists()
    assert build(source, STEPS, out="killed") == whole
    assert tree_hash(tmp_path / "whole") == tree_hash(tmp_path / "killed")
    # Twice looked at is only what the chunk of the kill had; after exact_dedup fewer go through the second time.
    assert looked[0] < 200 + 110 + 300


def test_signatures_in_a_file_decide_the_same(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(200))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}
    one = build(source, STEPS, out="memory")
    monkeypatch.setattr(decide, "IN_MEMORY", 0)
    assert build(source, STEPS, out="file") == one
    assert tree_hash(tmp_path / "memory") == tree_hash(tmp_path / "file")


SCRIPT = """
import sys
from pathlib import Path
from kormo_plugins.corpus import clean
from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.registry import registry
clean.CHUNK = 20_000
recipe = CorpusRecipe.model_validate_json(sys.argv[1])
build_source("s", recipe.sources["s"], recipe, registry(), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(s, marks=pytest.mark.soak) for s in range(3, 30))])
def test_killed_for_real(tmp_path: Path, components: Registry, seed: int) -> None:
    path = write_rows(tmp_path / "a.jsonl", texts(4000, 1))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 6}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    begin = time.monotonic()
    build_source("s", recipe.sources["s"], recipe, components, whole)
    seconds = time.monotonic() - begin
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, recipe.model_dump_json(), str(killed)])
    while not (killed / "work").exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(random.Random(seed).random() * seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    build_source("s", recipe.sources["s"], recipe, components, killed)
    assert tree_hash(whole) == tree_hash(killed)


def test_an_id_that_comes_twice_is_made_unique(tmp_path: Path, build: Build) -> None:
    rows = [{"id": "x", "text": f"서로 다른 글 {i}"} for i in range(5)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    stats = build({"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}, held_out={"documents": 0})
    found = list(read_corpus(tmp_path / "out"))
    assert [d.id for d in found] == ["x", "x~2", "x~3", "x~4", "x~5"] and stats["renamed"] == 4
    assert found[1].meta["id"] == "x"


def test_ids_and_held_out_documents_are_those_of_what_stays(tmp_path: Path, build: Build) -> None:
    rows = [{"id": f"same{i}", "text": "같은 글이다"} for i in range(3)]
    rows += [{"id": f"d{i % 30}", "text": f"글 {i}"} for i in range(40)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}
    stats = build(source, ({"name": "exact_dedup"},), held_out={"documents": 10, "at_most": 0.5})
    kept, held = list(read_corpus(tmp_path / "out")), list(read_corpus(tmp_path / "out" / "held_out"))
    assert (len(kept), len(held), stats["renamed"]) == (31, 10, 10)
    expected = ["same0", *(f"d{i}" for i in range(30)), *(f"d{i}~2" for i in range(10))]
    assert sorted(d.id for d in [*kept, *held]) == sorted(expected)


@pytest.mark.parametrize(("documents", "expected"), [(0, 0), (7, 7), (0.02, 4), (1000, 20)])
def test_held_out_documents_are_as_many_as_asked(tmp_path: Path, build: Build, documents: float, expected: int) -> None:
    path = write_rows(tmp_path / "a.jsonl", [f"글 {i}" for i in range(200)])
    stats = build(
        {"reader": {"name": "jsonl", "path": str(path)}, "parts": 3}, held_out={"documents": documents, "at_most": 0.1}
    )
    assert stats["held_out"]["documents"] == expected
    assert len(list(read_corpus(tmp_path / "out" / "held_out"))) == expected


def test_nothing_usable_is_an_error_with_the_reasons(tmp_path: Path, build: Build) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "글"}\n' * 3, encoding="utf-8")
    with pytest.raises(KormoError) as caught:
        build({"reader": {"name": "jsonl", "path": str(path)}})
    assert "read: no column 'text' (3)" in caught.value.render() and "a.jsonl:1" in caught.value.render()


def test_a_document_of_50_megabytes_is_kept_aside(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["짧은 글이다.", "가나다라 " * 3_300_000])
    stats = build({"reader": {"name": "jsonl", "path": str(path)}}, ({"name": "length", "minimum": 1},))
    assert stats["documents"] == 1 and stats["steps"][1]["rejects"] == {"too long": 1}


def test_a_trial_reads_no_more_than_asked(tmp_path: Path, build: Build) -> None:
    path = write_rows(tmp_path / "a.jsonl", [f"글 {i}" for i in range(100)])
    stats = build({"reader": {"name": "jsonl", "path": str(path)}, "documents": 10, "parts": 1})
    assert stats["read"]["documents"] == 10


def test_inputs_see_what_matters_and_nothing_else(tmp_path: Path, components: Registry) -> None:
    path = write_rows(tmp_path / "a.jsonl", ["글 하나"])

    def inputs(**changes: Any) -> dict[str, Any]:
        source = {"reader": {"name": "jsonl", "path": str(path)}, **changes.pop("source", {})}
        recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": STEPS, **changes})
        return source_inputs("s", recipe.sources["s"], recipe, components)

    first = inputs()
    assert json.loads(json.dumps(first)) == first == inputs(executor={"workers": 7}, name="other")
    assert inputs(source={"license": "CC0-1.0"}) != first
    assert inputs(steps=STEPS[:2]) != first and inputs(held_out={"documents": 3}) != first
    path.write_text('{"id": "d0", "text": "글 두울"}\n', encoding="utf-8")
    assert inputs() != first


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({}, "exactly one of reader and generator"),
        ({"reader": {"name": "jsonl"}, "generator": {"name": "x"}}, "exactly one"),
        ({"reader": {"name": "jsnl", "path": "x"}}, "Did you mean 'jsonl'"),
        ({"reader": {"name": "jsonl", "pth": "x"}}, "a value is required|Did you mean 'path'"),
        ({"reader": {"name": "jsonl", "path": "x", "columns": {"txt": "a"}}}, "txt"),
        ({"reader": {"name": "jsonl", "path": "no/where.jsonl"}}, "no such file"),
        ({"reader": {"name": "jsonl", "path": "x"}, "steps": [{"name": "lenght"}]}, "Did you mean 'length'"),
        (
            {"reader": {"name": "jsonl", "path": "x"}, "steps": [{"name": "length", "minimum": 9, "maximum": 2}]},
            "below",
        ),
        ({"reader": {"name": "jsonl", "path": "x"}, "licence": "MIT"}, "licence"),
        ({"reader": {"name": "jsonl", "path": "x"}, "written_by": "a model"}, "synthetic: true"),
    ],
)
def test_bad_sources_stop_with_a_reason(components: Registry, tmp_path: Path, source: dict[str, Any], why: str) -> None:
    from kormo_plugins.registry import checked

    with pytest.raises(KormoError, match=why):
        recipe = checked(CorpusRecipe, {"sources": {"s": source}}, "data")
        build_source("s", recipe.sources["s"], recipe, components, tmp_path)


def test_a_step_serves_in_a_datatrove_pipeline() -> None:
    from datatrove.data import Document as TroveDocument

    from kormo_plugins.corpus.engine import as_datatrove

    def step(document: Document) -> Document | Reject:
        return document if "좋은" in document.text else Reject("bad")

    block = as_datatrove("mine", step)
    found = list(block.run(TroveDocument(text=t, id=str(i)) for i, t in enumerate(["좋은 글", "나쁜 글"])))
    assert [d.text for d in found] == ["좋은 글"] and block.stats["dropped_bad"].total == 1


def test_steps_serve_in_datatroves_own_executor(tmp_path: Path, components: Registry) -> None:
    """Between datatrove's reader and writer, over two tasks, with datatrove's statistics."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    from kormo_plugins.corpus.engine import as_datatrove

    (tmp_path / "in").mkdir()
    for part in range(2):
        write_rows(tmp_path / "in" / f"{part}.jsonl", [f"  문서 {part}-{i} 이다  " + "가" * i for i in range(6)])
    ours = [
        as_datatrove(name, components.load("corpus_step", name)(components.params("corpus_step", name, values)))
        for name, values in (("normalize", {}), ("length", {"minimum": 12}))
    ]
    writer = JsonlWriter(str(tmp_path / "out"), "${rank}.jsonl", compression=None)
    pipeline = [JsonlReader(str(tmp_path / "in")), *ours, writer]
    stats = LocalPipelineExecutor(pipeline, tasks=2, workers=1, logging_dir=str(tmp_path / "logs")).run()
    lines = [line for part in range(2) for line in (tmp_path / "out" / f"{part:05d}.jsonl").read_text().splitlines()]
    assert [json.loads(line)["text"] for line in lines] == [
        f"  문서 {part}-{i} 이다  " + "가" * i for part in range(2) for i in range(6) if i > 0
    ]
    assert stats.stats[2].stats["dropped_too short"].total == 2
