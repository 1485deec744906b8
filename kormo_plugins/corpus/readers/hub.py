"""The reader `hub`: reads a hub dataset by id, at a fixed commit, one file at a time.

The files of a split are those that `datasets` finds. Each is copied into a temporary folder, read like a local file
(so that a bad value rejects only its row, and JSON arrays of any size need little memory), and removed. A dataset with
a file that none of our readers supports is streamed by `datasets`; there a bad value aborts the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers import files as local
from kormo_plugins.corpus.readers.file_formats.encodings import UTF8
from kormo_plugins.corpus.readers.file_formats.formats import documents_of
from kormo_plugins.corpus.readers.find import kind_of
from kormo_plugins.corpus.readers.mapping.columns import Columns
from kormo_plugins.corpus.readers.rows import from_row, rejected
from kormo_plugins.corpus.readers.units import units
from kormo_plugins.corpus.reports.unread import Tell, counted
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError, in_words

COMMIT = re.compile(r"[0-9a-f]{40}")


class HubParams(Strict):
    """A dataset of the hub."""

    dataset: str = Field(
        description="dataset id on the Hugging Face hub (`KORMo-Team/FineWeb2-ko-synth`)", pattern=r"^[\w.-]+/[\w.-]+$"
    )
    config: str | None = Field(default=None, description="configuration (subset) of the dataset; null: the default one")
    split: str = Field(default="train", description="split of the dataset")
    revision: str | None = Field(
        default=None, description="commit to read (40 hex digits); null: the newest, resolved once and recorded"
    )
    columns: Columns = Field(default=Columns(), description="mapping of columns to the fields of a document")


class Hub:
    """Reads a hub dataset; never runs code from its repository.

    A part is a contiguous run of the dataset's files. If there are fewer files than parts, the last parts are empty.
    """

    VERSION = 3

    def inputs(self, params: HubParams) -> dict[str, object]:
        """Everything that the documents depend on: the dataset, its commit and the columns."""
        return params.model_dump(mode="json") | {"revision": self.commit(params)}

    def commit(self, params: HubParams) -> str:
        """The commit to read.

        Raises:
            KormoError: none is given, and the hub cannot be reached.
        """
        if params.revision and COMMIT.fullmatch(params.revision):
            return params.revision
        try:
            return _newest(params.dataset, params.revision)
        except Exception as error:  # no network, no such dataset, gated: reported with the reason
            raise _unreachable(params, error) from error

    def pinned(self, params: HubParams) -> HubParams:
        """`params` with the resolved commit, so that all processes read the same one."""
        return params.model_copy(update={"revision": self.commit(params)})

    def __call__(self, params: HubParams, shard: int = 0, shards: int = 1) -> Read:
        """The documents of part `shard` of `shards`, and a `Rejected` for every invalid row."""
        return self.read_files(params, shard, shards, lambda count: None)

    def read_files(self, params: HubParams, shard: int, shards: int, tell: Tell) -> Read:
        """As `__call__`; also calls `tell` for files from which (almost) nothing was read."""
        try:
            names = data_files(params, self.commit(params))
        except KormoError:
            raise
        except Exception as error:
            raise _unreachable(params, error) from error
        if not names or not all(kind_of(PurePosixPath(name).name) for name in names):
            yield from self._streamed(params, shard, shards)
            return
        parts = min(shards, len(names))
        if shard < parts:
            for name in names[shard * len(names) // parts : (shard + 1) * len(names) // parts]:
                yield from counted(_file(name, params), _name(name, params), tell, whole=True)

    def _streamed(self, params: HubParams, shard: int, shards: int) -> Read:
        """The rows as `datasets` streams them."""
        from datasets import load_dataset

        try:
            dataset = load_dataset(
                params.dataset, params.config, split=params.split, revision=self.commit(params), streaming=True
            )
        except KormoError:
            raise
        except Exception as error:
            raise _unreachable(params, error) from error
        parts = min(shards, dataset.num_shards)
        if shard >= parts:
            return
        rows = iter(dataset.shard(num_shards=parts, index=shard, contiguous=True))
        number = 0
        while True:
            number += 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:  # raised by any format library; later rows are unreachable
                raise _broken_row(params, f"{params.dataset}:{shard}-{parts}:{number}", error) from error
            place = f"{params.dataset}:{shard}-{parts}:{number}"
            yield from_row(row, params.columns, place, partial(repr, row))


def data_files(params: HubParams, commit: str) -> list[str]:
    """The addresses of a split's files at a commit, in fsspec's form, in order; empty if `datasets` finds none.

    Raises:
        KormoError: no such split.
        Exception: raised by `datasets` for a missing dataset or configuration, or without a network.
    """
    from datasets import load_dataset_builder

    config = load_dataset_builder(params.dataset, params.config, revision=commit).config
    splits = config.data_files or {}
    if splits and params.split not in splits:
        raise KormoError(
            where="reader hub: split",
            found=params.split,
            why=f"{params.dataset} has no such split",
            do=f"name one of: {', '.join(map(str, splits))}",
        )
    return [str(name) for name in splits.get(params.split, ())]


def _name(address: str, params: HubParams) -> str:
    """Display name of a file in ids and messages: the dataset, and the file's path in it."""
    below = re.sub(r"^.*@[^/]*/", "", address) if "://" in address else PurePosixPath(address).name
    return f"{params.dataset}/{below}"


def _file(address: str, params: HubParams) -> Iterator[Document | Rejected]:
    """The documents of one file, which is stored on disk only while it is read."""
    import tempfile

    import fsspec

    name = _name(address, params)
    with tempfile.TemporaryDirectory(prefix="kormo-hub-") as folder:
        path = Path(folder) / PurePosixPath(address).name
        try:
            filesystem, source = fsspec.core.url_to_fs(address)
            filesystem.get_file(source, str(path))
        except Exception as error:
            raise _unreachable(params, error) from error
        options = local.FilesParams(path=path, columns=params.columns).options
        if not path.stat().st_size:
            return
        for unit in units(local.folder.find(local.FilesParams(path=path)), encoding=UTF8, text_per_line=False):
            here = replace(unit, file=replace(unit.file, name=name + unit.file.name.removeprefix(path.name)))
            if here.file.kind:
                yield from documents_of(here, options)
            else:
                yield rejected(here.file.name, here.file.fault)


@lru_cache(maxsize=256)
def _newest(dataset: str, revision: str | None) -> str:
    """Resolves the newest commit once: the hash of an artifact and its documents must refer to the same commit, even if
    the dataset changes in between."""
    from huggingface_hub import HfApi

    return str(HfApi().dataset_info(dataset, revision=revision, timeout=30).sha)


def _broken_row(params: HubParams, place: str, error: Exception) -> KormoError:
    first = in_words(error)
    return KormoError(
        where=f"reader hub: {params.dataset}",
        found=f"{place}: {first}",
        why="`datasets` cannot read that row or any row after it",
        do="download the dataset and use the reader for its format, which rejects invalid rows and continues",
    )


def _unreachable(params: HubParams, error: Exception) -> KormoError:
    first = in_words(error)
    return KormoError(
        where="reader hub: dataset",
        found=f"{params.dataset} at {params.revision or 'its newest commit'}",
        why=f"the hub request failed: {first}",
        do="check the id and the network, log in if it is gated, or download it and use the reader `folder`",
    )


hub = Hub()
