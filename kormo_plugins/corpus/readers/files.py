"""Readers of local files: `jsonl`, `json`, `csv`, `text`, `parquet`, `arrow`, and `folder` for any mixture."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.file_formats.encodings import UTF8, canonical
from kormo_plugins.corpus.readers.file_formats.formats import Options, documents_of
from kormo_plugins.corpus.readers.file_formats.tables import Table
from kormo_plugins.corpus.readers.find import Found, find_files, kind_of
from kormo_plugins.corpus.readers.mapping.columns import Columns
from kormo_plugins.corpus.readers.rows import rejected
from kormo_plugins.corpus.readers.units import Unit, parts_for, share, units
from kormo_plugins.corpus.reports.unread import Tell, counted
from kormo_plugins.corpus.step import FileCount, Read
from kormo_plugins.store.fingerprint import file_checksum


class FilesParams(Strict):
    """A file, or a folder that is searched recursively."""

    path: Path = Field(description="file or folder, relative to the current folder; a folder is searched recursively")
    columns: Columns = Field(
        default=Columns(), description="mapping of columns to the fields of a document (text files have no columns)"
    )
    follow_links: bool = Field(default=False, description="follow symbolic links that lead out of the folder")
    encoding: str = Field(
        default=UTF8,
        description="encoding of text, JSON and CSV files: utf-8 (with or without a byte order mark), cp949, "
        "euc-kr, utf-16, any other that Python supports, or auto: detected for each file, logged, and stored in "
        "`meta.encoding`",
    )
    text_per: Literal["file", "line"] = Field(
        default="file", description="what one document is in a text file: the whole file, or one line"
    )
    table: Table = Field(default=Table.model_construct(), description="dialect of CSV and TSV files")
    rows: str | None = Field(
        default=None,
        description="for JSON files: key of the list of rows in each top-level object (`data`); null: each object "
        "is a row",
    )
    max_ratio: float = Field(
        default=200.0,
        gt=1,
        description="maximum ratio of decompressed to compressed size; reading of a file stops there and the rest "
        "is rejected",
    )
    max_row_bytes: int = Field(
        default=1 << 28, ge=1, description="maximum bytes of a line, JSON value or text file; a longer one is rejected"
    )

    _encoding = field_validator("encoding")(canonical)

    @property
    def options(self) -> Options:
        """These parameters in the form that the format modules take."""
        return Options(
            columns=self.columns,
            encoding=self.encoding,
            text_per_line=self.text_per == "line",
            table=self.table,
            rows=self.rows,
            max_ratio=self.max_ratio,
            max_row_bytes=self.max_row_bytes,
        )


class Files:
    """A reader of certain kinds of files; called with `(params, shard, shards)`.

    Args:
        kinds: subset of `jsonl`, `json`, `csv`, `text`, `parquet`, `arrow`.
        name: the reader's name, for messages.
    """

    VERSION = 5

    def __init__(self, *kinds: str, name: str = "") -> None:
        self.kinds, self.name = kinds, name or kinds[0]

    def find(self, params: FilesParams) -> list[Found]:
        """All files of the input, sorted by name.

        Raises:
            KormoError: the path does not exist, or holds nothing that can be read.
        """
        return find_files(params.path, self.kinds, params.follow_links, f"reader {self.name}: path")

    def units(self, params: FilesParams) -> list[Unit]:
        """The input divided into units of work."""
        return units(self.find(params), encoding=params.encoding, text_per_line=params.text_per == "line")

    def parts(self, params: FilesParams) -> int:
        """The number of parts for this input: one per 16 MB or so; of less than 256 MB, 16 of at least 4 MB."""
        return parts_for(self.units(params))

    def weight(self, params: FilesParams) -> int:
        """Bytes of text in these files, about: compressed ones hold several times their size."""
        return sum(unit.weight for unit in self.units(params))

    def inputs(self, params: FilesParams) -> dict[str, object]:
        """Everything that the documents depend on: names, sizes and checksums of the files, and the read settings."""
        files = self.find(params)
        checksums = {path: file_checksum(path) for path in {file.path for file in files if file.kind}}
        return {
            **params.model_dump(mode="json", exclude={"path", "follow_links"}),
            "files": [
                [file.name, file.path.stat().st_size, checksums[file.path]] if file.kind else [file.name, file.fault]
                for file in files
            ],
        }

    def __call__(self, params: FilesParams, shard: int = 0, shards: int = 1) -> Read:
        """The documents of part `shard` of `shards`, and a `Rejected` for every input that could not become one."""
        return self.read_files(params, shard, shards, _ignore_counts)

    def read_files(self, params: FilesParams, shard: int, shards: int, tell: Tell) -> Read:
        """As `__call__`; also calls `tell` for every file that is read in ranges and every file that yields (almost) no
        rows."""
        options = params.options
        for unit in share(self.units(params), shard, shards):
            name = unit.file.name
            if unit.file.kind:
                yield from counted(documents_of(unit, options), name, tell, whole=not unit.start and unit.end is None)
            else:
                refused = [rejected(name, unit.file.fault)]
                of_another_reader = kind_of(PurePosixPath(name).name) not in ("", *self.kinds)
                yield from refused if of_another_reader else counted(refused, name, tell, whole=True)


def _ignore_counts(count: FileCount) -> None:
    """Ignores the counts."""


jsonl = Files("jsonl")
json = Files("json", "jsonl", name="json")
csv = Files("csv")
text = Files("text")
parquet = Files("parquet")
arrow = Files("arrow")
folder = Files("jsonl", "json", "csv", "text", "parquet", "arrow", name="folder")
