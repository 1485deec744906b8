"""The row plan of one source: for each row, the ranges of the source's tokens that it consists of.

    rows.bin             int64 [rows + 1], start of each row's segments
    segments.start.bin   int64 [segments], position of the first token, counted over the whole source
    segments.length.bin  uint32 [segments], tokens
    rows.json            policy, identity of the shards, statistics and checksums; written last

That is 12 bytes per segment. The document of a segment is looked up in the shards' offsets when needed.

A source is packed in windows of `window` documents, so memory does not grow with its size. Rows that are not full at
the end of a window are packed again with the next one; only the last window is final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.row_plans.packing import Packing
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.shards.format import INT64, UINT32
from kormo_plugins.shards.reader import Shards, memory_map, read_ahead
from kormo_plugins.shards.writer import HashedFile
from kormo_plugins.store.files import FileRecord, file_records, read_json
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.store.json_file import write_json

if TYPE_CHECKING:
    from kormo_plugins.hookspecs import Params


ROWS_FORMAT = "kormo-rows-1"
ROWS_MANIFEST = "rows.json"
ROWS, STARTS, LENGTHS = "rows.bin", "segments.start.bin", "segments.length.bin"
WINDOW = 1 << 21
"""Documents packed at a time; 2 million need about 0.3 GB."""

Progress = Callable[[int, int], None]


def build_rows(
    shards: Path,
    row_length: int,
    policy: str,
    params: Params,
    out: Path,
    *,
    window: int = WINDOW,
    plugins: Registry | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Packs one source into rows and writes the plan into `out`.

    Args:
        shards: folder of the source's shards.
        row_length: tokens of a row (`sequence_len`).
        policy: name of a packing component.
        params: its parameters: the model's instance, or a plain dict.
        out: output folder for the plan, created if needed.
        window: documents packed at a time.
        plugins: registry in which `policy` is looked up; the installed plugins by default.
        progress: called with (documents packed, documents in total).
    Returns:
        The statistics in `rows.json`: `documents`, `documents_dropped` (longer than a row, if the policy drops those),
        `tokens`, `tokens_placed`, `tokens_dropped`, `rows`, `segments` and `fill`.
    Raises:
        KormoError: unfinished shards, or a policy whose pieces do not account for every token.
    """
    if not 2 <= row_length < 1 << 32:
        raise KormoError(
            where="sequence_len",
            found=str(row_length),
            why="a row holds 2 to 2^32 - 1 tokens",
            do="set it to a value in this range",
        )
    components = plugins or registry()
    if isinstance(params, dict) or params is None:
        params = components.params("packing", policy, params or {}, f"packing {policy}")
    pack = components.load("packing", policy)
    source = Shards(shards)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    ledger = dict.fromkeys(("documents_dropped", "tokens_placed", "tokens_dropped"), 0)
    ledger |= {"documents": source.documents, "tokens": source.tokens}
    with _Plan(out, row_length) as plan:
        carried = np.zeros(0, np.int64), np.zeros(0, np.int64)
        packed = 0
        for starts, lengths in source.windows(window):
            packed += len(lengths)
            starts, lengths = np.concatenate([carried[0], starts]), np.concatenate([carried[1], lengths])
            packing = pack(lengths, row_length, params)
            last = packed == source.documents
            carried = plan.add(packing, starts, lengths, ledger, last, policy)
            if progress:
                progress(packed, source.documents)
        _check_ledger(ledger, policy)
        values = params.model_dump(mode="json") if params is not None else {}
        made_of = {"source": source.manifest["source"], "shards": source.identity, "policy": policy}
        return plan.finish(ledger, {**made_of, "params": values, "window": window})


def _check_ledger(ledger: Mapping[str, int], policy: str) -> None:
    """Checks that every token of the source is placed in a row or counted as dropped."""
    if ledger["tokens_placed"] + ledger["tokens_dropped"] != ledger["tokens"]:
        raise KormoError(
            where=f"packing {policy}",
            found=f"{ledger}",
            why="tokens placed and dropped do not add up to the tokens of the source",
            do="correct the plugin that provides the policy",
        )


