"""Memory that one rank of a training needs, in bytes, by part.

With P parameters, N ranks, and bytes w of a weight, c of a compute value, o of the optimizer's state per parameter:

    weights      P·w                 shared by the N ranks from ZeRO-3 on
    gradients    P·g                 shared from ZeRO-2 on; g is the weights' dtype, or DeepSpeed's grad_accum_dtype
    optimizer    P·o                 shared from ZeRO-1 on; moments, and the master weights where there are any
    activations  tensors kept by autograd for the backward pass; see below
    logits       12·T·V at the worst moment: log-probabilities, their gradient and that of the logits, all float32;
                 or a chunk of them and the gradients of states and output weights, if the loss is one pass
    buffers      communication buffers of DDP or ZeRO, temporaries of the optimizer's step, the CUDA context

(Rajbhandari et al. 2020, arXiv 1910.02054, for the ZeRO stages.) The activations are counted tensor by tensor from the
model's own code, for T = rows × length tokens in a micro-batch, hidden size d, MLP size f, h query and g key heads of
size k, bytes r of the residual stream (that of the weights):

    norm         (2 per layer and 1)   x in float32, x / rms in r, and the output once for each matrix that uses it
    attention    (per layer)           q, k, v and the output in c, log-sum-exp of each head, and a dense mask if any
    MLP          (per layer)           gate, up, silu(gate) and their product in c

In a mixture of experts, the MLP's part counts once for each expert of a token, as do its input and output. Heads of
multi-token prediction are layers, and the logits of each are kept for the backward pass.

Autocast (float32 weights, bfloat16 products) keeps a bfloat16 copy of each matrix, and one of each input per matrix
that uses it. Liger's kernels keep less: a norm only its input, the MLP no silu(gate), the fused cross entropy a chunk
of the logits. Gradient checkpointing keeps the input of each layer, and everything of the layer being recomputed.

`tests/benchmarks/memory.py` compares each part with the tensors of a real training step.
"""

from __future__ import annotations

from dataclasses import dataclass

from kormo_plugins.kernels.chunks import WHOLE_BYTES, chunk_tokens
from kormo_plugins.measures.flops import Shape

GB = 1e9

CONTEXT_BYTES = 1_000_000_000
"""CUDA context and NCCL channels of one process, which no allocator reports."""

FRAGMENTATION = 0.02
"""Fragmentation of the caching allocator, as a share of allocated memory: measured in three runs on an H100
(`tests/recipe/test_memory.py`)."""


@dataclass(frozen=True)
class Zero:
    """The settings of a DeepSpeed configuration that affect memory.

    Args:
        stage: of ZeRO; 0 shares nothing.
        gradient_bytes: of an accumulated gradient; None: as the weights.
        sent: elements of all communication buffers of gradients and weights.
        live: maximum number of parameters that ZeRO-3 holds gathered.
    """

    stage: int = 0
    offload_optimizer: bool = False
    offload_param: bool = False
    gradient_bytes: int | None = None
    sent: int = 0
    live: int = 1_000_000_000


