"""Synthesis from end to end: a checkpoint that `axolotl train` made and exported, served by `transformers serve`, asked
by `kormo data build`, which is killed on the way. Minutes of work, hence only among the soak tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.corpus_files import read_corpus

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SEEDS = 40

pytestmark = pytest.mark.soak


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    offline = {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **offline, **more}


def sentences(components: Registry, count: int) -> list[str]:
    """Single sentences: a model that has read them ends its text after one, which few steps can teach."""
    params = components.params("generator", "embedded", {"language": "ko", "megabytes": 2.0, "seed": 5})
    found: dict[str, None] = {}
    for document in components.load("generator", "embedded")(params, 0, 1):
        for line in document.text.split("\n"):
            found.update(dict.fromkeys(f"{one.strip()}." for one in line.split(". ") if one.strip().endswith("다")))
        if len(found) >= count:
            break
    return list(found)[:count]


def write(path: Path, texts: list[str]) -> Path:
    rows = (json.dumps({"id": f"s{i}", "text": text}, ensure_ascii=False) for i, text in enumerate(texts))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory, components: Registry) -> Path:
    """The export of a nano model of `recipes/pretrain.yml`, trained for 60 steps on single sentences."""
    folder = tmp_path_factory.mktemp("trained")
    source = {"language": "ko", "license": "Apache-2.0", "synthetic": True}
    reader = {"name": "jsonl", "path": str(write(folder / "text.jsonl", sentences(components, 20_000)))}
    data = {"name": "sentences", "sources": {"ko": {**source, "reader": reader}},
            "mixture": {"name": "weighted", "weights": {"ko": 1}}}  # fmt: skip
    tokenizer = {"name": "kormo_bpe", "vocab_size": 2000, "megabytes": 1, "shares": {"ko": 1.0}}
    # In files of their own: a file replaces what the parent names, a mapping would be merged with it.
    for name, value in (("data.yml", data), ("tokenizer.yml", tokenizer)):
        (folder / name).write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    recipe = {
        "extends": str(ROOT / "recipes/pretrain.yml"), "plugins": ["kormo_plugins.KormoPlugin"],
        "kormo": {
            "data": "data.yml", "tokens": 60 * 8 * 512, "monitor": None, "workspace": str(folder / "artifacts"),
            "tokenizer": {"train": "tokenizer.yml"},
        },
        "output_dir": str(folder / "out"),
    }  # fmt: skip
    (folder / "recipe.yml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    command = ["axolotl", "train", str(folder / "recipe.yml"), "--launcher", "python"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "out" / "export"


@pytest.fixture
def log(tmp_path: Path, export: Path) -> Iterator[tuple[str, Path]]:
    """Address of a server, and the file in which it notes each request."""
    pytest.importorskip("uvicorn", reason="the extra `serving` is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "server.log"
    command = ["transformers", "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with path.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment())
    try:
        for _ in range(300):
            assert server.poll() is None, path.read_text()[-4000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1", path
    finally:
        server.terminate()
        server.wait(30)


def asked(path: Path) -> int:
    return path.read_text(errors="replace").count("POST /v1/chat/completions")


def test_a_checkpoint_of_ours_writes_a_corpus(
    tmp_path: Path, export: Path, log: tuple[str, Path], components: Registry
) -> None:
    address, server_log = log
    seeds = {"name": "jsonl", "path": str(write(tmp_path / "seeds.jsonl", sentences(components, SEEDS)))}
    generator = {
        "name": "openai_endpoint", "url": "${KORMO_ENDPOINT}", "model": str(export), "style": "rewrite", "seeds": seeds,
        "cache": "answers", "max_tokens": 96, "concurrency": 2, "timeout": 600, "license": "Apache-2.0",
    }  # fmt: skip
    recipe = {"name": "written", "sources": {"ko": {"language": "ko", "license": "Apache-2.0", "generator": generator}},
              "held_out": {"documents": 0}, "steps": [{"name": "normalize"}]}  # fmt: skip
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    command = ["kormo", "data", "build", "recipe.yml", "--json"]
    answers = tmp_path / "answers"

    def build() -> Path:
        done = subprocess.run(command, cwd=tmp_path, env=environment(KORMO_ENDPOINT=address), capture_output=True,
                              text=True, timeout=1800)  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return tmp_path / json.loads(done.stdout)[0]["path"]

    first = subprocess.Popen(command, cwd=tmp_path, env=environment(KORMO_ENDPOINT=address))
    while first.poll() is None and len(list(answers.rglob("*.json"))) < 5:
        time.sleep(0.05)
    first.kill()
    assert first.wait() == -9
    before = len(list(answers.rglob("*.json")))
    out = build()
    documents, rejects = list(read_corpus(out)), list(read_corpus(out / "rejects"))
    reasons = Counter(document.meta["rejected"]["reason"] for document in rejects)
    print(f"{len(documents)} documents, {dict(reasons)}, {asked(server_log)} requests, {before} before the kill")
    print(*(f"{document.meta['seed']!r} -> {document.text!r}" for document in documents[:3]), sep="\n")
    seeds_seen = [document.meta.get("seed_id", document.id) for document in [*documents, *rejects]]
    assert sorted(seeds_seen) == sorted(f"s{i}" for i in range(SEEDS))
    assert set(reasons) <= {"the answer was cut at max_tokens", "an empty answer"}
    assert len(documents) > SEEDS / 2  # it has learned to stop
    for document in documents:
        assert document.synthetic and document.generator == str(export) and document.license == "Apache-2.0"
        assert document.text and document.meta["style"] == "rewrite" and document.meta["seed"]
    cut = sum(reasons.values())  # those alone, and what was open at the kill, may have been asked for more than once
    assert SEEDS <= asked(server_log) <= SEEDS + 2 + 6 * cut
    count = asked(server_log)
    assert build() == out and asked(server_log) == count
