"""A real training ends with the model on a hub (`hub_model_id`), its documents follow, its checkpoints are fetched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from kormo_plugins.architecture.registration import register
from tests.fake_hub import Hub, serving
from tests.forked import Server

from .conftest import DATA, Lab

pytestmark = [pytest.mark.axolotl, pytest.mark.soak]
PICKLES = (".bin", ".pt", ".pth", ".pkl")


def online(hub: Hub) -> dict[str, str]:
    """The environment of a process that has that hub and no other."""
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_made_up", "NO_PROXY": "127.0.0.1"}


def kormo(lab: Lab, hub: Hub, *words: str) -> str:
    """The output of a command."""
    command = [sys.executable, "-m", "kormo_plugins.cli.main", *words]
    done = subprocess.run(
        command, cwd=lab.folder, env=lab.environ(**online(hub)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_training_publishes_what_is_finished(tmp_path: Path, forks: Server) -> None:
    lab = Lab(tmp_path, forks)  # its own: no other run is compared with
    path = lab.recipe(
        "published", hub_model_id="me/tiny", max_steps=4, save_steps=2,
        kormo={"evaluate": {"suites": ["mini"], "limit": 2}},
    )  # fmt: skip
    with serving() as hub:
        done = lab.axolotl("train", str(path), "--launcher", "python", fresh=True, timeout=1500, **online(hub))
        assert done.returncode == 0, done.stderr[-4000:]
        sent = hub.repositories["me/tiny"]
        assert list(sent) == ["main", "kormo", "step-2-tokens-2K", "step-4-tokens-4.1K"]
        types = [json.loads(files["config.json"])["model_type"] for files in sent.values()]
        assert types == ["llama", "kormo", "kormo", "kormo"]
        assert all(json.loads(files["config.json"])["use_cache"] for files in sent.values())
        assert not [name for files in sent.values() for name in files if name.endswith(PICKLES)]
        assert sent["main"]["model.safetensors"] == (lab.out("published") / "export/model.safetensors").read_bytes()
        card = ModelCard(sent["main"]["README.md"].decode())
        assert card.data.pipeline_tag == "text-generation" and set(card.data.language) == {"ko", "en"}
        scored = json.loads(sent["kormo"]["evaluation.json"])["results"]
        assert len(card.data.eval_results) == len(scored) > 3 and "run.json" in sent["kormo"]
        changes = [request for request in hub.requests if request.startswith("POST")]
        assert changes[0] == "POST /api/repos/create" and changes.count(changes[0]) == 1
        assert "me/tiny on the hub has the revisions main, kormo" in done.stdout + done.stderr
        assert "hf_made_up" not in done.stdout + done.stderr
        walked_over(lab, hub)
        documents(lab, hub)


def walked_over(lab: Lab, hub: Hub) -> None:
    """Each checkpoint opens as the model that it was, in the layout of the published model."""
    from transformers import AutoModelForCausalLM

    told = kormo(lab, hub, "checkpoint", "fetch", "me/tiny", "--every", "2K", "--out", "dynamics", "--json")
    assert [(one["step"], one["tokens"]) for one in json.loads(told)] == [(2, 2_000), (4, 4_100)]
    register()
    ids = torch.arange(20)[None]
    for one in json.loads(told):
        theirs, ours = (
            AutoModelForCausalLM.from_pretrained(folder)
            for folder in (lab.folder / one["path"], lab.out("published") / f"checkpoint-{one['step']}")
        )
        assert theirs.config.model_type == "kormo" and torch.equal(theirs(ids).logits, ours(ids).logits)


def documents(lab: Lab, hub: Hub) -> None:
    """What it was trained on, from the artifacts that are there."""
    Path(lab.folder / "data.yml").write_text(yaml.safe_dump(DATA, allow_unicode=True))
    kormo(lab, hub, "data", "publish", "data.yml", "me/text", "--workspace", "artifacts")
    (sent,) = hub.repositories["me/text"].values()
    assert {name.split("/")[0] for name in sent} == {"korean", "english", "README.md", "SHA256SUMS"}
