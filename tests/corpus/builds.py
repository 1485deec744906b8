"""What the tests of builds share: texts, steps, and a hash of all that a build wrote."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from kormo_plugins.store.atomic import SUFFIX

STEPS: tuple[dict[str, Any], ...] = (
    {"name": "normalize"},
    {"name": "exact_dedup"},
    {"name": "length", "minimum": 12},
    {"name": "minhash_dedup", "min_words": 3},
)


def tree_hash(folder: Path) -> str:
    """Of all files but those that a killed writer left under a temporary name: whoever publishes removes them."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != SUFFIX):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of which some are short, some the same, some nearly."""
    dice = random.Random(seed)
    words = [f"{a}{b}" for a in "가나다라마바사아" for b in ("을", "는", "에서", "하고", "했다.")]
    found = [" ".join(dice.choices(words, k=dice.randint(1, 60))) for _ in range(count)]
    for i in range(0, count, 9):
        found[i] = dice.choice(found)
    return found
