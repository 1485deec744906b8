"""The preference pairs of a run, as a map-style dataset: sample i is a pure function of the recipe, the seed and i.

Pairs are mixed like rows, by the same schedule and the same keyed shuffle (`sampling/`), but shares count pairs, not
tokens, since each pair has the same weight in the loss. At every step each source has contributed its share of all
pairs, to within one pair, and no pair is repeated before all pairs of its source were used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.mixture.sampling import order
from kormo_plugins.mixture.sampling.schedule import Mixing, SourceSize
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.shards.pairs import Pairs
from kormo_plugins.store.fingerprint import identity

FIELDS = ("prompt_ids", "chosen_ids", "rejected_ids")
"""Column names of TRL's DPOTrainer."""


class PairDataset:
    """Pairs of several sources in the order of a schedule. Created by `open_pairs`.

    `reference` may be set to the reference model's log-probabilities, float32 [all pairs, 2], which samples then
    include.
    """

    column_names: Sequence[str] = list(FIELDS)

    def __init__(
        self, sources: Mapping[str, Pairs], mixing: Mixing, *, seed: int, steps: int, global_batch: int
    ) -> None:
        self.names = sorted(sources)
        self.sources = {name: sources[name] for name in self.names}
        self.mixing, self.seed, self.steps, self.global_batch = mixing, seed, steps, global_batch
        self.sizes = np.array([len(self.sources[name]) for name in self.names], np.int64)
        self.reference: NDArray[np.float32] | None = None
        self._first = np.cumsum(self.sizes) - self.sizes
        self._keys = np.array([order.key(seed, "rows", name) for name in self.names], np.uint64)
        self._step_key = order.key(seed, "slots")

    def __len__(self) -> int:
        return self.steps * self.global_batch

    def __iter__(self) -> Iterator[dict[str, object]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, object]:
        """One sample: `prompt_ids`, `chosen_ids`, `rejected_ids`, and the reference's log-probabilities if known."""
        return self.pair(self.number(index))

    def number(self, index: int) -> int:
        """Index of sample `index` among all pairs, counted over the sources in order of name."""
        source, place, _ = self.locate(index)
        return int(self._first[source]) + place

    def pair(self, number: int) -> dict[str, object]:
        """Pair `number` of all pairs, as a sample."""
        source = int(np.searchsorted(self._first, number, "right")) - 1
        ids = self.sources[self.names[source]][number - int(self._first[source])]
        sample: dict[str, object] = dict(zip(FIELDS, ids, strict=True))
        if self.reference is not None:
            sample["ref_chosen_logps"], sample["ref_rejected_logps"] = self.reference[number].tolist()
        return sample

    def locate(self, index: int) -> tuple[int, int, int]:
        """Source (index in `names`), pair within it, and epoch of a sample."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        step, slot = divmod(index, self.global_batch)
        located = np.empty((1, 3), np.int64)
        order.locate(
            np.array([slot], np.int64),
            self.mixing.counts(step),
            self.mixing.counts(step + 1),
            self.sizes,
            self._keys,
            np.uint64(order.subkey(self._step_key, step)),
            located,
        )
        source, place, epoch = (int(value) for value in located[0])
        return source, place, epoch

    def parts(self) -> dict[str, object]:
        """Everything that determines the order of the data, in the form that `resume.check_resume` compares."""
        first = self.sources[self.names[0]]
        return {
            "seed": self.seed,
            "global_batch": self.global_batch,
            "row_length": 0,
            "pad_id": 0,
            "tokenizer": first.manifest["tokenizer"],
            "sources": {name: {"identity": pairs.identity, "rows": len(pairs)} for name, pairs in self.sources.items()},
            "stages": self.mixing.stages(),
        }

    def fingerprint(self) -> str:
        """SHA-256 of `parts`."""
        return identity(self.parts())


def open_pairs(
    folders: Mapping[str, Path],
    recipe: MixtureRecipe,
    *,
    seed: int,
    steps: int,
    global_batch: int,
    plugins: Registry | None = None,
) -> PairDataset:
    """Opens the pairs of a run.

    Args:
        folders: source -> folder of its pairs.
        recipe: the mixture; its packing is ignored.
        seed: the run's seed; `shuffle_seed` in the recipe overrides it.
        steps: number of steps of the run.
        global_batch: pairs per step, over all ranks and accumulation.
    Raises:
        KormoError: a folder is unfinished or damaged, or the mixture cannot be maintained for the whole run.
    """
    components = plugins or registry()
    sources = {name: Pairs(folder) for name, folder in folders.items()}
    mixture = dict(recipe.mixture)
    name = mixture.pop("name")
    settings = components.params("mixing", name, mixture, "kormo.mixture")
    if getattr(settings, "stages", ()):
        raise KormoError(
            where="kormo.data.mixture.stages",
            found="stages for preference pairs",
            why="stages begin at a token count, but a run on preference pairs counts pairs",
            do="remove them, or split the run into two recipes",
        )
    sizes = {name: SourceSize(rows=len(pairs), tokens=len(pairs)) for name, pairs in sources.items()}
    mixing = components.load("mixing", name)(sizes, settings, row_length=1, global_batch=global_batch, steps=steps)
    chosen = getattr(settings, "shuffle_seed", None)
    return PairDataset(sources, mixing, seed=seed if chosen is None else chosen, steps=steps, global_batch=global_batch)
