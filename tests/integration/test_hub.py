"""`hub_model_id` in a recipe: a real training ends with the model on a hub, which was not asked for anything before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fake_hub import serving

from .conftest import Lab

pytestmark = [pytest.mark.axolotl, pytest.mark.soak]
PICKLES = (".bin", ".pt", ".pth", ".pkl")


def test_a_training_publishes_what_is_finished(lab: Lab, trained: Any) -> None:
    path = lab.recipe("published", hub_model_id="me/tiny", max_steps=4, save_steps=2)
    with serving() as hub:
        done = lab.axolotl(
            "train", str(path), "--launcher", "python", fresh=True,
            HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_TOKEN="hf_made_up", NO_PROXY="127.0.0.1",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    sent = hub.repositories["me/tiny"]
    assert list(sent) == ["main", "kormo", "step-2-tokens-2K", "step-4-tokens-4.1K"]
    types = [json.loads(files["config.json"])["model_type"] for files in sent.values()]
    assert types == ["llama", "kormo", "kormo", "kormo"]
    assert all(json.loads(files["config.json"])["use_cache"] for files in sent.values())
    assert not [name for files in sent.values() for name in files if name.endswith(PICKLES)]
    assert sent["main"]["model.safetensors"] == (lab.out("published") / "export/model.safetensors").read_bytes()
    assert "pipeline_tag: text-generation" in sent["main"]["README.md"].decode() and "run.json" in sent["kormo"]
    changes = [request for request in hub.requests if request.startswith("POST")]
    assert changes[0] == "POST /api/repos/create" and changes.count(changes[0]) == 1
    assert "me/tiny on the hub has the revisions main, kormo" in done.stdout
    assert "hf_made_up" not in done.stdout + done.stderr
