"""Model FLOPs: FLOPs per token, and the peak FLOP/s of devices.

Training on one token costs, forward and backward, with N the parameters used in matrix products, L layers, h query
heads of size k, and an attention context of C tokens,

    6·N + 12·L·h·k·C        (PaLM, arXiv 2204.02311, appendix B; OLMo-core counts the same)

A weight costs one multiplication and one addition forward and twice that backward. The embedding lookup costs none of
these, and norms are negligible. Attention has two products of C·k per head, with the same factor of 6. As in both
sources, nothing is subtracted for causality and nothing is added for recomputation (FlashAttention's backward,
gradient checkpointing): this keeps MFU comparable.

C is the row length if documents attend to each other. Otherwise it is the length of a token's document, averaged over
tokens; counting whole rows would count work that is not done. Over a document of n tokens, 2p + 1 (p: position) sums to
n², so that average is 2·mean(position) + 1.

In a mixture of experts a token is multiplied with its experts and with the router. A multi-token prediction head is one
more layer and one more product with the output layer.

Pure arithmetic without torch, shared by `kormo recipe plan` and the trainer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that determine the FLOPs of a decoder with grouped-query attention and a SwiGLU MLP.

    Args:
        vocab_rows: rows of the output matrix, padding included.
        experts, experts_per_token: MLPs per layer, and those active for a token.
        future_tokens: layers that predict later tokens, each followed by the output layer.
        qk_norm: norms of queries and keys: `none`, `head` or `projection`.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_rows: int
    experts: int = 1
    experts_per_token: int = 1
    future_tokens: int = 0
    qk_norm: str = "none"

    @classmethod
    def of(cls, config: Mapping[str, Any], vocab_rows: int | None = None) -> Shape:
        """From a `config.json`, or from `kormo.architecture`, which has no `vocab_size`.

        Raises:
            KeyError: a size is missing.
        """
        heads = config["num_attention_heads"]
        return cls(
            config["hidden_size"],
            config["intermediate_size"],
            config["num_hidden_layers"],
            heads,
            config.get("num_key_value_heads") or heads,
            config.get("head_dim") or config["hidden_size"] // heads,
            config["vocab_size"] if vocab_rows is None else vocab_rows,
            config.get("num_local_experts") or 1,
            config.get("num_experts_per_tok") or 1,
            config.get("future_tokens") or 0,
            config.get("qk_norm") or "none",
        )

    @property
    def layers(self) -> int:
        """Decoder layers computed in a training step."""
        return self.num_hidden_layers + self.future_tokens

    @property
    def matmul_parameters(self) -> int:
        """Parameters used in matrix products: all except the input embedding and the norms."""
        return self._layers(self.experts) + self.vocab_rows * self.hidden_size

    @property
    def active_parameters(self) -> int:
        """Those used by one token; the output layer counts once for each token predicted."""
        outputs = 1 + self.future_tokens
        return self._layers(self.experts_per_token) + outputs * self.vocab_rows * self.hidden_size

    @property
    def norm_parameters(self) -> int:
        """Parameters of all norms: two per layer, those of queries and keys, and the final one."""
        heads = self.num_attention_heads + self.num_key_value_heads
        of_keys = {"none": 0, "head": 2 * self.head_dim, "projection": heads * self.head_dim}[self.qk_norm]
        return self.layers * (2 * self.hidden_size + of_keys) + self.hidden_size

    def _layers(self, experts: int) -> int:
        heads = self.num_attention_heads + self.num_key_value_heads
        attention = 2 * self.hidden_size * self.head_dim * heads  # q and o for h heads, k and v for g
        mlp = 3 * self.hidden_size * self.intermediate_size
        router = self.hidden_size * self.experts if self.experts > 1 else 0
        return self.layers * (attention + experts * mlp + router)


def attention_flops_per_token(shape: Shape, context: float) -> float:
    """FLOPs of QKᵀ and of the product with V, forward and backward, over a context of `context` tokens."""
    return 12 * shape.layers * shape.num_attention_heads * shape.head_dim * context


def model_flops_per_token(shape: Shape, sequence_len: int, documents_mean: float | None = None) -> float:
    """Training FLOPs per token, forward and backward.

    Args:
        sequence_len: tokens per row.
        documents_mean: length of a token's document, averaged over tokens (not over documents), if documents do not
            attend to each other; None: a row is one context.
    """
    context = sequence_len if documents_mean is None else documents_mean
    return 6 * shape.active_parameters + attention_flops_per_token(shape, context)


def documents_mean(mean_position: float) -> float:
    """`documents_mean` of rows whose positions restart at each document and average to `mean_position`."""
    return 2 * mean_position + 1


_HOPPER = {"bfloat16": 989.4e12, "tf32": 494.7e12, "float32": 66.9e12}

PEAK_FLOPS: dict[str, dict[str, float]] = {
    # NVIDIA H100 datasheet (SXM5, PCIe, NVL), without sparsity.
    "h100": _HOPPER,
    "h100_pcie": {"bfloat16": 756e12, "tf32": 378e12, "float32": 51e12},
    "h100_nvl": {"bfloat16": 835.5e12, "tf32": 417.5e12, "float32": 60e12},
    # NVIDIA H200 datasheet: same arithmetic as the H100.
    "h200": _HOPPER,
    "h200_nvl": {"bfloat16": 835.5e12, "tf32": 417.5e12, "float32": 60e12},
    # NVIDIA A100 datasheet, identical for SXM4 and PCIe.
    "a100": {"bfloat16": 312e12, "tf32": 156e12, "float32": 19.5e12},
    # NVIDIA HGX B200 datasheet, an eighth of the board, without sparsity.
    "b200": {"bfloat16": 2250e12, "tf32": 1125e12, "float32": 75e12},
    # NVIDIA L40S datasheet, without sparsity.
    "l40s": {"bfloat16": 362.05e12, "tf32": 183e12, "float32": 91.6e12},
    # NVIDIA Ada GPU architecture whitepaper, appendix A: tensor cores accumulating in float32, without sparsity.
    "rtx4090": {"bfloat16": 165.2e12, "tf32": 82.6e12, "float32": 82.6e12},
    # Nominal, for estimates only, never for MFU: one core with two 256-bit FMA units at 3 GHz.
    "cpu": {"bfloat16": 96e9, "float32": 96e9},
}
"""Dense peak in FLOP/s of one device by the dtype of its matrix products; `tf32` is float32 on tensor cores."""

_NAMES = (
    ("h100 pcie", "h100_pcie"),
    ("h100 nvl", "h100_nvl"),
    ("h100", "h100"),
    ("h200 nvl", "h200_nvl"),
    ("h200", "h200"),
    ("a100", "a100"),
    ("b200", "b200"),
    ("l40s", "l40s"),
    ("rtx 4090 laptop", None),
    ("rtx 4090", "rtx4090"),
)
"""Prefixes of device names as drivers report them; more specific ones first."""


def device_key(name: str) -> str | None:
    """The key in `PEAK_FLOPS` of a device name (`NVIDIA H100 80GB HBM3` -> `h100`); None if unknown.

    A name that only contains a known one (`GB200`, `A100X`) is a different device.
    """
    words = name.lower().replace("-", " ").replace("nvidia", " ").replace("geforce", " ").split()
    plain = " ".join(words) + " "
    return next((key for known, key in _NAMES if plain.startswith(known + " ")), None)


def peak_flops(device: str, dtype: str) -> float | None:
    """Dense peak in FLOP/s of a device (key or driver name) for `bfloat16` or `float32`; None if unknown."""
    key = device if device in PEAK_FLOPS else device_key(device)
    return None if key is None else PEAK_FLOPS[key].get(dtype)
