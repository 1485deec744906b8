"""The memory of a real training step, tensor by tensor, for the model of `kormo_plugins/recipe/cost/memory.py`."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kormo_plugins.measures.flops import Shape
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.cost.memory import Setup
from kormo_plugins.training import checkpointed_layers

VOCABULARY_MULTIPLE = 64


def sizes(
    hidden: int, mlp: int, layers: int, heads: int, groups: int, head: int, vocabulary: int, **variant: Any
) -> dict[str, Any]:
    """The parameters of the component `kormo`, or of its `variant` with more of them, and `vocab_size`."""
    return {
        "hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": groups, "head_dim": head, "max_position_embeddings": 4096, "rope_theta": 500000.0,
        "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False,
        "vocab_multiple": VOCABULARY_MULTIPLE, "vocab_size": vocabulary, **variant,
    }  # fmt: skip


def setup(
    model: dict[str, Any],
    rows: int,
    length: int,
    weights: str,
    compute: str,
    checkpointing: bool,
    checkpointed: int | None = None,
) -> Setup:
    """The same step in the terms of the memory model: one process, AdamW, dense masks, no fused kernels."""
    shape = Shape.of(model)
    count = shape.matmul_parameters + shape.vocab_rows * shape.hidden_size + shape.norm_parameters
    width = {"float32": 4, "bfloat16": 2}
    return Setup(
        shape, count, count, ranks=1, rows=rows, sequence_len=length, weight_bytes=width[weights],
        compute_bytes=width[compute], master_bytes=0, moment_bytes=2 * width[weights], autocast=weights != compute,
        checkpointing=checkpointing, checkpointed=checkpointed, foreach_bytes=0, cuda=False,
    )  # fmt: skip


def measure(
    model: dict[str, Any],
    rows: int,
    length: int,
    weights: str,
    compute: str,
    checkpointing: bool,
    checkpointed: int | None = None,
) -> dict[str, int]:
    """Bytes of the tensors of a training step with AdamW in which gradients are accumulated.

    Returns:
        `weights`, `gradients`, `optimizer`: the tensors themselves. `activations`: what autograd saved, each storage
        once, weights and what has the vocabulary's size apart. `total`: all tensors alive at the worst moment.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    name = "kormo_moe" if "num_local_experts" in model else "kormo"
    family = registry().load("architecture", name)
    family.register()
    values = {key: value for key, value in model.items() if key != "vocab_size"}
    params = registry().params("architecture", name, values)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    config = family.config(params, vocab_size=model["vocab_size"], **ids)
    config.use_cache = False
    config._attn_implementation = "sdpa"
    net = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, weights)).train()
    if checkpointed is not None:
        checkpointed_layers.limit(net, checkpointed)
    if checkpointing:
        net.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    vocabulary = net.config.vocab_size
    batch = torch.randint(vocabulary, (rows, length))
    positions = torch.cat([torch.arange(length // 2)] * 2).repeat(rows, 1)  # two documents in each row

    def forward() -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=weights != compute):
            return net(input_ids=batch, labels=batch, position_ids=positions, num_items_in_batch=batch.numel()).loss

    forward().backward()
    optimizer.step()
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    saved: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and not (vocabulary in tensor.shape and batch.numel() in tensor.shape):
            saved.setdefault(storage.data_ptr(), storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = forward()
    kept = sum(storage.nbytes() for storage in saved.values())
    saved.clear()
    del loss
    state = [value for entry in optimizer.state.values() for value in entry.values() if value.dim()]
    start = [*net.parameters(), *(parameter.grad for parameter in net.parameters()), *state]
    with _Live() as live:
        live.watch(start)
        forward().backward()
    return {
        "weights": sum(parameter.nbytes for parameter in net.parameters()),
        "gradients": sum(parameter.grad.nbytes for parameter in net.parameters()),
        "optimizer": sum(tensor.nbytes for tensor in state),
        "activations": kept,
        "total": live.peak,
    }


class _Live(TorchDispatchMode):
    """Counts the bytes of all storages alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def watch(self, tensors: Any) -> None:
        """Counts these from now until they are freed."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key in self._seen:
                continue
            self._seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.watch(leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor))
        return out
