"""The Modelfile of Ollama: GGUF file, chat template in Go's template language, stop strings, sampling settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kormo_plugins.architecture.gguf_layout.vocabulary import TURN_END, Vocabulary

CHAT = (
    "{{- $last := -1 }}"
    '{{ range $i, $turn := .Messages }}{{ if eq .Role "user" }}{{ $last = $i }}{{ end }}{{ end }}'
    "{{- range $i, $turn := .Messages }}<|BOT|>{{ .Role }}\n"
    '{{ if eq .Role "tool" }}<tool_response>\n{{ .Content }}\n</tool_response>{{ else }}'
    '{{ if and (eq .Role "assistant") (gt $i $last) }}'
    "{{ if .Thinking }}<think>\n{{ .Thinking }}\n</think>\n\n{{ else }}<think>\n\n</think>\n{{ end }}"
    "{{ end }}{{ .Content }}{{ end }}<|EOT|>\n{{ end }}"
    "<|BOT|>assistant\n<think>\n{{ if and .IsThinkSet (not .Think) }}\n</think>\n{{ end }}"
)
"""KORMo's turns in Go's template language, as `tokenizer/chat_template.jinja` writes them. Ollama detects a
reasoning model and its tags from the text around `.Thinking`. Tools cannot be declared in it; llama.cpp's server uses
the Jinja template, which supports them."""

PARAMETERS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
OLLAMA = {"repetition_penalty": "repeat_penalty"}


def modelfile(weights: str, vocabulary: Vocabulary, generation: Mapping[str, object]) -> Iterator[str]:
    """The lines of the Modelfile.

    Args:
        weights: name of the GGUF beside it.
        generation: content of generation_config.json.
    """
    yield f"FROM ./{weights}"
    yield f'TEMPLATE """{CHAT if vocabulary.is_chat else "{{ .Prompt }}"}"""'
    if vocabulary.is_chat:
        yield f'PARAMETER stop "{TURN_END}"'
    for key, value in sampling_of(generation).items():
        yield f"PARAMETER {OLLAMA.get(key, key)} {value}"


def sampling_of(generation: Mapping[str, object]) -> dict[str, Any]:
    """Sampling settings for readers without `do_sample`: temperature 0 if `do_sample` is not set.

    Args:
        generation: content of generation_config.json.
    """
    if generation.get("do_sample") is False:
        return {"temperature": 0}
    return {key: generation[key] for key in PARAMETERS if generation.get(key) is not None}
