"""A sound recipe, and the components that it names: a plugin of its own, whatever the rooms provide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kormo_plugins import Component, hookimpl

SOUND = """\
plugins: [kormo_plugins.KormoPlugin]
sequence_len: 128
micro_batch_size: 2
learning_rate: 3e-4
optimizer: adamw_torch
lr_scheduler: cosine
output_dir: out
datasets:
  - path: some/folder
    type: chat_template
kormo:
  plugins: [kormo_recipe_stub]
  architecture: {name: stub_model, size: 3}
  tokenizer:
    path: tok
  collator: {name: stub_rows}
  objective: {name: stub_loss}
  kernels: [{name: stub_kernel}]
  callbacks: [{name: stub_watcher}]
  global_batch: 4
  precision: {weights: float32, compute: bfloat16, optimizer: float32}
"""

DATA = """\
name: words
sources:
  ko: {language: ko, license: CC0-1.0, reader: {name: stub_reader, size: 2}}
  en: {language: en, license: CC0-1.0, generator: {name: stub_generator}, synthetic: true, steps: [{name: stub_step}]}
steps: [{name: stub_step, size: 4}]
packing: {name: stub_packing}
mixture: {name: stub_mixing, weights: {ko: 3, en: 1}}
"""

Write = Callable[[str], Path]
"""Writes the files of one text and returns `recipe.yml`."""


class SizeParams(BaseModel):
    """Parameters of a stub component."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=1, ge=1, description="any size")


class MixingParams(SizeParams):
    """Parameters of the stub mixing."""

    weights: dict[str, float] | None = Field(default=None, description="source -> weight")


def nothing(*_: object, **__: object) -> None:
    """What every stub component loads to."""


def _stub(name: str) -> list[Component]:
    return [Component(name, load=nothing, summary=f"the stub {name}", params=SizeParams)]


@hookimpl
def kormo_architectures() -> list[Component]:
    return _stub("stub_model")


@hookimpl
def kormo_tokenizers() -> list[Component]:
    return _stub("stub_tokenizer")


@hookimpl
def kormo_readers() -> list[Component]:
    return _stub("stub_reader")


@hookimpl
def kormo_generators() -> list[Component]:
    return _stub("stub_generator")


@hookimpl
def kormo_corpus_steps() -> list[Component]:
    return _stub("stub_step")


@hookimpl
def kormo_packings() -> list[Component]:
    return _stub("stub_packing")


@hookimpl
def kormo_mixings() -> list[Component]:
    return [Component("stub_mixing", load=nothing, summary="the stub mixing", params=MixingParams)]


@hookimpl
def kormo_collators() -> list[Component]:
    return _stub("stub_rows")


@hookimpl
def kormo_kernels() -> list[Component]:
    return _stub("stub_kernel")


@hookimpl
def kormo_objectives() -> list[Component]:
    return _stub("stub_loss")


@hookimpl
def kormo_run_callbacks() -> list[Component]:
    return [Component("stub_watcher", load=nothing, summary="takes no parameters")]
