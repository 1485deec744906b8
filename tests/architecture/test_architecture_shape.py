"""The shape of a model: what a recipe may say, and how many parameters come of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.architecture.shape import KormoArchitecture, padded_vocab_size, parameters
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import checked, registry

SIZES = Path(__file__).parents[2] / "recipes" / "sizes"
PUBLISHED = {"10b": 10_756_624_384, "1b": 1_318_127_616}


def size(name: str) -> KormoArchitecture:
    """The shape of a recipe in `recipes/sizes/`, checked as a recipe is."""
    block = yaml.safe_load((SIZES / f"{name}.yml").read_text())["kormo"]["architecture"]
    return registry().params("architecture", block.pop("name"), block)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("vocabulary", [125_041, 125_184])
def test_published_sizes_have_the_published_number_of_parameters(name: str, vocabulary: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from kormo_plugins.architecture.family import KORMO

    params = size(name)
    KORMO.register()
    config = KORMO.config(
        params, vocab_size=vocabulary, bos_token_id=125_030, eos_token_id=125_031, pad_token_id=125_032
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert config.vocab_size == 125_184
    assert sum(weight.numel() for weight in model.parameters()) == PUBLISHED[name]
    assert parameters(params, vocabulary)["total"] == PUBLISHED[name]


@pytest.mark.parametrize("tied", [False, True])
def test_arithmetic_agrees_with_the_model_part_by_part(values: dict[str, Any], tied: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from kormo_plugins.architecture.family import KORMO

    params = KormoArchitecture(**{**values, "tie_word_embeddings": tied})
    KORMO.register()
    config = KORMO.config(params, vocab_size=300, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    words = {
        "input_embedding": "embed_tokens", "attention": "self_attn", "mlp": ".mlp.", "norms": "norm.",
        "lm_head": "lm_head",
    }  # fmt: skip
    counted = {
        part: sum(weight.numel() for name, weight in model.named_parameters() if word in name)
        for part, word in words.items()
    }
    assert parameters(params, 300) == {**counted, "total": sum(w.numel() for w in model.parameters())}


def test_nano_keeps_the_proportions_of_the_10b() -> None:
    nano, large = size("nano"), size("10b")
    body = parameters(nano, 16_000)
    assert 900_000 < body["total"] - body["input_embedding"] - body["lm_head"] < 3_000_000
    for shape in (nano, large):
        assert shape.intermediate_size == 4 * shape.hidden_size
        assert shape.num_attention_heads == 4 * shape.num_key_value_heads
        assert shape.num_attention_heads * shape.head_dim == shape.hidden_size


@pytest.mark.parametrize("length", [1, 127, 128, 129, 125_041])
def test_rows_are_the_next_multiple_and_rounding_twice_changes_nothing(length: int) -> None:
    rows = padded_vocab_size(length, 128)
    assert rows % 128 == 0 and 0 <= rows - length < 128 and padded_vocab_size(rows, 128) == rows


def test_every_value_is_required_and_described(values: dict[str, Any]) -> None:
    assert set(values) == set(KormoArchitecture.model_fields)
    for name, field in KormoArchitecture.model_fields.items():
        assert field.is_required() and field.description, name


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_attention_heads", 7, "does not divide hidden_size 64"),
        ("num_key_value_heads", 3, "does not divide num_attention_heads 8"),
        ("head_dim", 15, "odd"),
        ("hidden_size", 0, "greater than 0"),
        ("num_hidden_layers", 2.5, "whole number"),
        ("rope_theta", float("inf"), "finite"),
        ("rms_norm_eps", -1e-5, "greater than 0"),
        ("tie_word_embeddings", "sometimes", "true or false"),
        ("vocab_multiple", 0, "greater than 0"),
        ("hidden_sise", 64, "Did you mean 'hidden_size'?"),
    ],
)
def test_a_bad_value_is_told_with_its_key(values: dict[str, Any], key: str, value: Any, told: str) -> None:
    with pytest.raises(KormoError) as caught:
        checked(KormoArchitecture, {**values, key: value}, "recipe.yml: kormo.architecture")
    assert caught.value.where == f"recipe.yml: kormo.architecture.{key}"
    assert told in str(caught.value)


def test_naming_the_component_imports_neither_torch_nor_transformers() -> None:
    program = (
        "import sys\n"
        "from kormo_plugins.plugins.registry import registry\n"
        "registry().get('architecture', 'kormo')\n"
        "import kormo_plugins.architecture.shape, kormo_plugins.architecture.checkpoint\n"
        "import kormo_plugins.architecture.export\n"
        "assert not {'torch', 'transformers', 'axolotl', 'tokenizers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=SIZES.parents[1])
