"""Schema of a dataset recipe: document sources, their provenance, and the cleaning steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kormo_plugins.errors import Faults, KormoError, closest
from kormo_plugins.plugins.choice import Choice as Choice
from kormo_plugins.plugins.choice import Strict as Strict

MOST_PARTS = 99_999
"""Parts have names of five digits, by which they are sorted."""


class Tokens(Strict):
    """Token files made by another tool. They are read in place and must not be moved."""

    format: Literal["datatrove", "megatron", "olmo_core"] = Field(
        description="file format: datatrove (.ds, also nanotron's), megatron (.bin with .idx) or olmo_core (.npy "
        "without a header)"
    )
    path: Path = Field(description="token file, or a folder that is searched recursively")
    dtype: Literal["uint8", "uint16", "uint32", "uint64"] | None = Field(
        default=None, description="dtype of the token ids; required for olmo_core, whose files do not record it"
    )
    end_id: int | None = Field(
        default=None,
        ge=0,
        description="id of the token that ends a document, for olmo_core; null: the tokenizer's end-of-text token",
    )
    tokenizer: str | None = Field(
        default=None,
        description="hash of the tokenizer that made the tokens, which must equal that of the recipe's tokenizer; "
        "null: not compared. The recipe's tokenizer is tried on a sample of the documents in either case",
    )


class Source(Strict):
    """One source of documents. These settings are kept on every document of it."""

    language: str = Field(
        default="und",
        description="BCP 47 code of the documents; `mul`: several languages in one document; `und`: unknown (the "
        "step `language` detects it)",
    )
    license: str = Field(
        default="unknown", description="licence of the documents, as an SPDX identifier where one exists"
    )
    synthetic: bool = Field(
        default=False, description="the text was written by a machine; always true with `generator`"
    )
    written_by: str = Field(
        default="", description="name of the model that wrote a synthetic source that is read, not generated"
    )
    reader: Choice | None = Field(default=None, description="reader of the documents, with its parameters")
    generator: Choice | None = Field(default=None, description="generator of the documents, with its parameters")
    tokens: Tokens | None = Field(default=None, description="existing token files, used instead of documents")
    steps: tuple[Choice, ...] | None = Field(
        default=None, description="cleaning steps of this source, which replace the recipe's; null: the recipe's"
    )
    control_tokens: tuple[str, ...] = Field(
        default=(),
        description="added tokens that are encoded as such where the text spells them (`<think>` for reasoning "
        "data); all others are encoded as plain characters",
    )
    deduplicate_against: tuple[str, ...] = Field(
        default=(),
        description="sources whose documents are removed from this one: its deduplication reads their signatures "
        "first and leaves shared documents to them, unless `prefer` of `minhash_dedup` decides otherwise",
    )
    documents: int | None = Field(
        default=None, ge=1, description="maximum number of documents to read (for a trial run); null: all"
    )
    parts: int | None = Field(
        default=None,
        ge=1,
        le=MOST_PARTS,
        description="number of parts, each of which is read, cleaned and resumed on its own; null: by the size of "
        "the input. A part that nothing is left for takes a tenth of a second, too",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        if sum(origin is not None for origin in (self.reader, self.generator, self.tokens)) != 1:
            raise ValueError("give exactly one of reader, generator and tokens")
        of_documents = ("steps", "control_tokens", "deduplicate_against", "documents", "parts")
        if self.tokens is not None and (keys := [key for key in of_documents if getattr(self, key)]):
            raise ValueError(f"{', '.join(keys)}: not allowed for a source of tokens, which has no documents")
        if self.written_by and not (self.synthetic or self.generator):
            raise ValueError("written_by names the model of a synthetic source: set synthetic: true")
        return self


class HeldOut(Strict):
    """Documents held out from training, to measure the loss on unseen text."""

    documents: float = Field(
        default=64,
        ge=0,
        description="documents held out per source: a number, or, below 1, a share of the source; 0: none",
    )
    at_most: float = Field(default=0.05, gt=0, le=0.5, description="maximum share of a source that is held out")


class Executor(Strict):
    """Where parts are processed; the parts and their bytes are the same everywhere."""

    name: str = Field(
        default="local", pattern="^(local|ray|slurm)$", description="datatrove executor: local, ray or slurm"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="parts processed at the same time; null: the recipe's `workers` if local, all parts on Ray and "
        "Slurm",
    )
    options: dict[str, object] = Field(
        default_factory=dict,
        description="additional arguments of datatrove's executor (partition, time, cpus_per_task …)",
    )


class CorpusRecipe(Strict):
    """Sources, and the steps that clean them."""

    name: str = Field(default="corpus", description="name of the dataset, used in reports")
    sources: dict[str, Source] = Field(min_length=1, description="sources by name")
    steps: tuple[Choice, ...] = Field(
        default=(), description="cleaning steps for every source without its own, in this order"
    )
    held_out: HeldOut = Field(default=HeldOut.model_construct(), description="documents held out from training")
    executor: Executor = Field(default=Executor.model_construct(), description="where the documents are cleaned")
    workers: int = Field(
        default=1,
        ge=1,
        description="processes on this machine for tokenizing and, unless `executor.workers` is set, for cleaning",
    )

    def in_order(self) -> list[str]:
        """Topological order of the sources: each after those it is deduplicated against, otherwise in the recipe's
        order.

        Raises:
            KormoError: a referenced source does not exist, or the references form a cycle; all such faults at once.
        """
        done: list[str] = []
        faults = Faults(self._unknown_references())

        def visit(name: str, way: tuple[str, ...]) -> None:
            """Appends a source after those it is deduplicated against.

            Raises:
                KormoError: the references form a cycle, which is named.
            """
            if name in done:
                return
            if name in way:
                raise KormoError(
                    where=f"sources.{name}.deduplicate_against",
                    found=" → ".join([*way[way.index(name) :], name]),
                    why="these sources depend on each other in a cycle; one of them has to keep the shared documents",
                    do="remove one of them from `deduplicate_against`",
                )
            for other in self.sources[name].deduplicate_against:
                if other in self.documents_of:
                    visit(other, (*way, name))
            done.append(name)

        for name in self.documents_of:
            with faults.catch():
                visit(name, ())
            if name not in done:  # it is in a cycle, or waits for one, which was told
                done.append(name)
        faults.raise_any()
        return done

    def _unknown_references(self) -> Iterator[KormoError]:
        """An error for each source in `deduplicate_against` that is no source of documents."""
        for name, source in self.documents_of.items():
            for other in source.deduplicate_against:
                if other not in self.documents_of:
                    yield KormoError(
                        where=f"sources.{name}.deduplicate_against",
                        found=repr(other),
                        why=f"the sources of documents are: {', '.join(self.documents_of)}",
                        do=closest(other, [known for known in self.documents_of if known != name], "name one of them"),
                    )

    @property
    def documents_of(self) -> dict[str, Source]:
        """The sources of documents: all except those given as tokens."""
        return {name: source for name, source in self.sources.items() if source.tokens is None}

    @property
    def tokens_of(self) -> dict[str, Tokens]:
        """The sources given as tokens."""
        return {name: source.tokens for name, source in self.sources.items() if source.tokens is not None}

    def steps_of(self, source: Source) -> tuple[Choice, ...]:
        """The steps that clean `source`."""
        return self.steps if source.steps is None else source.steps
