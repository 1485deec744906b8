"""config.json and tokenizer_config.json under both versions' names: no value changes, twice is once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.store.atomic import replace
from kormo_plugins.store.model_json import readable_config, readable_tokenizer, rope_base

NEW = {"dtype": "bfloat16", "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
OLD = {"torch_dtype": "bfloat16", "rope_theta": 5e5, "rope_scaling": None}
YARN = {"rope_type": "yarn", "factor": 4.0}


@pytest.mark.parametrize("fields", [NEW, OLD, {**NEW, **OLD}, {**OLD, "rope_parameters": None}])
def test_every_way_of_saying_it_becomes_the_same(fields: dict[str, Any]) -> None:
    assert readable_config(fields) == {**NEW, **OLD}
    assert readable_config(readable_config(fields)) == {**NEW, **OLD}


@pytest.mark.parametrize(
    "fields",
    [
        {"rope_parameters": {**YARN, "rope_theta": 1e6}},
        {"rope_theta": 1e6, "rope_scaling": YARN},
        {"rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0}},
    ],
)
def test_a_scaling_is_said_under_both_names_too(fields: dict[str, Any]) -> None:
    both = readable_config(fields)
    assert both["rope_parameters"] == {**YARN, "rope_theta": 1e6} and both["rope_theta"] == 1e6
    assert both["rope_scaling"]["factor"] == 4.0 and readable_config(both) == both


@pytest.mark.parametrize(
    "fields",
    [
        {**NEW, "rope_theta": 1e4},
        {**OLD, "rope_parameters": {"rope_theta": 1e6}},
        {"rope_theta": 1e4, "rope_scaling": {"rope_theta": 1e6}},
        {"rope_parameters": {"rope_theta": 1e4}, "rope_scaling": {"rope_theta": 1e6}},
    ],
)
def test_two_bases_are_refused(fields: dict[str, Any]) -> None:
    for read in (readable_config, rope_base):
        with pytest.raises(KormoError, match="different models"):
            read(fields)


@pytest.mark.parametrize("fields", [{}, {"model_type": "gpt2"}, {"rope_parameters": {"full_attention": {}}}])
def test_a_model_without_one_base_is_left_alone(fields: dict[str, Any]) -> None:
    assert rope_base(fields) is None and readable_config(fields) == fields


def test_a_tokenizer_has_a_class_that_both_versions_know() -> None:
    saved_by_5 = {
        "tokenizer_class": "TokenizersBackend", "backend": "tokenizers", "is_local": True, "local_files_only": True,
        "model_max_length": int(1e30), "extra_special_tokens": ["<a>"], "eos_token": "<|EOT|>",
    }  # fmt: skip
    expected = {
        "tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<a>"], "eos_token": "<|EOT|>",
    }  # fmt: skip
    assert readable_tokenizer(saved_by_5) == expected == readable_tokenizer(expected)
    kept = {"tokenizer_class": "LlamaTokenizerFast", "model_max_length": 4096, "extra_special_tokens": {"x": "<x>"}}
    assert readable_tokenizer(kept) == kept


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_rights_that_the_umask_gives(tmp_path: Path, mask: int, mode: int) -> None:
    def private(path: Path) -> None:  # as safetensors writes
        path.write_bytes(b"weights")
        path.chmod(0o600)

    before = os.umask(mask)
    try:
        replace(tmp_path / "model.safetensors", private)
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode
