"""Rows shared by two devices: loss and gradients are those of the whole rows, seams and padding included.

Axolotl's own hook cuts the rows, whichever Axolotl it is. Up to 0.19, with one document per row: in place of ring
attention, which needs GPUs, keys and values are gathered. From 0.20 on, with packed rows: ringmaster's Ulysses itself,
which runs on CPUs, with the model's own attention (sdpa), and with a stand-in for FlashAttention's kernel.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from kormo_plugins.training.compat import variants
from kormo_plugins.training.compat.context_parallel import my_part, shared_rows

LENGTH, ROWS = 32, 3
PACKED = ((0, 12, 19, 32), (0, 16, 32), (0, 32))
"""Where the documents of each row begin and end: three, two that meet at the seam, one."""

by_ring = pytest.mark.skipif(variants.shares_rows_by_ulysses(), reason="this Axolotl shares rows by ringmaster")
by_ulysses = pytest.mark.skipif(
    not variants.shares_rows_by_ulysses(), reason="this Axolotl shares rows by ring attention"
)


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


def _packed() -> dict[str, torch.Tensor]:
    """Rows of several documents; the first token of each is not predicted."""
    batch = _batch()
    labels, positions = batch["input_ids"].clone(), batch["position_ids"].clone()
    for row, borders in enumerate(PACKED):
        for start, end in itertools.pairwise(borders):
            positions[row, start:end] = torch.arange(end - start)
            labels[row, start] = -100
    return {"input_ids": batch["input_ids"], "labels": labels, "position_ids": positions}


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


def _varlen(q: Any, k: Any, v: Any, starts: Any, *others: Any, **given: Any) -> torch.Tensor:
    """FlashAttention's kernel for [tokens, heads, width]: each document by itself, causal."""
    repeat = q.shape[1] // k.shape[1]
    k, v = (part.repeat_interleave(repeat, dim=1) for part in (k, v))
    parts = []
    for start, end in itertools.pairwise(starts.tolist()):
        document = (part[start:end].transpose(0, 1) for part in (q, k, v))
        scale = given["softmax_scale"]
        parts.append(torch.nn.functional.scaled_dot_product_attention(*document, is_causal=True, scale=scale))
    return torch.cat([part.transpose(0, 1) for part in parts])


def _by_ulysses(rank: int, folder: str, inner: str) -> None:
    import ringmaster
    from axolotl.integrations.context_parallel.trainer import TrainerContextParallelContextManager
    from ringmaster.strategies import ulysses

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    ulysses._flash_varlen_fn = lambda name: _varlen
    model = _model().train()
    config = ringmaster.RingmasterConfig(
        size=2, backend=ringmaster.Backend.ULYSSES, load_balance=ringmaster.LoadBalance.NONE
    )
    runtime = ringmaster.setup(config, num_kv_heads=2, device_type="cpu", inner_attn=inner)
    model.set_attn_implementation(runtime.attn_implementation)
    TrainerContextParallelContextManager([model], runtime.cp_group, load_balance=runtime.shard_load_balance).install()
    batch = _packed()
    loss, _ = shared_rows(model, batch, (batch["labels"][:, 1:] != -100).sum(), rank, 2)
    loss.backward()
    torch.save({"loss": loss.detach(), "grads": [p.grad for p in model.parameters()]}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _on_one_device(batch: dict[str, torch.Tensor], **more: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Loss and gradients of the whole rows."""
    model = _model()
    loss = model(**batch, **more, num_items_in_batch=(batch["labels"][:, 1:] != -100).sum())["loss"]
    loss.backward()
    return loss.detach(), [weight.grad for weight in model.parameters()]


def _on_two(folder: Path, worker: Any, *arguments: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The sums over two ranks, each of which held a part of every row."""
    mp.spawn(worker, args=(str(folder), *arguments), nprocs=2)
    parts = [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]
    sums = [one + other for one, other in zip(parts[0]["grads"], parts[1]["grads"], strict=True)]
    return parts[0]["loss"] + parts[1]["loss"], sums


Step = tuple[torch.Tensor, list[torch.Tensor]]


def _apart(one: Step, other: Step, which: str) -> tuple[float, float]:
    """The difference of the loss; the largest of a gradient, as a share of its tensor's largest value. Printed too."""
    loss = abs(float(one[0] - other[0]))
    gradient = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one[1], other[1], strict=True))
    print(f"{which}: loss apart by {loss:.1e}, a gradient by {gradient:.1e} of its largest value")
    return loss, gradient


@by_ring
@pytest.mark.soak
def test_two_devices_train_what_one_would(tmp_path: Path) -> None:
    loss, gradient = _apart(_on_one_device(_batch()), _on_two(tmp_path, _shared), "one document per row")
    assert loss < 1e-6 and gradient < 1e-5


@by_ulysses
@pytest.mark.soak
@pytest.mark.parametrize("inner", ["sdpa", "flash_attention_2"])
def test_two_devices_keep_packed_documents_apart(inner: str, tmp_path: Path) -> None:
    pytest.importorskip("ringmaster")
    two = _on_two(tmp_path, _by_ulysses, inner)
    loss, gradient = _apart(_on_one_device(_packed()), two, f"Ulysses, {inner}, packed documents")
    assert loss < 1e-6  # it is taken of float32 logits: one unit in its last place is 5e-7
    assert gradient < 1e-6


def test_a_row_taken_for_one_document_trains_something_else() -> None:
    """What ring attention would do to packed rows: one causal mask for all documents of a row."""
    batch = _packed()
    mask = torch.full((LENGTH, LENGTH), -torch.inf, dtype=torch.float64).triu(1).expand(ROWS, 1, -1, -1)
    leaked = _on_one_device(batch, attention_mask=mask)
    loss, gradient = _apart(_on_one_device(batch), leaked, "one causal mask for a row of packed documents")
    assert loss > 1e-4 and gradient > 0.5


def test_every_prediction_is_made_once() -> None:
    labels = torch.arange(8)[None]
    shifted = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
    parts = [my_part(shifted, rank, 4).flatten().tolist() for rank in range(4)]
    assert parts == [[1, 2], [3, 4], [5, 6], [7, -100]]
