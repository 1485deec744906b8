"""Everything that a run leaves opens in transformers 4 and computes there what it computes here.

`KORMO_TRANSFORMERS4=/path/to/python` names an interpreter with transformers 4.57 and torch, and nothing of ours.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.architecture.export import export_llama
from kormo_plugins.pipeline.artifacts.initial_model import change_config
from kormo_plugins.training.checkpoints.saved_config import restore
from tests.architecture import spoken

SCRIPT = Path(spoken.__file__).with_name("old_reader.py")
PYTHON = os.environ.get("KORMO_TRANSFORMERS4", "")
SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False, "vocab_multiple": 128,
}  # fmt: skip


def saved(folder: Path, out: Path) -> Path:
    """The model of a folder as transformers 5 saves it while it trains, put right as every checkpoint of ours is."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(out)
    config = json.loads((folder / "config.json").read_text())
    restore(out, {name: config[f"{name}_token_id"] for name in ("bos", "eos", "pad")}, {})
    return out


@pytest.mark.soak
@pytest.mark.skipif(not PYTHON, reason="KORMO_TRANSFORMERS4 names no interpreter with transformers 4")
def test_transformers_4_reads_the_same_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = spoken.tokenizer(tmp_path / "tokenizer")
    folders = []
    for role in ("base", "chat"):
        first = spoken.checkpoint(tmp_path / f"{role}-initial", source, SHAPE, role)
        longer = tmp_path / f"{role}-longer"  # a stage of long context: another RoPE base over the same weights
        longer.mkdir()
        change_config(first, {"rope_theta": 2_000_000.0, "max_position_embeddings": 1024}, longer)
        run = saved(longer, tmp_path / f"{role}-run")
        export_llama(run, run / "export")
        folders += [first, longer, run, run / "export"]
    ids = list(range(1000, 1040))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    script = tmp_path / "reader.py"
    shutil.copy(SCRIPT, script)
    command = [PYTHON, str(script), json.dumps({"ids": ids, "texts": spoken.EDGES}), *map(str, folders)]
    told = json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)
    for folder in folders:
        theirs, tokenizer = told[str(folder)], AutoTokenizer.from_pretrained(folder)
        with torch.no_grad():
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        torch.testing.assert_close(torch.tensor(theirs["logits"]), logits, atol=1e-5, rtol=1e-5)
        assert theirs["class"] == "PreTrainedTokenizerFast" and theirs["eos"] == tokenizer.eos_token
        assert theirs["texts"] == [tokenizer(text)["input_ids"] for text in spoken.EDGES]
        options = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": False}
        assert theirs["chat"] == tokenizer.apply_chat_template([{"role": "user", "content": "안녕하세요!"}], **options)
