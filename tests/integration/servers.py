"""Servers of other projects, started on this machine's loopback address and asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

START = float(os.environ.get("KORMO_SERVER_SECONDS", "300"))
"""Seconds that a server may take to start; a busy machine needs more."""
SHAPE: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 512, "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False, "vocab_multiple": 128,
}  # fmt: skip


@contextmanager
def served(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a server.

    Args:
        command: starts it; `--host` and `--port` are added.
        log: file that gets what it prints.
        environment: beside this process's own, less PYTHONPATH: it needs nothing of ours.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env={**own, "HF_HUB_OFFLINE": "1", **environment},
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + START
    try:
        while not answers(url):
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and what it started
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
    """What transformers writes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False, temperature=None, top_p=None)
    text = AutoTokenizer.from_pretrained(folder).decode(out[0, len(ids) :], skip_special_tokens=True)
    return whole(str(text))


def whole(text: str) -> str:
    """A text without the bytes that are no character; a token that ends in such a one is held back by the server."""
    return text.replace("\ufffd", "").strip()
