"""Components under names of their own, so that recipes can be checked whatever the rooms provide."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kormo_plugins import Component, hookimpl


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
