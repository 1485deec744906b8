"""`vllm serve` on an export: the same prompt, the same greedy text, and an end at the end token.

`KORMO_VLLM=/path/to/vllm` names the program of an environment that has vLLM; it needs nothing of ours.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.architecture.export import export_llama
from tests.architecture import spoken

PROGRAM = os.environ.get("KORMO_VLLM", "")
START = 300.0
"""Seconds that the server may take."""
SHAPE: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 512, "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False, "vocab_multiple": 128,
}  # fmt: skip


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server for the model in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with (folder / "vllm.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *words], env=environment, stdout=log, stderr=subprocess.STDOUT)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + START
    try:
        while not answers(url):
            assert process.poll() is None and time.monotonic() < end, (folder / "vllm.log").read_text()[-3000:]
            time.sleep(1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    """Whether the server is up."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return dict(json.load(answer))


def greedy(folder: Path, ids: list[int]) -> str:
    """What transformers writes; bytes that are no character left out, since each cuts them otherwise."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False, temperature=None, top_p=None)
    text = AutoTokenizer.from_pretrained(folder).decode(out[0, len(ids) :], skip_special_tokens=True)
    return str(text).replace("\ufffd", "")


@pytest.mark.soak
@pytest.mark.skipif(not PROGRAM, reason="KORMO_VLLM names no program")
@pytest.mark.parametrize("role", ["chat", "base"])
def test_vllm_asks_and_ends_as_the_model_was_trained(role: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = spoken.checkpoint(tmp_path / role, spoken.tokenizer(tmp_path / "tokenizer"), SHAPE, role)
    folder = tmp_path / "export"
    export_llama(made, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "안녕하세요?"}]
    common = {"model": str(folder), "temperature": 0, "max_tokens": 16}
    end = {str(tokenizer.eos_token_id): 100}
    with served(folder) as url:
        if role == "base":
            said = post(f"{url}/v1/completions", {**common, "prompt": "서울은"})["choices"][0]["text"]
            assert said.replace("\ufffd", "") == greedy(folder, tokenizer("서울은")["input_ids"])
            ended = post(f"{url}/v1/completions", {**common, "prompt": "서울은", "logit_bias": end})
        else:
            for think in (True, False):
                options = {"chat_template_kwargs": {"enable_thinking": think}}
                ids = tokenizer.apply_chat_template(
                    turns, add_generation_prompt=True, enable_thinking=think, return_dict=False
                )
                answer = post(f"{url}/v1/chat/completions", {**common, "messages": turns, **options})
                assert answer["usage"]["prompt_tokens"] == len(ids)
                said = answer["choices"][0]["message"]["content"]
                assert said.replace("\ufffd", "") == greedy(folder, ids)
            ended = post(f"{url}/v1/chat/completions", {**common, "messages": turns, "logit_bias": end})
    assert ended["choices"][0]["finish_reason"] == "stop" and ended["usage"]["completion_tokens"] == 1
