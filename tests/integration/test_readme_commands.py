"""Every command of README, docs/ and CONTRIBUTING that needs no GPU, network or cluster, in order, as it stands.

They are run in a copy of the recipes that trains for a few steps, so that what one leaves behind (a corpus, a run, a
tokenizer) is what the next one finds, as it is for a reader.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..test_readme import COMMANDS, ROOT
from .conftest import Lab

pytestmark = [pytest.mark.soak, pytest.mark.axolotl]

ELSEWHERE = {
    r"pip install|pytest|ruff|mypy|python (docs|tests)/": "what .ci/run does, and benchmarks",
    r"(?!kormo recipe|kormo train).* \S*10b": "a cluster, or a run of one",
    r"sbatch|vllm|llama-server|python convert|lmplz|build_binary|ollama|sigstore|transformers serve": "other programs",
    r"kormo (publish (?!.*--dry-run)|checkpoint fetch|data publish)": "the hub; tests/integration/test_hub.py",
    r"kormo (release|reproduce) .*--sign": "a key; tests/release",
    r"kormo chat .*--web": "a server that does not end; tests/evaluation",
    r".*-0123456789ab|kormo data convert out ": "an artifact by a name that stands for its own; tests/shards",
    r"kormo eval .*(korean|english|kobest)": "data sets of the hub",
    r"kormo eval .*--(judge|against)": "a judge",
    r"kormo train recipes/10b": "GPUs",
}
"""Pattern of commands that are not run here -> why; their recipes are validated by `test_readme.py`."""
FEW = 32768
LONG_ENOUGH = 413_696
"""Tokens of the quick start: `kormo data batch … --step 100` must have a step 100."""


def few_steps(path: Path) -> None:
    """Shortens the runs of a recipe, its looks and its vocabulary; nothing else."""
    text = path.read_text(encoding="utf-8")
    tokens = LONG_ENOUGH if path.name == "pretrain.yml" else FEW
    text = re.sub(r"^(  tokens: )\d{6,}\b", rf"\g<1>{tokens}", text, flags=re.M)
    text = re.sub(r"^(    every_tokens: )\d+", r"\g<1>163840", text, flags=re.M)
    text = re.sub(r"^(max_steps: )\d+", r"\g<1>4", text, flags=re.M)
    text = re.sub(r"^(logging_steps: )\d+", r"\g<1>2", text, flags=re.M)
    text = re.sub(r"^(vocab_size: )31959", r"\g<1>2000", text, flags=re.M)
    if path.name == "pretrain_local.yml":
        text = text.replace("kormo:\n", f"kormo:\n  tokens: {FEW}\n", 1)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A folder such as a reader has after cloning, with text of their own in `my/text`."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("recipes", "datasets_recipes"):
        shutil.copytree(ROOT / name, folder / name)
    for path in folder.rglob("*.yml"):
        if "10b" not in path.parts and "1b" not in path.parts:
            few_steps(path)
    text = folder / "my" / "text"
    text.mkdir(parents=True)
    from kormo_plugins.embedded.generate import generate
    from kormo_plugins.embedded.params import EmbeddedParams

    documents = generate(EmbeddedParams(language="all", megabytes=2.0, seed=5))
    rows = (json.dumps({"text": d.text, "language": d.language}, ensure_ascii=False) + "\n" for d in documents)
    (text / "text.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "comments.tsv").write_text("document\tlabel\n재미있게 봤습니다\t1\n지루했습니다\t0\n", encoding="utf-8")
    return Lab(folder, {"KORMO_DATA": str(text)})


def test_the_commands_in_order(reader: Lab) -> None:
    ran: list[str] = []
    for line in COMMANDS:
        if any(re.match(pattern, line) for pattern in ELSEWHERE):
            continue
        line = re.sub(r"KORMO_DATA=\S+", "KORMO_DATA=my/text", line)
        done = subprocess.run(
            ["bash", "-c", line], cwd=reader.folder, env=reader.environ(), capture_output=True, text=True, timeout=1500
        )
        told = f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, told
        assert "Traceback" not in done.stderr, told
        ran.append(line)
    assert len(ran) >= 25, ran
    for made in ("my-plugin", "my-tokenizer", "my-llama", "compare.html", "outputs/dpo", "outputs/warmer"):
        assert (reader.folder / made).exists(), made
