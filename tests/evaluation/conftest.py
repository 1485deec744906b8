"""A tiny KORMo checkpoint with a real tokenizer of its own, and made-up copies of datasets in their right columns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.documents.document import Document
from kormo_plugins.evaluation.mini import FAMILIES, LANGUAGES, items

SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": False, "vocab_multiple": 64,
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    """One thread: two on a shared machine wait for each other longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tokenizer for a base and for a chat model, learned from the mini suite."""
    from kormo_plugins.tokenizer.layout import write_role
    from kormo_plugins.tokenizer.params import TokenizerParams
    from kormo_plugins.tokenizer.training.train import train

    def texts() -> Iterator[Document]:
        for family in FAMILIES:
            for language in LANGUAGES:
                for item in items(family, language):
                    yield Document(item["id"], item["text"], language=language)

    folder = tmp_path_factory.mktemp("tokenizers")
    train(texts, TokenizerParams(vocab_size=420, megabytes=0.1), folder / "base")
    write_role(folder / "base", folder / "chat", "chat")
    return {"base": folder / "base", "chat": folder / "chat"}


def write_checkpoint(out: Path, tokenizer: Path, seed: int = 7, **shape: Any) -> Path:
    """A new model; of the tokenizer's role."""
    from kormo_plugins.architecture.family import KORMO
    from kormo_plugins.architecture.shape import KormoArchitecture
    from kormo_plugins.tokenizer.layout import read_layout

    layout = read_layout(tokenizer)
    chat = json.loads((tokenizer / "tokenizer_config.json").read_text())["eos_token"] == "<|EOT|>"
    out.mkdir(parents=True)
    KORMO.write_initial(
        out, KormoArchitecture(**{**SHAPE, **shape}), tokenizer=tokenizer, seed=seed, dtype="float32", generation={},
        bos_token_id=layout.bos, eos_token_id=layout.eot if chat else layout.eos, pad_token_id=layout.pad,
    )  # fmt: skip
    return out


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizers: dict[str, Path]) -> Path:
    """A base model that has learned nothing."""
    return write_checkpoint(tmp_path_factory.mktemp("model") / "base", tokenizers["base"], initializer_range=0.2)


@pytest.fixture(scope="session")
def chat_checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizers: dict[str, Path]) -> Path:
    """A chat model that has learned nothing."""
    return write_checkpoint(tmp_path_factory.mktemp("model") / "chat", tokenizers["chat"])


@pytest.fixture()
def registry() -> Any:
    from kormo_plugins.plugins.registry import registry

    return registry()


@pytest.fixture()
def opened(checkpoint: Path, registry: Any) -> Any:
    """The base checkpoint, looked at."""
    from kormo_plugins.evaluation.models.checkpoint import open_checkpoint

    return open_checkpoint(checkpoint, registry)


def rows_of(dataset: str, part: str, count: int = 12) -> list[dict[str, Any]]:
    """Made-up rows in the columns that the datasets have on the hub."""
    made: dict[tuple[str, str], Any] = {
        ("kobest_v1", "boolq"): lambda n: {
            "paragraph": f"나무가 {n}그루 있다.", "question": "나무가 있는가", "label": n % 2,
        },
        ("kobest_v1", "copa"): lambda n: {
            "premise": "비가 왔다.", "question": ("원인", "결과")[n % 2], "alternative_1": "구름이 끼었다.",
            "alternative_2": "해가 떴다.", "label": n % 2,
        },
        ("kobest_v1", "hellaswag"): lambda n: {
            "context": f"{n}시가 되었다.", "label": n % 4,
            **{f"ending_{k}": f"종이 {k}번 울렸다." for k in range(1, 5)},
        },
        ("kobest_v1", "sentineg"): lambda n: {"sentence": f"맛이 {n}점이다.", "label": n % 2},
        ("kobest_v1", "wic"): lambda n: {
            "word": "배", "context_1": "배를 먹었다.", "context_2": f"배를 {n}번 탔다.", "label": n % 2,
        },
        ("KMMLU", "Accounting"): lambda n: {
            "question": f"{n}의 두 배는?", "A": str(n), "B": str(2 * n), "C": str(3 * n), "D": "0", "answer": 2,
            "Category": "Accounting", "Human Accuracy": 0.5,
        },
        ("HAE_RAE_BENCH", "history"): lambda n: {
            "query": f"몇 번째인가? (A) 1 (B) 2 (C) 3 (D) 4 (E) {n}", "options": ["1"], "answer": f"({'ABCDE'[n % 5]})",
        },
        ("ai2_arc", "ARC-Easy"): lambda n: {
            "id": str(n), "question": f"What is {n}?", "answerKey": "ABCD"[n % 4],
            "choices": {"text": [str(n), "a tree", "a stone", "a river"], "label": ["A", "B", "C", "D"]},
        },
    }  # fmt: skip
    return [made[dataset, part](n) for n in range(count)]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSONL, or Parquet by the name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        from datasets import Dataset

        Dataset.from_list(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    """Four datasets in four layouts: a folder for each configuration, a copy of a hub repository with its README,
    files side by side, and a hub cache."""
    folder = tmp_path / "data"
    for part in ("boolq", "copa", "hellaswag", "sentineg", "wic"):
        for split in ("train", "test"):
            write_rows(folder / "kobest_v1" / part / f"{split}.jsonl", rows_of("kobest_v1", part))
    kmmlu = folder / "HAERAE-HUB" / "KMMLU"
    for split in ("train", "dev", "test"):
        write_rows(kmmlu / "data" / f"Accounting-{split}.parquet", rows_of("KMMLU", "Accounting"))
    (kmmlu / "README.md").write_text(
        "---\nlicense: cc-by-nd-4.0\nconfigs:\n- config_name: Accounting\n  data_files:\n"
        + "".join(f"  - split: {s}\n    path: data/Accounting-{s}.parquet\n" for s in ("train", "dev", "test"))
        + "---\n\n# KMMLU\n",
        encoding="utf-8",
    )
    write_rows(folder / "HAE_RAE_BENCH" / "history-test.jsonl", rows_of("HAE_RAE_BENCH", "history"))
    cached = folder / "datasets--allenai--ai2_arc" / "snapshots" / "0123abcd" / "ARC-Easy"
    for split in ("train", "validation", "test"):
        write_rows(cached / f"{split}-00000-of-00001.parquet", rows_of("ai2_arc", "ARC-Easy"))
    return folder


@pytest.fixture()
def ask(opened: Any, registry: Any, tmp_path: Path) -> Any:
    """Scores tasks of the base checkpoint (or another) and gives the rows; `load` counts how often it was called."""
    from kormo_plugins.evaluation import run
    from kormo_plugins.evaluation.models.model import Model
    from kormo_plugins.evaluation.record import Record

    class Ask:
        loaded = 0
        said: list[str] = []  # noqa: RUF012

        def __call__(self, tasks: list[str], *, suites: Any = (), model: Any = opened, limit: int | None = None,
                     data: Path | None = None, out: str = "out", batch_size: int = 8, **more: Any) -> Any:  # fmt: skip
            def load() -> Any:
                self.loaded += 1
                return Model(model.path, batch_size=batch_size, device="cpu")

            lines = run.find_lines(suites, tasks, limit, registry)
            record = Record(tmp_path / out, model)
            return run.evaluate(lines, model, record, registry, data=data, load=load, say=self.said.append, **more)

    return Ask()


def with_positions(model: Any, positions: int) -> Any:
    """The same checkpoint, declared for another length."""
    return replace(model, positions=positions)
