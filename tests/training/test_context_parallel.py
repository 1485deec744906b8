"""Rows shared by two devices: loss and gradients are those of the whole rows, seams and padding included.

Axolotl's own hook cuts the rows; in place of ring attention, which needs GPUs, keys and values are gathered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from kormo_plugins.training.compat.context_parallel import my_part, shared_rows

LENGTH, ROWS = 32, 3


def _model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=LENGTH, use_cache=False, attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config).double()


def _batch() -> dict[str, torch.Tensor]:
    """One document per row: a full row, one that ends within the second half, one that ends within the first."""
    ids = torch.randint(1, 64, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    for row, end in enumerate((LENGTH, 20, 9)):
        labels[row, end:] = -100
    labels[:, 0] = -100
    positions = torch.arange(LENGTH).repeat(ROWS, 1)
    return {"input_ids": ids, "labels": labels, "position_ids": positions}


def _gathered(module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **ignored: Any) -> Any:
    """Causal attention of this device's queries to the keys and values of all devices."""
    from torch.distributed.nn.functional import all_gather
    from transformers.models.llama.modeling_llama import repeat_kv

    keys, values = (
        repeat_kv(torch.cat(all_gather(part.contiguous()), dim=2), module.num_key_value_groups) for part in (key, value)
    )
    first = dist.get_rank() * query.shape[2]
    scores = query @ keys.transpose(2, 3) * scaling
    seen = torch.arange(keys.shape[2])[None] <= (first + torch.arange(query.shape[2]))[:, None]
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return (weights @ values).transpose(1, 2).contiguous(), None


def _shared(rank: int, folder: str) -> None:
    from axolotl.utils.ctx_managers.sequence_parallel import apply_sequence_parallelism
    from transformers import AttentionInterface

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    AttentionInterface.register("gathered", _gathered)
    model = _model()
    model.config._attn_implementation = "gathered"

    def cut(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, apply_sequence_parallelism(kwargs, rank, 2, 1, None)[0]  # type: ignore[arg-type]

    model.register_forward_pre_hook(cut, with_kwargs=True)
    batch = _batch()
    count = (batch["labels"][:, 1:] != -100).sum()
    loss, _ = shared_rows(model, batch, count, rank, 2)
    loss.backward()
    torch.save({"loss": loss.detach(), "grads": [p.grad for p in model.parameters()]}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.soak
def test_two_devices_train_what_one_would(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    model = _model()
    batch = _batch()
    whole = model(**batch, num_items_in_batch=(batch["labels"][:, 1:] != -100).sum())["loss"]
    whole.backward()
    mp.spawn(_shared, args=(str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    torch.testing.assert_close(parts[0]["loss"] + parts[1]["loss"], whole.detach(), rtol=1e-6, atol=1e-6)
    for index, (name, weight) in enumerate(model.named_parameters()):
        summed = parts[0]["grads"][index] + parts[1]["grads"][index]
        torch.testing.assert_close(summed, weight.grad, rtol=1e-5, atol=1e-7, msg=name)


def test_every_prediction_is_made_once() -> None:
    labels = torch.arange(8)[None]
    shifted = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
    parts = [my_part(shifted, rank, 4).flatten().tolist() for rank in range(4)]
    assert parts == [[1, 2], [3, 4], [5, 6], [7, -100]]
