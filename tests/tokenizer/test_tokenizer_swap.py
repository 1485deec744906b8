"""Roles and swaps: the same ids for base and chat, foreign layouts, and the rows of a new vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.layout import read_layout, tokenizer_hash, write_role
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.swap import apply_swap, plan_swap
from kormo_plugins.tokenizer.training.train import train


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory, texts: Any) -> Path:
    path = tmp_path_factory.mktemp("larger")
    train(texts(500, seed=5), TokenizerParams(vocab_size=1900, megabytes=0.4), path)
    return path


def test_base_and_chat_differ_in_eos_alone(folder: Path, chat_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    assert read_layout(folder) == read_layout(chat_folder)
    assert tokenizer_hash(folder) == tokenizer_hash(chat_folder)
    base, chat = (AutoTokenizer.from_pretrained(place) for place in (folder, chat_folder))
    assert (base.eos_token, base.eos_token_id) == ("<|EOS|>", 1531)
    assert (chat.eos_token, chat.eos_token_id) == ("<|EOT|>", 1540)
    assert base.pad_token_id == chat.pad_token_id == 1532
    assert base.bos_token_id == chat.bos_token_id == 1530
    assert base("가 a\n\n1").input_ids == chat("가 a\n\n1").input_ids
    write_role(chat_folder, tmp_path, "base")
    for file in folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_role_can_be_written_in_place(folder: Path, tmp_path: Path) -> None:
    write_role(folder, tmp_path, "base")
    write_role(tmp_path, tmp_path, "chat")
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["eos_token"] == "<|EOT|>"
    with pytest.raises(KormoError, match="Did you mean 'chat'"):
        write_role(folder, tmp_path, "chatt")  # type: ignore[arg-type]


def test_hash_sees_content_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(content, indent=4, sort_keys=True))
    assert tokenizer_hash(tmp_path) == tokenizer_hash(folder)
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert tokenizer_hash(tmp_path) == tokenizer_hash(folder)
    content["normalizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert tokenizer_hash(tmp_path) != tokenizer_hash(folder)


@pytest.fixture
def foreign(folder: Path, tmp_path: Path) -> Path:
    """ChatML's names for the tokens."""
    names = {"<|EOS|>": "<|endoftext|>", "<|BOT|>": "<|im_start|>", "<|EOT|>": "<|im_end|>"}
    content = json.loads((folder / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    return tmp_path


def test_foreign_layout_needs_a_mapping(foreign: Path, folder: Path) -> None:
    with pytest.raises(KormoError, match=r"the role 'eos'.*no token"):
        read_layout(foreign)
    mapping = {"eos": "<|endoftext|>", "bot": "<|im_start|>", "eot": "<|im_end|>"}
    assert read_layout(foreign, mapping) == read_layout(folder)
    for bad, why in (
        ({"eoss": "x"}, "Did you mean 'eos'"),
        (mapping | {"eos": "<|im_end|>"}, "both are the token"),
        (mapping | {"pad": "<|endoftext|>"}, "never learn where to stop"),
        (mapping | {"think": "<thought>"}, "no token '<thought>'"),
    ):
        with pytest.raises(KormoError, match=why):
            read_layout(foreign, bad)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no such file"),
        ("{", "cannot be read"),
        ("[]", "a JSON object is needed"),
        ('{"model": {"type": "Unigram"}}', "Unigram"),
    ],
)
def test_broken_folders(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(KormoError, match=why):
        read_layout(tmp_path)


@pytest.mark.parametrize("turned", [False, True])
def test_rows_after_a_swap(folder: Path, larger: Path, turned: bool) -> None:
    """Growing and shrinking, against a plain loop."""
    import torch
    from tokenizers import Tokenizer

    old, new = (larger, folder) if turned else (folder, larger)
    plan = plan_swap(old, new)
    first, second = (Tokenizer.from_file(str(place / "tokenizer.json")) for place in (old, new))
    before, after = read_layout(old), read_layout(new)
    torch.manual_seed(0)
    weights = {
        "model.embed_tokens.weight": torch.randn(before.rows(), 8),
        "lm_head.weight": torch.randn(before.rows(), 8).bfloat16(),
        "model.norm.weight": torch.randn(8),
    }
    swapped = apply_swap(weights, plan, after.rows())
    assert swapped["model.norm.weight"] is weights["model.norm.weight"]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        was, now = weights[name], swapped[name]
        assert now.shape == (after.rows(), 8)
        assert now.dtype == was.dtype
        for place in range(after.size):
            token = second.id_to_token(place)
            same = first.token_to_id(token)
            if same is not None:
                assert torch.equal(now[place], was[same]), token
                continue
            pieces = [piece.id for piece in first.model.tokenize(token)]
            assert len(pieces) > 1
            torch.testing.assert_close(now[place].float(), was[pieces].float().mean(0), rtol=1e-2, atol=1e-2)
        mean = was[: before.size].float().mean(0).to(was.dtype)
        assert torch.equal(now[after.size :], mean.expand(after.rows() - after.size, 8))
    assert sum(plan.counts().values()) == after.size
    assert plan.counts()["copied"] >= 256 + 41


def test_swap_with_itself_changes_nothing(folder: Path) -> None:
    import torch

    plan = plan_swap(folder, folder)
    assert np.array_equal(plan.ids, np.arange(plan.new_size))
    weight = torch.randn(read_layout(folder).rows(), 4, dtype=torch.float64)
    swapped = apply_swap({"lm_head.weight": weight}, plan, len(weight))["lm_head.weight"]
    assert torch.equal(swapped[: plan.new_size], weight[: plan.new_size])


def test_bad_swaps(folder: Path, larger: Path) -> None:
    import torch

    plan = plan_swap(folder, larger)
    for weights, rows, why in (
        ({"x": torch.zeros(1, 1)}, 2048, "no weight named"),
        ({"lm_head.weight": torch.zeros(1541, 1)}, 1900, "each id needs a row"),
        ({"lm_head.weight": torch.zeros(1540, 1)}, 2048, "not the one this model was trained with"),
    ):
        with pytest.raises(KormoError, match=why):
            apply_swap(weights, plan, rows)
