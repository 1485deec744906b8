"""Hook implementations of the corpus room."""

from __future__ import annotations

from collections.abc import Iterator

from kormo_plugins.hookspecs import Component, hookimpl

_FILES = "kormo_plugins.corpus.readers.files"
_STEPS = "kormo_plugins.corpus.steps"


@hookimpl
def kormo_readers() -> Iterator[Component]:
    for name, summary in (
        ("jsonl", "documents of JSONL files, plain, .gz or .zst"),
        ("parquet", "documents of Parquet files"),
        ("text", "text files, each a document"),
        ("folder", "any mixture of JSONL, Parquet and text files in a folder"),
    ):
        yield Component(name, load=f"{_FILES}:{name}", summary=summary, params=f"{_FILES}:FilesParams")
    yield Component(
        "hub", load="kormo_plugins.corpus.readers.hub:hub", summary="a dataset of the hub by id, streamed",
        params="kormo_plugins.corpus.readers.hub:HubParams", source="datasets",
    )  # fmt: skip


@hookimpl
def kormo_corpus_steps() -> Iterator[Component]:
    for name, attribute, summary, source in _ALL_STEPS:
        yield Component(
            name, load=f"{_STEPS}.{name}:{attribute}", summary=summary,
            params=f"{_STEPS}.{name}:{attribute}Params", source=source,
        )  # fmt: skip


_ALL_STEPS = (
    ("normalize", "Normalize", "one Unicode form, line end and space; invisible characters go", "UAX 15"),
    ("length", "Length", "drops what is too short or too long", "CulturaX, arXiv 2309.09400"),
    ("language", "Language", "labels each document with its language and keeps those asked for", ""),
    ("exact_dedup", "ExactDedup", "drops documents that came before, word for word", ""),
)


@hookimpl
def kormo_generators() -> Iterator[Component]:
    """Generators of synthetic documents."""
    yield Component(
        "embedded",
        load="kormo_plugins.corpus.embedded.generate:generate",
        summary="bilingual texts in ten genres, written by rules, offline; the same bytes for the same seed",
        params="kormo_plugins.corpus.embedded.generate:EmbeddedParams",
    )
