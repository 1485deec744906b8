"""Mini-suite accuracy inside the loop is what brute force finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.evaluation.mini import items
from kormo_plugins.monitoring.mini_suite import FAMILIES, Mini
from kormo_plugins.monitoring.monitor import RunView
from kormo_plugins.monitoring.params import MiniParams


def tiny_model(vocab_size: int) -> Any:
    """A Llama of a few thousand parameters, with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=1, initializer_range=0.4,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer of ours, trained on the items themselves."""
    from kormo_plugins.documents.document import Document
    from kormo_plugins.plugins.registry import registry

    texts = [
        Document(item["id"], item["text"], language=language)
        for family in FAMILIES for language in ("ko", "en") for item in items(family, language, 30)
    ]  # fmt: skip
    out = tmp_path_factory.mktemp("tokenizer")
    params = registry().params("tokenizer", "kormo_bpe", {"vocab_size": 400})
    registry().load("tokenizer", "kormo_bpe")(lambda: iter(texts), params, out)
    return out


def test_the_likeliest_option_by_brute_force(tokenizer: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    model = tiny_model(vocab_size=len(loaded) + 7).eval()
    special = {"bos": loaded.bos_token_id, "eos": loaded.eos_token_id, "pad": loaded.pad_token_id}
    monitor = Mini(MiniParams(every_steps=1, items=6))
    monitor.open(RunView(tmp_path, tokenizer, special=special, sequence_len=96, micro_batch_size=4))
    with torch.no_grad():
        found = monitor.measure(model, 0)

    def nll(text: str) -> float:
        ids = torch.tensor([[special["bos"], *loaded.encode(text, add_special_tokens=False)]])
        with torch.no_grad():
            scores = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].double(), dim=-1)
        return -float(scores.gather(1, ids[0, 1:, None]).sum())

    right: dict[str, list[bool]] = {}
    for language in ("ko", "en"):
        for family in FAMILIES:
            for item in items(family, language, 6):
                options = [nll(item["question"] + option) for option in item["choices"]]
                hit = options.index(min(options)) == item["answer"]
                for key in ("mini/acc", f"mini/acc/{language}", f"mini/acc/{family}"):
                    right.setdefault(key, []).append(hit)
    assert found == pytest.approx({key: sum(hits) / len(hits) for key, hits in right.items()})
    assert 0 < found["mini/acc"] < 0.6


def test_without_a_tokenizer_it_says_so(tmp_path: Path) -> None:
    from kormo_plugins.errors import KormoError

    view: Any = RunView(tmp_path, None)
    with pytest.raises(KormoError, match="no tokenizer prepared by kormo-plugins"):
        Mini(MiniParams(every_steps=1)).open(view)