class _Plan:
    """The three files while they are written; as a context manager it discards them on an error."""

    def __init__(self, out: Path, row_length: int) -> None:
        self.out, self.row_length, self.rows, self.segments = out, row_length, 0, 0
        self.files = [HashedFile(out / name) for name in (ROWS, STARTS, LENGTHS)]
        self.files[0].write(np.zeros(1, "<i8"))

    def __enter__(self) -> _Plan:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            for file in self.files:
                file.discard()

    def add(
        self,
        packing: Packing,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        ledger: dict[str, int],
        last: bool,
        policy: str,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Appends the closed rows (all, if `last`), updates the counts, and returns the open pieces to be packed
        again."""
        sizes = packing.end - packing.start
        self._check(packing, sizes, lengths, policy)
        rows = packing.closed if not last or packing.drop_tail else len(packing.rows) - 1
        cut = int(packing.rows[rows])
        placed = int(sizes[:cut].sum())
        ledger["tokens_placed"] += placed
        ledger["documents_dropped"] += int((lengths > self.row_length).sum()) if packing.dropped else 0
        ledger["tokens_dropped"] += packing.dropped + (int(sizes[cut:].sum()) if last else 0)
        where = starts[packing.document] + packing.start
        self.files[0].write(self.segments + packing.rows[1 : rows + 1].astype("<i8"))
        self.files[1].write(where[:cut].astype("<i8"))
        self.files[2].write(sizes[:cut].astype("<u4"))
        self.rows, self.segments = self.rows + rows, self.segments + cut
        order = np.argsort(where[cut:], kind="stable")
        return where[cut:][order], sizes[cut:][order]

    def finish(self, ledger: dict[str, int], made_of: dict[str, object]) -> dict[str, object]:
        """Renames the files into place, writes `rows.json` last, and returns its statistics."""
        places = self.rows * self.row_length
        stats: dict[str, object] = {
            **ledger,
            "rows": self.rows,
            "segments": self.segments,
            "fill": ledger["tokens_placed"] / places if places else 0.0,
        }
        files = {file.path.name: asdict(file.close()) for file in self.files}
        record = {"format": ROWS_FORMAT, "row_length": self.row_length, **made_of, **stats, "files": files}
        write_json(self.out / ROWS_MANIFEST, record)
        return stats

    def _check(self, packing: Packing, sizes: NDArray[np.int64], lengths: NDArray[np.int64], policy: str) -> None:
        """Checks that every piece lies inside its document, no two overlap, and no row is too long."""
        counts = np.diff(packing.rows)
        whole = not len(sizes) or (packing.rows[0] == 0 and packing.rows[-1] == len(sizes) and counts.min() > 0)
        known = not len(sizes) or (packing.document.min() >= 0 and packing.document.max() < len(lengths))
        inside = known and not (
            (sizes <= 0).any() or (packing.start < 0).any() or (packing.end > lengths[packing.document]).any()
        )
        filled = np.add.reduceat(sizes, packing.rows[:-1]) if whole and len(sizes) else np.zeros(0, np.int64)
        apart = inside and _apart(packing, lengths)
        if not (whole and apart and (filled <= self.row_length).all()):
            raise KormoError(
                where=f"packing {policy}",
                found="a piece outside its document, overlapping pieces, or a row that is too long",
                why="such a plan would repeat or lose tokens",
                do="correct the plugin that provides the policy",
            )


def _apart(packing: Packing, lengths: NDArray[np.int64]) -> bool:
    """Whether no two pieces of one document overlap; only documents with several pieces need a check."""
    several = np.bincount(packing.document, minlength=len(lengths)) > 1
    chosen = np.flatnonzero(several[packing.document])
    before = np.cumsum(lengths) - lengths
    # positions in the concatenated documents, so that there is one sort key
    start = (before[packing.document] + packing.start)[chosen]
    order = np.argsort(start)
    end = start + (packing.end - packing.start)[chosen]
    return bool((start[order][1:] >= end[order][:-1]).all())


class Rows:
    """A row plan, memory-mapped.

    Args:
        folder: holds `rows.json`.
        shards: the source that it was made for.
    Raises:
        KormoError: it is unfinished, a file has a different size, or it was made for other shards.
    """

    def __init__(self, folder: Path, shards: Shards) -> None:
        self.folder, self.shards = Path(folder), shards
        self.manifest = read_json(self.folder / ROWS_MANIFEST, ROWS_FORMAT)
        if self.manifest["shards"] != shards.identity:
            raise KormoError(
                where=str(self.folder / ROWS_MANIFEST),
                found=f"a plan for the shards {self.manifest['shards'][:12]}",
                why=f"those in {shards.folder} are {shards.identity[:12]}: they were rebuilt or replaced",
                do="build the row plan again, or name the shards it was made for",
            )
        for name, record in self.files().items():
            record.check(self.folder / name, contents=False)
        self.rows = int(self.manifest["rows"])
        self.row_length = int(self.manifest["row_length"])
        segments = int(self.manifest["segments"])
        self.begin = memory_map(self.folder / ROWS, INT64, self.rows + 1)
        self.start = memory_map(self.folder / STARTS, INT64, segments)
        self.length = memory_map(self.folder / LENGTHS, UINT32, segments)

    def files(self) -> dict[str, FileRecord]:
        """File name -> size and checksum."""
        return file_records(self.manifest["files"], self.folder / ROWS_MANIFEST)

    @property
    def identity(self) -> str:
        """SHA-256 of everything that determines the rows, shards included."""
        files = [[name, r.bytes, r.xxh3_128] for name, r in sorted(self.files().items())]
        return identity([ROWS_FORMAT, self.manifest["shards"], self.row_length, files])

    def segments(self, row: int) -> list[tuple[int, int]]:
        """(position, tokens) of each segment of a row."""
        starts, lengths = self._parts(row)
        return list(zip(starts.tolist(), lengths.tolist(), strict=True))

    def will_need(self, row: int, *, segments: bool) -> None:
        """Asks the system to read where a row's segments are listed, or (with `segments`, which needs that) the list
        itself."""
        for part in self._parts(row) if segments else (self.begin[row : row + 2],):
            read_ahead(part)

    def _parts(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Starts and lengths of a row's segments, as views of the maps."""
        first, last = self.begin[row : row + 2].tolist()
        return self.start[first:last], self.length[first:last]

    def pieces(self, row: int) -> list[tuple[int, int, int]]:
        """(document, start, end) of each segment of a row; start and end count from the document's first token."""
        self.will_need(row, segments=True)
        segments = self.segments(row)
        result = []
        for (position, length), (document, first) in zip(
            segments, self.shards.locate(position for position, _ in segments), strict=True
        ):
            result.append((document, position - first, position - first + length))
        return result
