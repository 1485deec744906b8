"""Run as a script under `TRITON_INTERPRET=1`: Liger's kernels on the CPU, against torch. Prints one JSON line.

The interpreter proves wiring and arithmetic, not the compiled kernels. One thing it cannot run: functions of
libdevice, which have no body, so `rsqrt` is given one.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import torch
import triton.language as tl

LENGTH, VOCAB = 24, 150


def shim() -> None:
    """Gives Liger's RMSNorm an `rsqrt` that the interpreter has."""
    import liger_kernel.ops.rms_norm as module

    module.rsqrt = lambda x: tl.math.rsqrt(x)


def model(dtype: torch.dtype = torch.float32) -> Any:
    """A small KORMo, the same at each call, with norm weights that are not all one."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "kormo", vocab_size=VOCAB, hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=128, rms_norm_eps=1e-5, rope_theta=10000.0,
        tie_word_embeddings=False, use_cache=False,
    )  # fmt: skip
    made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    for name, parameter in made.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    return made.to(dtype)


def batch() -> dict[str, torch.Tensor]:
    """Two rows of several documents each, with padding at the end of the second."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, VOCAB, (2, LENGTH), generator=generator)
    positions = torch.stack([restarting(10, 4, 10), restarting(15, 5, 4)])
    labels = ids.clone()
    labels[positions == 0] = -100
    labels[1, 22:] = -100
    return {"input_ids": ids, "position_ids": positions, "labels": labels}


def restarting(*lengths: int) -> torch.Tensor:
    return torch.cat([torch.arange(n) for n in lengths])


def step(made: Any, inputs: dict[str, torch.Tensor], items: int) -> tuple[float, dict[str, torch.Tensor], Any]:
    """Loss, gradients and outputs of one forward and backward."""
    from kormo_plugins.training.objective import next_token

    loss, outputs = next_token(made, dict(inputs), torch.tensor(items), None)
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in made.named_parameters()}, outputs


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest difference relative to the largest value of each tensor."""
    return max(((one[n] - other[n]).abs().max() / other[n].abs().max().clamp_min(1e-9)).item() for n in other)


def alone(made: Any, inputs: dict[str, torch.Tensor], items: int) -> float:
    """The same loss, each document in a row of its own."""
    total = 0.0
    for row in range(2):
        starts = [*torch.where(inputs["position_ids"][row] == 0)[0].tolist(), LENGTH]
        for start, end in pairwise(starts):
            part = {key: value[row : row + 1, start:end] for key, value in inputs.items()}
            if (part["labels"][:, 1:] != -100).any():
                total += step(made, part, items)[0]
    return total


def norms() -> dict[str, float]:
    """Liger's RMSNorm in both casting modes against both orders of casting, share of equal outputs.

    In float16, a half precision like bfloat16 that numpy, and so the interpreter, can multiply in.
    """
    from liger_kernel.ops import LigerRMSNormFunction
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    torch.manual_seed(3)
    x, weight = torch.randn(64, 256).half(), (1 + 0.3 * torch.randn(256)).half()
    ours = LlamaRMSNorm(256, eps=1e-5)
    ours.weight.data = weight
    wide = x.float()
    published = (weight.float() * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5))).half()
    plain = ours(x)
    found = {"orders differ": (plain != published).float().mean().item()}
    for mode in ("llama", "gemma"):
        out = LigerRMSNormFunction.apply(x.clone(), weight, 1e-5, 0.0, mode, True, None)
        found[f"{mode} is ours"] = (out == plain).float().mean().item()
        found[f"{mode} is published"] = (out == published).float().mean().item()
    return found


def losses_by_source(made: Any, inputs: dict[str, torch.Tensor], items: int) -> dict[str, float]:
    """What the log gets of a step."""
    from kormo_plugins.training.objective import next_token
    from kormo_plugins.training.telemetry.loss_by_source import LossBySource

    by_source = LossBySource(["en", "ko"], ["en", "ko"])
    by_source.attach(made)
    by_source.measuring = True
    _, outputs = next_token(made, dict(inputs), torch.tensor(items), None)
    by_source.add(outputs, inputs["labels"], torch.tensor([1, 0]))
    return {**by_source.collect(lambda t: t, "cpu"), "logits": float(outputs.get("logits") is not None)}


def main() -> dict[str, Any]:
    import kormo_plugins.architecture.family as family
    from kormo_plugins.kernels.liger import LIGER, LigerParams
    from kormo_plugins.training import one_pass

    family.KORMO.register()
    shim()
    found: dict[str, Any] = {"norms": norms()}
    inputs = batch()
    items = int((inputs["labels"][:, 1:] != -100).sum())
    params = LigerParams()
    plain_loss, plain_grads, _ = step(model(), inputs, items)
    found["plain sources"] = losses_by_source(model(), inputs, items)
    found["line"] = LIGER("kormo", params)
    from axolotl.integrations.liger import LigerArgs, LigerPlugin
    from axolotl.utils.dict import DictDefault

    LigerPlugin().pre_model_load(DictDefault({"model_config_type": "kormo", **LIGER.axolotl(params)}))
    found["axolotl keys"] = list(LigerArgs.model_fields)
    fused = model()
    found["parts"] = sorted({type(module).__name__ for module in fused.modules()})
    loss, grads, outputs = step(fused, inputs, items)
    found["logits"] = outputs.get("logits") is not None
    found["loss"] = [plain_loss, loss]
    found["gradients"] = furthest(grads, plain_grads)
    found["half"] = step(model(), inputs, 2 * items)[0] / loss
    found["alone"] = alone(model(), inputs, items)
    found["sources"] = losses_by_source(model(), inputs, items)
    whole = model()
    assert one_pass.install(whole), "Liger's forward is not known any more"
    loss, grads, _ = step(whole, inputs, items)
    found["one pass"] = [loss, furthest(grads, plain_grads)]
    found["one pass sources"] = losses_by_source(whole, inputs, items)
    LIGER.release()
    again_loss, again, outputs = step(model(), inputs, items)
    found["released"] = [again_loss == plain_loss, furthest(again, plain_grads), outputs.get("logits") is not None]
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
