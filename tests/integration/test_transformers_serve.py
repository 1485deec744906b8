"""`transformers serve` on an export, as docs/serving.md says: same prompt, same greedy text, its own end."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from kormo_plugins.architecture.export import export_llama
from tests.architecture import spoken

from .servers import SHAPE, greedy, post, served, whole

PROGRAM = Path(sys.executable).with_name("transformers")
SAID = "서울은"
TURNS = [{"role": "user", "content": "안녕하세요?"}]


@pytest.mark.soak
def test_it_asks_and_ends_as_the_model_was_trained(tmp_path: Path) -> None:
    for package in ("uvicorn", "openai"):  # the first comes with others too
        pytest.importorskip(package, reason="the extra `serving` is not installed")
    from transformers import AutoTokenizer

    source = spoken.tokenizer(tmp_path / "tokenizer")
    folders = {role: tmp_path / f"export-{role}" for role in ("base", "chat")}
    for role, folder in folders.items():
        export_llama(spoken.checkpoint(tmp_path / role, source, SHAPE, role), folder)
    tokenizers = {role: AutoTokenizer.from_pretrained(folder) for role, folder in folders.items()}
    with served([str(PROGRAM), "serve", "--device", "cpu", "--dtype", "float32"], tmp_path / "log", {}) as url:
        greedily = {"temperature": 0, "max_tokens": 16}
        for think in (True, False):
            ids = tokenizers["chat"].apply_chat_template(
                TURNS, add_generation_prompt=True, enable_thinking=think, return_dict=False
            )
            asked = {
                "model": str(folders["chat"]),
                "messages": TURNS,
                "chat_template_kwargs": {"enable_thinking": think},
            }
            answer = post(f"{url}/v1/chat/completions", {**greedily, **asked})
            assert answer["usage"]["prompt_tokens"] == len(ids)
            assert whole(answer["choices"][0]["message"]["content"]) == greedy(folders["chat"], ids)
        end = {str(tokenizers["chat"].convert_tokens_to_ids("<|EOT|>")): 100.0}
        ended = post(f"{url}/v1/chat/completions", {**greedily, **asked, "logit_bias": end})
        assert ended["choices"][0]["finish_reason"] == "stop" and ended["usage"]["completion_tokens"] == 1

        base = {"model": str(folders["base"]), "prompt": SAID}
        answer = post(f"{url}/v1/completions", {**greedily, **base})
        assert whole(answer["choices"][0]["text"]) == greedy(folders["base"], tokenizers["base"](SAID)["input_ids"])
        eager = _that_ends_at_once(folders["base"], tokenizers["base"].convert_tokens_to_ids("<|EOS|>"))
        ended = post(f"{url}/v1/completions", {**greedily, **base, "model": str(eager)})
        assert ended["choices"][0]["finish_reason"] == "stop" and ended["usage"]["completion_tokens"] == 1


def _that_ends_at_once(folder: Path, end: int) -> Path:
    """The same model, whose own settings prefer its end token: a completion takes no bias from the request."""
    eager = folder.with_name(f"{folder.name}-eager")
    shutil.copytree(folder, eager)
    path = eager / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sequence_bias": [[[end], 100.0]]}))
    return eager
