"""`kormo data`: what it prints is what a run would be given, and damage is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from .conftest import SOURCES, Made

Kormo = Callable[..., Result]
STEPS, GLOBAL, MICRO = 60, 8, 2


@pytest.fixture
def dataset(made: Made) -> Any:
    """The rows that a trainer would be given."""
    from kormo_plugins.pipeline.build import build_data
    from kormo_plugins.pipeline.built import lookup_only
    from kormo_plugins.pipeline.open import open_dataset
    from kormo_plugins.recipe.load import load_recipe

    recipe = load_recipe(Path("recipe.yml"))
    return open_dataset(recipe.stream_plan(), build_data(recipe, lookup_only(recipe.path)))


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_build_tells_what_was_built_and_then_that_it_was_found(made: Made, kormo: Kormo) -> None:
    keys = ["kind", "name", "documents", "tokens", "seconds", "state", "path"]
    assert [list(row) for row in made.built] == [keys] * len(made.built)
    kinds = Counter(row["kind"] for row in made.built)
    assert kinds == {"corpus": 3, "tokenizer": 1, "shards": 3, "rows": 3}
    assert {row["state"] for row in made.built} == {"built"}
    again = _json(kormo("data", "build", "recipe.yml", "--json"))
    assert again == [{**row, "state": "found"} for row in made.built]
    table = kormo("data", "build", "recipe.yml").stdout.splitlines()
    assert table[0].split() == [key.upper() for key in keys] and len(table) == 1 + len(made.built)


def test_a_build_that_finds_everything_imports_no_compiler(made: Made) -> None:
    code = "import sys; from kormo_plugins.cli.main import cli; cli(['data', 'build', 'recipe.yml', '--json'], "
    code += "standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert {row["state"] for row in json.loads(done.stdout)} == {"found"}
    modules = {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}
    assert not {"numba", "llvmlite", "torch", "datatrove", "tokenizers", "pyarrow"} & modules


def test_a_dataset_recipe_by_itself_gives_documents_only(made: Made, kormo: Kormo, tmp_path: Path) -> None:
    rows = _json(kormo("data", "build", "data.yml", "--workspace", tmp_path / "there", "--json"))
    assert [(row["kind"], row["name"]) for row in rows] == [("corpus", name) for name in SOURCES]
    same = {row["name"]: row["documents"] for row in made.built if row["kind"] == "corpus"}
    assert {row["name"]: row["documents"] for row in rows} == same
    built = [folder for folder in (tmp_path / "there").iterdir() if not folder.name.startswith(".")]
    assert len(built) == 3
    assert kormo("data", "verify", "data.yml", "--workspace", tmp_path / "there").exit_code == 0


def test_stats_are_those_of_the_rows_that_are_drawn(made: Made, kormo: Kormo, dataset: Any) -> None:
    found = _json(kormo("data", "stats", "recipe.yml", "--json"))
    keys = ["documents", "tokens", "tokens_placed", "tokens_dropped", "rows", "fill", "weight", "share"]
    assert [list(one) for one in found["sources"].values()] == [keys] * 3
    assert (found["steps"], found["tokens"]) == (STEPS, STEPS * GLOBAL * 64)
    rows, tokens = Counter(), Counter()
    for row in dataset:
        rows[dataset.names[row["source"]]] += 1
        tokens[dataset.names[row["source"]]] += row["filled"]
    for name, one in found["sources"].items():
        assert one["weight"] == pytest.approx({"korean": 0.6, "english": 0.1, "more": 0.3}[name])
        assert one["share"] == pytest.approx(tokens[name] / tokens.total(), abs=0.005)
        assert found["drawn"][name]["rows_drawn"] == rows[name]
        assert found["drawn"][name]["epochs"] == rows[name] / one["rows"]
        assert one["tokens_placed"] + one["tokens_dropped"] == one["tokens"]
        assert one["fill"] == one["tokens_placed"] / (one["rows"] * 64)


def test_the_tree_adds_up(made: Made, kormo: Kormo, tmp_path: Path) -> None:
    found = _json(kormo("data", "stats", "recipe.yml", "--json"))["sources"]
    result = kormo("data", "stats", "recipe.yml", "--html", tmp_path / "page.html")
    lines = {line.split("─ ")[-1].split()[0]: line for line in result.stdout.splitlines() if "%" in line}
    assert list(lines) == ["tiny", "korean", "rest", "english", "more"]
    assert lines["more"].startswith("   └─ more") and "40.00%" in lines["rest"] and "100.00%" in lines["tiny"]
    for name, members in {"tiny": SOURCES, "rest": ("english", "more"), "korean": ("korean",)}.items():
        assert lines[name].split(name)[1].split()[:2] == [
            f"{sum(found[member][key] for member in members):,}" for key in ("documents", "tokens")
        ]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f"{name}</td>" in page for name in lines) and "<script src=" not in page


@pytest.mark.parametrize("step", [0, 17, STEPS - 1])
def test_a_batch_is_what_the_trainer_is_given(made: Made, kormo: Kormo, dataset: Any, step: int) -> None:
    """Rebuilt from the documents themselves: the text of the corpus through the tokenizer, cut at the offsets."""
    from tokenizers import Tokenizer

    from kormo_plugins.store.corpus_files import read_corpus
    from kormo_plugins.tokenizer.layout import read_layout

    found = _json(kormo("data", "batch", "recipe.yml", "--step", step, "--json"))
    assert list(found) == ["step", "rank", "world_size", "samples"]
    assert (found["step"], found["rank"], found["world_size"]) == (step, 0, 1)
    assert [sample["index"] for sample in found["samples"]] == list(range(step * GLOBAL, (step + 1) * GLOBAL))
    folder = made.path("tokenizer")
    tokenizer, layout = Tokenizer.from_file(str(folder / "tokenizer.json")), read_layout(folder)
    texts = {name: {d.id: d.text for d in read_corpus(made.path("corpus", name))} for name in SOURCES}
    for sample in found["samples"]:
        assert list(sample) == ["index", "source", "row", "documents"]
        ids = []
        for document in sample["documents"]:
            assert list(document) == ["id", "start", "end"]
            text = texts[sample["source"]][document["id"]]
            whole = [layout.bos, *tokenizer.encode(text, add_special_tokens=False).ids, layout.eos]
            ids += whole[document["start"] : document["end"]]
        row = dataset[sample["index"]]
        assert ids == row["input_ids"][: row["filled"]].tolist()
        assert sample["source"] == dataset.names[row["source"]]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_ranks_get_what_accelerate_gives_them(made: Made, kormo: Kormo, world: int) -> None:
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    step, micro_steps = 5, GLOBAL // MICRO // world
    union = []
    for rank in range(world):
        words = ("data", "batch", "recipe.yml", "--step", step, "--rank", rank, "--world-size", world, "--json")
        found = _json(kormo(*words))
        assert (found["rank"], found["world_size"]) == (rank, world)
        mine = [sample["index"] for sample in found["samples"]]
        shard = BatchSamplerShard(BatchSampler(range(STEPS * GLOBAL), MICRO, drop_last=True), world, rank)
        given = islice(shard, step * micro_steps, (step + 1) * micro_steps)
        assert mine == [index for batch in given for index in batch]
        union += found["samples"]
    whole = _json(kormo("data", "batch", "recipe.yml", "--step", step, "--json"))["samples"]
    assert sorted(union, key=lambda sample: sample["index"]) == whole


def test_the_text_of_a_batch(made: Made, kormo: Kormo) -> None:
    from kormo_plugins.store.corpus_files import read_corpus

    found = _json(kormo("data", "batch", "recipe.yml", "--step", 3, "--text", "--json"))
    shown = kormo("data", "batch", "recipe.yml", "--step", 3, "--text").stdout
    for sample in found["samples"]:
        texts = {document.id: document.text for document in read_corpus(made.path("corpus", sample["source"]))}
        for document in sample["documents"]:
            text = document["text"].removeprefix("<|BOS|>").removesuffix("<|EOS|>").strip("\ufffd")
            assert text and text in texts[document["id"]]
            assert text.split()[0] in shown and document["id"] in shown


def test_verify_reads_everything(made: Made, kormo: Kormo) -> None:
    found = _json(kormo("data", "verify", "recipe.yml", "--json"))
    assert [one["path"] for one in found["folders"]] == [row["path"] for row in made.built]
    assert found["damaged"] == [] and all(one["whole"] for one in found["folders"])
    data = [p for row in made.built for p in Path(row["path"]).rglob("*") if p.is_file() and p.name != "manifest.json"]
    assert sum(one["files"] for one in found["folders"]) == len(data)
    assert sum(one["bytes"] for one in found["folders"]) == sum(path.stat().st_size for path in data)
    assert _json(kormo("data", "verify", "artifacts", "--json"))["damaged"] == []


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "corpus/part-00000.jsonl.zst": ("bytes", _flip),
    "tokenizer/tokenizer.json": ("bytes", _flip),
    "tokenizer/chat_template.jinja": ("bytes", _flip),
    "shards/shard-00000.ids.bin": ("bytes", _flip),
    "shards/shards.json": ("bytes", _flip),
    "rows/segments.start.bin": ("cut", lambda path: path.write_bytes(path.read_bytes()[:-8])),
    "rows/rows.bin": ("gone", Path.unlink),
    "corpus/manifest.json": ("bytes", _flip),
}


@pytest.mark.parametrize("where", DAMAGE)
def test_verify_names_the_damaged_file(copy: Made, kormo: Kormo, where: str) -> None:
    kind, name = where.split("/")
    folder = copy.path(kind)
    DAMAGE[where][1](folder / name)
    for what in ("recipe.yml", folder, "artifacts"):
        result = kormo("data", "verify", what)
        assert result.exit_code == 2
        assert f"{folder.name}/{name}" in result.stderr
    damaged = json.loads(kormo("data", "verify", "artifacts", "--json").stdout)["damaged"]
    assert [Path(one["path"]).name for one in damaged] == [name]


def test_verify_names_every_damaged_file(copy: Made, kormo: Kormo) -> None:
    files = [copy.path("shards", "korean") / "shard-00000.ids.bin", copy.path("rows", "more") / "rows.bin"]
    files.append(copy.path("shards", "korean") / "shard-00000.offsets.bin")
    for file in files:
        _flip(file)
    found = json.loads(kormo("data", "verify", "recipe.yml", "--json").stdout)["damaged"]
    assert {Path(one["path"]).resolve() for one in found} == {file.resolve() for file in files}


def test_report_writes_a_page_and_a_card(copy: Made, kormo: Kormo) -> None:
    found = _json(kormo("data", "report", "recipe.yml", "--json"))
    assert (found["page"], found["card"]) == ("reports/tiny/report.html", "reports/tiny/README.md")
    page, card = Path(found["page"]).read_text(encoding="utf-8"), Path(found["card"]).read_text(encoding="utf-8")
    tokens = {row["name"]: row["tokens"] for row in copy.built if row["kind"] == "shards"}
    for name in SOURCES:
        assert f"<h2>{name}</h2>" in page and f"{tokens[name]:,}" in page and f"| {name} |" in card
    alone = kormo("data", "report", "data.yml", "--out", "alone")
    assert alone.exit_code == 0 and Path("alone/report.html").is_file()
    for row in copy.built:  # documents are enough
        if row["kind"] == "tokenizer":
            shutil.rmtree(row["path"])
    again = kormo("data", "report", "recipe.yml")
    assert again.exit_code == 0 and "without the number of tokens" in again.stderr


@pytest.mark.parametrize("kind", ["corpus", "tokenizer", "shards", "rows"])
def test_a_fetched_artifact_is_an_artifact(copy: Made, kormo: Kormo, tmp_path: Path, kind: str) -> None:
    source = copy.path(kind)
    there = tmp_path / "workspace" / source.name
    found = _json(kormo("data", "fetch", source, there, "--json"))
    assert 0 < found["copied"] <= found["bytes"]
    assert _json(kormo("data", "fetch", f"file://{source}", there, "--json"))["copied"] == 0
    files = {path.relative_to(source): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    assert {path.relative_to(there): path.read_bytes() for path in there.rglob("*") if path.is_file()} == files
    assert kormo("data", "verify", there.parent).exit_code == 0
    name = max(files, key=lambda name: len(files[name]))
    _flip(source / name)
    result = kormo("data", "fetch", source, tmp_path / "again")
    assert result.exit_code == 2 and name.name in result.stderr
    assert not (tmp_path / "again" / "manifest.json").exists()


def test_bad_input_is_told(made: Made, refused: Callable[..., str], tmp_path: Path) -> None:
    batch = ("data", "batch", "recipe.yml", "--step")
    assert "0 to 59" in refused(*batch, 60) and "0 to 59" in refused(*batch, -1)
    assert "--rank" in refused(*batch, 0, "--rank", 2, "--world-size", 2)
    assert "global batch" in refused(*batch, 0, "--world-size", 3)
    assert "nothing.yml" in refused("data", "stats", "nothing.yml")
    assert "dataset recipe by itself" in refused("data", "stats", "data.yml")
    assert "no finished manifest" in refused("data", "fetch", tmp_path, tmp_path / "out")
    assert "there is no folder" in refused("data", "stats", "recipe.yml", "--html", tmp_path / "no" / "page.html")


@pytest.mark.parametrize("words", [["stats"], ["batch", "--step", "0"], ["verify"], ["report"]], ids=" ".join)
def test_what_is_not_built_names_the_command_that_builds_it(
    made: Made, refused: Callable[..., str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("recipe.yml", "data.yml"):
        (tmp_path / name).write_bytes((made.folder / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "run `kormo data build recipe.yml`" in refused("data", words[0], "recipe.yml", *words[1:])
    assert not (tmp_path / "artifacts").exists() and not (tmp_path / "reports").exists()
