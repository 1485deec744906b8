"""Chunk size of `one_pass_loss.py`; without torch, since the memory model uses it too."""

from __future__ import annotations

CHUNK_BYTES = {"cpu": 8 << 20, "cuda": 512 << 20}
"""Bytes of logits per chunk, in their own dtype: on a CPU what a cache holds; on a GPU enough to saturate it."""

WHOLE_BYTES = 256 << 20
"""Up to this size a CPU keeps the gradients of all logits, so that the weight gradient is one product, as in torch."""


def chunk_tokens(tokens: int, vocabulary: int, width: int, device: str = "cpu") -> int:
    """Tokens per chunk: a power of two between 16 and 4,096.

    Args:
        tokens: of the micro-batch.
        vocabulary: rows of the output layer.
        width: bytes of a logit.
        device: `cpu` or `cuda`.
    """
    wanted = CHUNK_BYTES.get(device, CHUNK_BYTES["cuda"]) // max(1, vocabulary * width)
    return max(1, min(tokens, 4096, max(16, 1 << max(0, wanted.bit_length() - 1))))