@dataclass(frozen=True)
class Setup:
    """Everything that determines the memory of a rank.

    Args:
        parameters: of the whole model.
        trainable: trained parameters (not all, with an adapter).
        rows: of a micro-batch.
        weight_bytes: per parameter; slightly above 0.5 in 4 bits.
        compute_bytes: per element of a matrix product.
        master_bytes: per separate master weight, 0 if there is none.
        moment_bytes: of all optimizer moments, per parameter.
        autocast: the weights are cast for each product.
        keys_repeated: attention gets one key and value per query head.
        dense_mask: attention gets a mask of length × length per row.
        kernels: fused kernels: `rms_norm`, `swiglu`, `fused_linear_cross_entropy`; and `one_pass`, our loss.
        foreach_bytes: temporaries of the optimizer's step, per parameter.
        checkpointed: with `checkpointing`, number of layers whose activations are recomputed; None: all.
        cuda: on a GPU, with a CUDA context and the caching allocator.
    """

    shape: Shape
    parameters: int
    trainable: int
    ranks: int
    rows: int
    sequence_len: int
    weight_bytes: float
    compute_bytes: int
    master_bytes: int
    moment_bytes: float
    autocast: bool
    zero: Zero | None = None
    checkpointing: bool = False
    checkpointed: int | None = None
    keys_repeated: bool = True
    dense_mask: bool = True
    kernels: frozenset[str] = frozenset()
    foreach_bytes: int = 4
    cuda: bool = True

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch."""
        return self.rows * self.sequence_len

    @property
    def residual_bytes(self) -> int:
        """Bytes per element of the residual stream: the embedding's dtype, which autocast does not change."""
        return 4 if self.autocast else self.compute_bytes


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank, by part; see the module docstring. `host` is memory of the machine, not of the device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int
    host: int = 0

    @property
    def total(self) -> int:
        """Peak memory of the device, in bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers


def memory(setup: Setup) -> Memory:
    """Bytes of one rank of this setup."""
    zero, ranks = setup.zero or Zero(), setup.ranks
    weights = setup.parameters * setup.weight_bytes / (ranks if zero.stage >= 3 else 1)
    gradient_bytes: float = zero.gradient_bytes or setup.weight_bytes
    if setup.zero is None and setup.master_bytes:
        gradient_bytes = setup.master_bytes  # those of the masters
    if setup.trainable < setup.parameters:
        gradient_bytes = 4  # adapters are float32, in addition to the weights
        weights += 4 * setup.trainable
    gradients = setup.trainable * gradient_bytes / (ranks if zero.stage >= 2 else 1)
    state = setup.trainable * (setup.master_bytes + setup.moment_bytes) / (ranks if zero.stage >= 1 else 1)
    host = 0.0
    if zero.offload_optimizer:
        host += state + (gradients if zero.stage >= 2 else 0)
        state, gradients = 0, gradients if zero.stage < 2 else 0
    if zero.offload_param and zero.stage >= 3:
        host += weights
        weights = 0
    kept, logits = activation_bytes(setup), logit_bytes(setup)
    buffers = _sent(setup) + max(0, _step(setup) - kept - logits)
    if setup.cuda:
        known = weights + gradients + state + kept + logits + buffers
        buffers += CONTEXT_BYTES + FRAGMENTATION * known
    return Memory(*(int(part) for part in (weights, gradients, state, kept, logits, buffers, host)))


def activation_bytes(setup: Setup) -> int:
    """What the forward pass keeps for the backward pass, without the logits.

    With gradient checkpointing, the layer being recomputed counts if it needs more than the logits, which are freed
    before the backward pass reaches the layers.
    """
    shape, tokens = setup.shape, setup.tokens
    whole = tokens * layer_bytes(setup) + mask_bytes(setup)
    around = tokens * (
        _norm(setup, 1) + 2 * shape.head_dim * setup.residual_bytes + 16
    )  # final norm, RoPE, ids, labels
    output = shape.vocab_rows * shape.hidden_size
    copies = setup.compute_bytes * (shape.matmul_parameters - output) if setup.autocast else 0
    around += setup.compute_bytes * output if setup.autocast else 0
    twice = min(shape.layers, setup.checkpointed or shape.layers) if setup.checkpointing else 0
    kept = (shape.layers - twice) * (whole + copies // shape.layers)
    if not twice:
        return shape.layers * whole + around + copies
    # autocast frees its copies after the forward pass, whose logits take a sixth less than those of the backward pass
    gradient = (
        setup.compute_bytes * tokens * (shape.intermediate_size + shape.hidden_size)
    )  # on its way through the MLP
    more = max(
        0,
        whole + gradient - kept - logit_bytes(setup),  # the layers that keep theirs are freed by then
        copies * twice // shape.layers - 2 * tokens * shape.vocab_rows,
    )
    mask = setup.rows * setup.sequence_len**2 if setup.dense_mask else 0  # the boolean mask, which the layers share
    return kept + tokens * twice * shape.hidden_size * setup.residual_bytes + mask + around + more


def layer_bytes(setup: Setup) -> int:
    """Bytes per token that one layer keeps, without its mask."""
    shape, c = setup.shape, setup.compute_bytes
    heads, groups = shape.num_attention_heads, shape.num_key_value_heads
    keys = heads if setup.keys_repeated and groups > 1 else groups  # a single one is repeated without a copy
    attention = c * shape.head_dim * (2 * heads + 2 * keys) + 4 * heads
    mlp = c * shape.intermediate_size * (3 if "swiglu" in setup.kernels else 4)
    if shape.experts > 1:  # gathered inputs and weighted outputs of each expert
        mlp = shape.experts_per_token * (mlp + 3 * c * shape.hidden_size)
    norms = 2 * (8 * shape.head_dim * (heads + groups)) if shape.qk_norm != "none" else 0
    return _norm(setup, 3) + attention + _norm(setup, 2) + mlp + norms


def _norm(setup: Setup, matrices: int) -> int:
    """Bytes per token of an RMSNorm whose output goes into so many matrices."""
    d, r = setup.shape.hidden_size, setup.residual_bytes
    kept = r * d if "rms_norm" in setup.kernels else 4 * d + r * d  # x, or float32 x and x / rms
    return 4 + kept + setup.compute_bytes * d * (matrices if setup.autocast else 1)


def mask_bytes(setup: Setup) -> int:
    """The mask of one layer, which converts the shared boolean mask to float."""
    return setup.rows * setup.sequence_len**2 * setup.compute_bytes if setup.dense_mask else 0


def logit_bytes(setup: Setup) -> int:
    """Peak memory of the output layer and the loss."""
    shape, tokens = setup.shape, setup.tokens
    if "one_pass" in setup.kernels:
        return _one_pass_bytes(setup)
    # logits of later tokens, in float32, and their log-softmax
    waiting = 8 * shape.future_tokens * tokens * shape.vocab_rows
    if "fused_linear_cross_entropy" not in setup.kernels:
        return 12 * tokens * shape.vocab_rows + waiting
    chunks = -(-shape.vocab_rows // shape.hidden_size)
    chunk = 1 << max(0, (-(-tokens // chunks) - 1).bit_length())  # a power of two, as Liger chooses it
    matrix = shape.vocab_rows * shape.hidden_size
    # Liger: the gradient in the weights' dtype, to which torch adds products in float32 without a copy, beside a cast
    # of the weights; in half precision it adds a product of its own and that in float32
    gradient = matrix * (
        4 + setup.compute_bytes if setup.autocast else int(setup.weight_bytes) + setup.compute_bytes + 4
    )
    return (
        min(chunk, tokens) * shape.vocab_rows * setup.compute_bytes
        + tokens * shape.hidden_size * 4
        + gradient
        + waiting
    )


def _one_pass_bytes(setup: Setup) -> int:
    """`kernels/one_pass_loss.py`: logits of a chunk, what turns them into gradients, and the gradients of states and
    weights (in float32)."""
    shape, tokens, c = setup.shape, setup.tokens, setup.compute_bytes
    vocabulary, matrix = shape.vocab_rows, shape.vocab_rows * shape.hidden_size
    chunk = chunk_tokens(tokens, vocabulary, c, "cuda" if setup.cuda else "cpu")
    logits = chunk * vocabulary * c
    if not setup.cuda and tokens * vocabulary * c <= WHOLE_BYTES:
        logits = tokens * vocabulary * c
    # torch: log-probabilities, and a gradient where not in place
    if "fused_linear_cross_entropy" not in setup.kernels:
        logits += chunk * vocabulary * (4 if c == 4 else 10)
    cast = matrix * c if setup.autocast else 0
    rounded = matrix * int(setup.weight_bytes) if setup.weight_bytes < 4 else 0  # given out in the weights' dtype
    return logits + tokens * shape.hidden_size * setup.residual_bytes + 4 * matrix + max(cast, rounded)


def _sent(setup: Setup) -> float:
    """Buffers for the communication of gradients and weights between ranks."""
    zero = setup.zero
    if zero is None:
        return setup.trainable * setup.weight_bytes if setup.ranks > 1 else 0  # DDP's buckets hold every gradient
    live = min(zero.live, setup.parameters) if zero.stage >= 3 else 0
    return (zero.sent + live) * setup.compute_bytes


def _step(setup: Setup) -> float:
    """Temporaries of the optimizer's step, when activations and logits are freed."""
    zero = setup.zero or Zero()
    if zero.offload_optimizer:
        return 0
    flat = 4 if setup.zero is not None else 0  # DeepSpeed flattens its gradients first
    return setup.trainable * (setup.foreach_bytes + flat) / (setup.ranks if zero.stage >= 1 else 1)
