"""Continuations of prompts by the finished model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def continuations(
    model_dir: Path, prompts: Iterable[str], max_new_tokens: int, seed: int = 0, *, chat: bool = False
) -> list[tuple[str, str]]:
    """Pairs (prompt, continuation), sampled with the checkpoint's own generation settings.

    Args:
        model_dir: a plain checkpoint with its tokenizer.
        prompts: texts; BOS is prepended, as in training.
        max_new_tokens: length of each continuation, in tokens.
        seed: of the sampling; the caller's random state is not changed.
        chat: the prompts are questions, rendered with the chat template and thinking disabled.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir).eval()
    bos = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    results: list[tuple[str, str]] = []
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for prompt in prompts:
            tokens = _question(tokenizer, prompt) if chat else bos + tokenizer.encode(prompt, add_special_tokens=False)
            ids = torch.tensor([tokens])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens)
            text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
            results.append((prompt, str(text)))
    return results


def _question(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    turns = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, enable_thinking=False, return_dict=False)
    return list(ids)
