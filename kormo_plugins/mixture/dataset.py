"""The samples of a run as a map-style dataset: sample i is a pure function of the recipe, the seed and i.

Sample i belongs to step i // global_batch. There are exactly steps x global_batch samples, so reading them in order, on
any number of ranks and with any number of workers, gives the same global batches; resuming at step k means starting at
index k x global_batch, and costs nothing.

A DataLoader calls `__getitems__` with the indices of a batch. It returns `SampleRows`, which our collators use as a
whole; for other collators it is a sequence of plain rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.console.machine import total_memory
from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.batches import buffers, gather
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.mixture.row_plans.policy import packing_of
from kormo_plugins.mixture.row_plans.rows import Rows
from kormo_plugins.mixture.sampling import order
from kormo_plugins.mixture.sampling.schedule import Mixing, SourceSize
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.shards.reader import Shards
from kormo_plugins.store.fingerprint import identity

ROW_FIELDS = ("input_ids", "labels", "position_ids")


@dataclass(frozen=True)
class SampleRows(Sequence[dict[str, object]]):
    """Rows of a batch.

    Args:
        input_ids: int64 [n, row_length].
        position_ids: int64 [n, row_length], counted from the start of each segment; the padding is one more segment.
        filled: int64 [n], tokens of each row; padding follows.
        source: int64 [n], index of the row's source in `MixtureDataset.names`.
        trained: uint8 [n, row_length], 1 for each predicted token; None if no source has a loss mask.
    """

    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    filled: NDArray[np.int64]
    source: NDArray[np.int64]
    trained: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        row = slice(place, place + 1) if place >= 0 else slice(len(self) + place, len(self) + place + 1)
        labels = np.empty_like(self.input_ids[row])
        nothing = np.zeros(0, np.int64)
        gather.fill_labels(self.input_ids[row], self.position_ids[row], self.filled[row], False, nothing, labels)
        sample = {
            "input_ids": self.input_ids[place],
            "labels": labels[0],
            "position_ids": self.position_ids[place],
            "filled": int(self.filled[place]),
            "source": int(self.source[place]),
        }
        if self.trained is not None:
            sample["trained"] = self.trained[place]
            labels[0][self.trained[place] == 0] = gather.IGNORE
        return sample


@dataclass(frozen=True, slots=True)
class Sample:
    """The composition of sample `index`: (document, start, end) of each segment, in tokens of the document."""

    index: int
    source: str
    row: int
    epoch: int
    documents: list[tuple[int, int, int]]


class MixtureDataset:
    """Rows of several sources in the order of a schedule. Created by `open_mixture`.

    Args:
        rows: row plan of each source.
        mixing: the schedule.
        seed: determines the order of rows and slots.
        pad_id: fills the unused rest of a row.
        steps: number of steps of the run.
        global_batch: rows per step.
    """

    column_names: Sequence[str]

    def __init__(
        self,
        rows: Mapping[str, Rows],
        mixing: Mixing,
        *,
        seed: int,
        pad_id: int,
        steps: int,
        global_batch: int,
    ) -> None:
        self.names = sorted(rows)
        self.rows = {name: rows[name] for name in self.names}
        self.mixing, self.seed, self.pad_id = mixing, seed, pad_id
        self.steps, self.global_batch = steps, global_batch
        self.row_length = next(iter(rows.values())).row_length
        self._step_key = order.key(seed, "slots")
        self._keys = np.array([order.key(seed, "rows", name) for name in self.names], np.uint64)
        self._row_counts = np.array([self.rows[name].rows for name in self.names], np.int64)
        self._step: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None
        self._map()

    def _map(self) -> None:
        """Builds the address tables that the compiled loops read."""
        plans, shards, firsts = [], [], [0]
        for name in self.names:
            plan = self.rows[name]
            parts = [part.ctypes.data for part in (plan.begin, plan.start, plan.length)]
            plans.append([*parts, plan.rows, len(plan.start)])
            masks = plan.shards.trained if plan.shards.masked else [None] * len(plan.shards.ids)
            for number, (ids, mask) in enumerate(zip(plan.shards.ids, masks, strict=True)):
                first, last = plan.shards.first_token[number : number + 2]
                shards.append([int(first), int(last), ids.ctypes.data, 0 if mask is None else mask.ctypes.data])
            firsts.append(len(shards))
        self._plans, self._shards = np.array(plans, np.int64), np.array(shards, np.int64)
        self._shard_from = np.array(firsts, np.int64)
        self._kind = np.zeros(0, self.rows[self.names[0]].shards.dtype)
        self._masked = any(plan.shards.masked for plan in self.rows.values())
        self.column_names = [*ROW_FIELDS, "trained"] if self._masked else list(ROW_FIELDS)
        size = sum(plan.shards.tokens * self._kind.itemsize for plan in self.rows.values())
        self._from_disk = size > total_memory() / 2

    def __getstate__(self) -> dict[str, object]:
        folders = {name: (plan.folder, plan.shards.folder) for name, plan in self.rows.items()}
        hidden = ("rows", "_plans", "_shards", "_shard_from", "_kind", "_from_disk", "_step")
        return {k: v for k, v in self.__dict__.items() if k not in hidden} | {"folders": folders}

    def __setstate__(self, state: dict[str, Any]) -> None:
        folders = state.pop("folders")
        self.__dict__.update(state)
        self.rows = {name: Rows(plan, Shards(shards)) for name, (plan, shards) in folders.items()}
        self._step = None
        self._map()

    def __len__(self) -> int:
        return self.steps * self.global_batch

    def __getitem__(self, index: int) -> dict[str, object]:
        """One sample: `input_ids`, `labels`, `position_ids` (int64 [row_length]), `filled` and `source`."""
        row: dict[str, object] = self.__getitems__([int(index) + len(self) if index < 0 else int(index)])[0]
        return row

    def __iter__(self) -> Iterator[dict[str, object]]:
        return (self[index] for index in range(len(self)))

    def __getitems__(self, indices: Sequence[int]) -> SampleRows:
        """The rows of a batch, in the order of `indices`."""
        chosen = self.locate(indices)
        if self._from_disk:
            self._read_ahead(chosen)
        shape = len(chosen), self.row_length
        out = SampleRows(buffers.empty(shape), buffers.empty(shape), np.empty(shape[0], np.int64), chosen[:, 0])
        bad = gather.fill_rows(
            chosen,
            self._plans,
            self._shard_from,
            self._shards,
            self._kind,
            self.pad_id,
            out.input_ids,
            out.position_ids,
            out.filled,
        )
        if bad >= 0:
            plan = self.rows[self.names[chosen[bad, 0]]]
            raise KormoError(
                where=str(plan.folder),
                found=f"row {chosen[bad, 1]}",
                why="it points outside its shard or is longer than a row: the plan is damaged",
                do="run `kormo data verify`, and build the row plan again",
            )
        if not self._masked:
            return out
        trained = np.empty(shape, np.uint8)
        gather.fill_trained(chosen, self._plans, self._shard_from, self._shards, trained)
        return replace(out, trained=trained)

    def _read_ahead(self, chosen: NDArray[np.int64]) -> None:
        """Prefetches all rows at once, for data larger than the page cache: the copy would otherwise wait page by page.
        The locations of the segments are needed first, so there are three waits per batch."""
        rows = [(self.rows[self.names[source]], row) for source, row, _ in chosen.tolist()]
        for segments in (False, True):
            for plan, row in rows:
                plan.will_need(row, segments=segments)
        for plan, row in rows:
            for start, length in plan.segments(row):
                plan.shards.will_need(start, start + length)

    def locate(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Source (index in `names`), row and epoch of each sample; int64 [n, 3].

        Raises:
            IndexError: an index outside 0..len-1.
        """
        samples = np.asarray(indices, np.int64)
        out = np.empty((len(samples), 3), np.int64)
        if not len(samples):
            return out
        low, high = int(samples.min()), int(samples.max())
        if low < 0 or high >= len(self):
            raise IndexError(f"sample {low if low < 0 else high} of {len(self)}")
        first, last = low // self.global_batch, high // self.global_batch
        for step in [first] if first == last else np.unique(samples // self.global_batch).tolist():
            inside = slice(None) if first == last else np.flatnonzero(samples // self.global_batch == step)
            before, after = self._counts(step)
            slots = samples[inside] - step * self.global_batch
            located = np.empty((len(slots), 3), np.int64)
            order.locate(
                slots,
                before,
                after,
                self._row_counts,
                self._keys,
                np.uint64(order.subkey(self._step_key, step)),
                located,
            )
            out[inside] = located
        return out

    def _counts(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if self._step is None or self._step[0] != step:
            self._step = step, self.mixing.counts(step), self.mixing.counts(step + 1)
        return self._step[1:]

    def sample(self, index: int) -> Sample:
        """The composition of sample `index`, without reading tokens."""
        source, row, epoch = (int(value) for value in self.locate([index])[0])
        name = self.names[source]
        return Sample(index, name, row, epoch, self.rows[name].pieces(row))

    def describe(self, step: int) -> dict[str, object]:
        """The state of the data before `step`: `step`, `tokens` (positions, padding included) and for each source the
        `rows` drawn so far, its `epochs` and its `share` of all rows."""
        counts = self.mixing.counts(step)
        drawn = {
            name: {
                "rows": int(count),
                "epochs": int(count) / plan.rows if plan.rows else 0.0,
                "share": int(count) / (step * self.global_batch) if step else 0.0,
            }
            for (name, plan), count in zip(self.rows.items(), counts, strict=True)
        }
        return {"step": step, "tokens": step * self.global_batch * self.row_length, "sources": drawn}

    def data_position(self, step: int) -> dict[str, object]:
        """The data entry of a checkpoint: `step`, `samples` used, the `fingerprint` of this data, and its `parts`,
        which `resume.check_resume` compares."""
        return {
            "step": step,
            "samples": step * self.global_batch,
            "fingerprint": self.fingerprint(),
            "parts": self.parts(),
        }

    def parts(self) -> dict[str, object]:
        """Everything that determines the order of the data, by name: hashed by `fingerprint` and compared on resume.
        The number of steps is not included."""
        return {
            "seed": self.seed,
            "global_batch": self.global_batch,
            "row_length": self.row_length,
            "pad_id": self.pad_id,
            "tokenizer": self.rows[self.names[0]].shards.manifest["tokenizer"],
            "sources": {name: {"identity": plan.identity, "rows": plan.rows} for name, plan in self.rows.items()},
            "stages": self.mixing.stages(),
        }

    def fingerprint(self) -> str:
        """SHA-256 of `parts`: equal only if two datasets give the same samples at every step common to both."""
        return identity(self.parts())


def open_mixture(
    rows: Mapping[str, Path],
    shards: Mapping[str, Path],
    recipe: MixtureRecipe,
    *,
    seed: int,
    row_length: int,
    steps: int,
    global_batch: int,
    pad_id: int,
    tokenizer: str | None = None,
    plugins: Registry | None = None,
) -> MixtureDataset:
    """Opens the data of a run.

    Args:
        rows: source -> folder of its row plan.
        shards: source -> folder of its shards.
        recipe: packing and mixture from the recipe.
        seed: the run's seed; `shuffle_seed` in the recipe overrides it.
        row_length: tokens of a row.
        steps: number of steps of the run.
        global_batch: rows per step, over all ranks and accumulation.
        pad_id: fills the unused rest of a row.
        tokenizer: hash (`shards.encoder.tokenizer_hash`) with which every source must have been tokenized, if known.
        plugins: registry in which the mixing is looked up; the installed plugins by default.
    Raises:
        KormoError: a folder is unfinished, damaged or swapped, sources have different tokenizers, a plan has another
            row length or policy, or the sources are too small for the whole run.
    """
    components = plugins or registry()
    plans = _open_plans(rows, shards, recipe, row_length, tokenizer, components)
    for plan in plans.values():
        _ = plan.shards.index  # megabytes at most, loaded now so that no sample waits for it
    mixture = dict(recipe.mixture)
    name = mixture.pop("name")
    settings = components.params("mixing", name, mixture, "kormo.mixture")
    sizes = {source: SourceSize(plan.rows, int(plan.manifest["tokens_placed"])) for source, plan in plans.items()}
    mixing = components.load("mixing", name)(
        sizes, settings, row_length=row_length, global_batch=global_batch, steps=steps
    )
    chosen = getattr(settings, "shuffle_seed", None)
    return MixtureDataset(
        plans,
        mixing,
        seed=seed if chosen is None else chosen,
        pad_id=pad_id,
        steps=steps,
        global_batch=global_batch,
    )


def _open_plans(
    rows: Mapping[str, Path],
    shards: Mapping[str, Path],
    recipe: MixtureRecipe,
    row_length: int,
    tokenizer: str | None,
    components: Registry,
) -> dict[str, Rows]:
    """The row plan of each source, checked against its shards, the recipe and the tokenizer."""
    if not rows or sorted(rows) != sorted(shards):
        raise KormoError(
            where="kormo.mixture",
            found=f"row plans for {sorted(rows)} and shards for {sorted(shards)}",
            why="every source needs both, and there must be at least one source",
            do="build the missing ones with `kormo data build`",
        )
    plans = {name: Rows(rows[name], Shards(shards[name])) for name in sorted(rows)}
    for name, plan in plans.items():
        policy, params = packing_of(recipe, components, name, conversations=plan.shards.masked)
        expected = {
            "row_length": row_length,
            "policy": policy,
            "params": params.model_dump(mode="json") if params else {},
        }
        for key, value in expected.items():
            if plan.manifest[key] != value:
                raise KormoError(
                    where=f"{plan.folder}: {key}",
                    found=repr(plan.manifest[key]),
                    why=f"the recipe requires {value!r}",
                    do="build the row plan for this recipe",
                )
        _same_tokenizer(plan, name, tokenizer or next(iter(plans.values())).shards.manifest["tokenizer"])
    return plans


def _same_tokenizer(plan: Rows, name: str, expected: str) -> None:
    tokenizer = plan.shards.manifest["tokenizer"]
    if tokenizer != expected:
        raise KormoError(
            where=f"{plan.shards.folder / 'shards.json'}: tokenizer",
            found=f"{tokenizer[:12]}",
            why=f"the other sources and the run use {expected[:12]}, in which the same ids stand for other text",
            do=f"tokenize {name} again with the run's tokenizer",
        )
