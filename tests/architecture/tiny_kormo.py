"""Special tokens and generation settings of the tests' tiny model."""

from __future__ import annotations

from typing import Any

IDS = {"bos_token_id": 297, "eos_token_id": 298, "pad_token_id": 299}
GENERATION: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "max_new_tokens": 20}
