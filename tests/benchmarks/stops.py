"""Does a chat model stop? Greedy answers to held-out questions of the embedded conversations, in both languages.

    python tests/benchmarks/stops.py outputs/sft [--prompts 100] [--limit 64]

Questions come from the side of the generator that training never sees (`held_out: true`). Printed for each language,
with thinking off and on: the share of answers that end with <|EOT|> within the limit, and of those that say what they
should. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def answers(model: Any, tokenizer: Any, language: str, thinking: bool, prompts: int, limit: int) -> list[tuple]:
    """(stopped, right, tokens) of each answer."""
    import torch

    from kormo_plugins.embedded.conversations.chat import generate
    from kormo_plugins.embedded.conversations.chat_params import EmbeddedChatParams

    params = EmbeddedChatParams(language=language, conversations=prompts, held_out=True, seed=90_001)
    found = []
    for document in generate(params):
        *before, last = document.meta["messages"]
        ids = tokenizer.apply_chat_template(
            before, add_generation_prompt=True, enable_thinking=thinking, return_tensors="pt", return_dict=False
        )
        with torch.no_grad():
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=limit,
                eos_token_id=tokenizer.convert_tokens_to_ids("<|EOT|>"), pad_token_id=tokenizer.pad_token_id,
            )[0, ids.shape[1] :].tolist()  # fmt: skip
        text = tokenizer.decode(out, skip_special_tokens=False)
        stopped = text.endswith("<|EOT|>")
        said = text.removesuffix("<|EOT|>").rpartition("</think>")[2].strip()
        found.append((stopped, stopped and said == last["content"].strip(), len(out)))
    return found


def main() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kormo_plugins.plugins.registry import registry

    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--limit", type=int, default=64)
    given = parser.parse_args()
    registry().load("architecture", "kormo").register()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    model = AutoModelForCausalLM.from_pretrained(given.model).eval()
    report = {}
    for language in ("ko", "en"):
        for thinking in (False, True):
            rows = answers(model, tokenizer, language, thinking, given.prompts, given.limit)
            stopped, right = (sum(row[n] for row in rows) / len(rows) for n in (0, 1))
            report[f"{language}{' thinking' if thinking else ''}"] = {"stopped": stopped, "right": right}
            mode = f"{language}, thinking {'on ' if thinking else 'off'}"
            longest = max(row[2] for row in rows)
            print(f"{mode}: {stopped:.0%} stopped within {given.limit} tokens (longest {longest}), {right:.0%} right")
    print(json.dumps({"stops": report, "prompts": given.prompts, "limit": given.limit}))


if __name__ == "__main__":
    main()
