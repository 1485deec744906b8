"""A tiny model with a real tokenizer, as a base and as a chat model, and text of both languages to ask it with."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from kormo_plugins.architecture.checkpoint import write_initial
from kormo_plugins.architecture.files import read_weights, write_weights
from kormo_plugins.architecture.shape import KormoArchitecture
from kormo_plugins.tokenizer.layout import read_layout, write_role
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training.train import train
from tests.tokenizer.conftest import made_up

EDGES = [
    "서울은 대한민국의 수도이다.\n\n\n1971년 5월", "  두  칸 \t 12345", "it's I'LL we've don't", "🙂👨‍👩‍👧 값 ＝ 12.5",
    "def f(x):\n    return x  # 주석\n\n\n\n", "a\r\nb", "ㄱㄴㄷ 漢字 かな", "<think>\n\n</think>\n\n답",
]  # fmt: skip


def sentences(number: int) -> list[str]:
    """So many texts, composed (NFC), the edges first."""
    documents = [document.text[:200] for document in made_up(number, seed=5)()]
    return [unicodedata.normalize("NFC", text) for text in [*EDGES, *documents]][:number]


def tokenizer(out: Path) -> Path:
    """A tokenizer of 1,500 tokens."""
    train(made_up(500), TokenizerParams(vocab_size=1500, megabytes=0.4), out)
    return out


def checkpoint(out: Path, source: Path, values: dict[str, Any], role: str = "base") -> Path:
    """A model of random weights, large enough that its answers differ, with the tokenizer in `source`."""
    spoken = out.with_name(f"{out.name}-tokenizer")
    write_role(source, spoken, role)  # type: ignore[arg-type]
    layout = read_layout(spoken)
    end = layout.eot if role == "chat" else layout.eos
    out.mkdir()
    write_initial(
        out, KormoArchitecture(**values), tokenizer=spoken, seed=3, dtype="float32", bos_token_id=layout.bos,
        eos_token_id=end, pad_token_id=layout.pad, generation={"do_sample": True, "temperature": 0.7, "top_p": 0.9},
    )  # fmt: skip
    weights = read_weights(out / "model.safetensors")
    write_weights(out / "model.safetensors", {n: w * 6 if w.ndim > 1 else w * 1.3 for n, w in weights.items()})
    return out
