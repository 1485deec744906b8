"""How many tokens' logits exist at a time in `one_pass_loss.py`; without torch, for the memory model too."""

from __future__ import annotations

CHUNK_BYTES = {"cpu": 8 << 20, "cuda": 512 << 20}
"""Logits that exist at a time, in their own dtype: what a cache holds; what fills a GPU and is small beside a model."""

WHOLE_BYTES = 256 << 20
"""Up to this a CPU keeps the gradients of all logits, so that those of the weights are one product, as in torch."""


def chunk_tokens(tokens: int, vocabulary: int, width: int, device: str = "cpu") -> int:
    """Tokens whose logits exist at a time: a power of two between 16 and 4,096.

    Args:
        tokens: of the micro-batch.
        vocabulary: rows of the output layer.
        width: bytes of a logit.
        device: `cpu` or `cuda`.
    """
    wanted = CHUNK_BYTES.get(device, CHUNK_BYTES["cuda"]) // max(1, vocabulary * width)
    return max(1, min(tokens, 4096, max(16, 1 << max(0, wanted.bit_length() - 1))))
