"""Evaluation and generation for `gpu.py`: `kormo eval`'s own forward and decoder beside the harness's way."""

from __future__ import annotations

from typing import Any

import torch
from gpu_model import Size, best, model
from measure import ROOT  # noqa: F401  (puts the repository on the path)

from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.evaluation.generation.decode import Decoder


def evaluation(size: Size, device: str) -> dict[str, float]:
    """Tokens a second of scoring rows, and of greedy answers to prompts of different lengths, in bfloat16: by our
    decoder (rows leave when they end) and by transformers' `generate` on the same padded prompts."""
    net = model(size, device, "kormo").eval().to(torch.bfloat16)
    ids = torch.randint(1, size.shape[-1], (size.rows, size.length), device=device)
    with torch.no_grad():
        seconds = best(lambda: net(ids, use_cache=False).logits.float().logsumexp(-1), device, 3)
    many, new = (32, 64) if device == "cuda" else (4, 8)
    lengths = [max(4, size.length // 8 - 3 * number) for number in range(many)]
    prompts = [torch.randint(1, size.shape[-1], (n,)).tolist() for n in lengths]
    never = frozenset({size.shape[-1]})  # no answer ends before its length
    decoder = Decoder(net, lambda row: " ".join(map(str, row)), never, 0)
    wanted = Sampling(max_tokens=new, temperature=0.0, top_p=1.0, stop=())
    ours = best(lambda: list(decoder.write(prompts, wanted, many)), device, 2)
    with torch.no_grad():
        theirs = best(lambda: _generate(net, prompts, new, device), device, 2)
    return {
        "evaluation_tokens_per_second": ids.numel() / seconds,
        "generation_tokens_per_second": many * new / ours,
        "generate_of_transformers_tokens_per_second": many * new / theirs,
    }


def _generate(net: Any, prompts: list[list[int]], new: int, device: str) -> None:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=device)
    net.generate(ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0,
                 use_cache=True)  # fmt: skip
