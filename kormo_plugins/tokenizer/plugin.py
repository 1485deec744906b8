"""Hook implementations of the tokenizer room."""

from __future__ import annotations

from collections.abc import Iterable

from kormo_plugins.hookspecs import Component, hookimpl


@hookimpl
def kormo_tokenizers() -> Iterable[Component]:
    """The tokenizers."""
    yield Component(
        "kormo_bpe",
        load="kormo_plugins.tokenizer.training.train:train",
        summary="byte-level BPE in KORMo's layout: Qwen2's pre-tokenization, single digits, NFC, 41 added tokens",
        params="kormo_plugins.tokenizer.params:TokenizerParams",
        source="KORMo (arXiv 2510.09426); split: Qwen2 (arXiv 2407.10671); trainer: tokenizers",
    )
