"""Sample i is a function of the recipe, the seed and i: for any ranks, workers and starting point."""

from __future__ import annotations

import multiprocessing
import pickle
from itertools import islice

import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader

from kormo_plugins.mixture import dataset
from kormo_plugins.mixture.batches.collators import DocumentMask, DocumentMaskParams
from kormo_plugins.mixture.dataset import MixtureDataset
from kormo_plugins.shards.reader import Shards

from .made_sources import PAD, OpenMixture

WEIGHTS = {"weights": {"korean": {"share": 3, "of": {"ko": 1, "web": 2}}, "en": 2}}


class From(torch.utils.data.Sampler):
    """The order of the dataset, from an offset on: what a trainer that resumes gives its DataLoader."""

    def __init__(self, offset: int, end: int) -> None:
        self.offset, self.end = offset, end

    def __iter__(self):
        return iter(range(self.offset, self.end))

    def __len__(self) -> int:
        return self.end - self.offset


def stream(data: MixtureDataset, world: int, micro_batch: int, *, start: int = 0, workers: int = 0) -> list[bytes]:
    """The rows of every step, in slot order, as all ranks get them through accelerate's loaders."""
    loaders = []
    for rank in range(world):
        loader = torch.utils.data.DataLoader(
            data,
            batch_size=micro_batch,
            sampler=From(start * data.global_batch, len(data)),
            num_workers=workers,
            collate_fn=DocumentMask(DocumentMaskParams()),
            drop_last=True,
        )
        loaders.append(iter(prepare_data_loader(loader, num_processes=world, process_index=rank)))
    rows = []
    for _ in range((data.steps - start) * data.global_batch // (micro_batch * world)):
        for loader in loaders:
            batch = next(loader)
            stacked = torch.stack([batch[key] for key in ("input_ids", "labels", "position_ids")], 1)
            rows += [row.numpy().tobytes() for row in stacked]
    for loader in loaders:
        with pytest.raises(StopIteration):
            next(loader)
    return rows


@pytest.mark.parametrize("world", [1, 2, 3, 4, 6, 8])
def test_every_world_size_trains_on_the_same_rows_in_the_same_order(mixture: OpenMixture, world: int) -> None:
    data = mixture(WEIGHTS, steps=4, global_batch=48)
    expected = stream(data, 1, 48)
    assert len(expected) == len(data) == len(set(expected)), "rows came twice within an epoch"
    for micro_batch in (1, 2):
        assert stream(data, world, micro_batch) == expected


@pytest.mark.parametrize(("world", "micro_batch"), [(1, 4), (3, 2), (8, 1)])
def test_a_resumed_run_sees_what_comes_next(mixture: OpenMixture, world: int, micro_batch: int) -> None:
    data = mixture(WEIGHTS, steps=6, global_batch=24)
    whole = stream(data, 1, 24)
    assert stream(data, world, micro_batch, start=4) == whole[4 * 24 :]


def test_workers_change_nothing(mixture: OpenMixture) -> None:
    data = mixture(WEIGHTS, steps=2, global_batch=8)
    assert stream(data, 2, 2, workers=2) == stream(data, 1, 8)


def test_a_spawned_worker_reads_the_same(mixture: OpenMixture) -> None:
    data = mixture(WEIGHTS, steps=2, global_batch=8)
    loader = torch.utils.data.DataLoader(
        data,
        batch_size=8,
        num_workers=1,
        multiprocessing_context=multiprocessing.get_context("spawn"),
        collate_fn=DocumentMask(DocumentMaskParams()),
    )
    for step, batch in enumerate(loader):
        assert (batch["input_ids"].numpy() == data.__getitems__(range(8 * step, 8 * step + 8)).input_ids).all()


def test_rows_hold_the_documents_that_the_sample_names(mixture: OpenMixture) -> None:
    data = mixture(WEIGHTS, steps=10)
    for index in range(0, len(data), 7):
        sample, row = data.sample(index), data[index]
        shards = data.rows[sample.source].shards
        pieces = [shards.document(document)[start:end] for document, start, end in sample.documents]
        ids = np.concatenate(pieces)
        assert (row["input_ids"][: len(ids)] == ids).all()
        assert (row["input_ids"][len(ids) :] == PAD).all() and row["filled"] == len(ids)
        positions = np.concatenate([np.arange(len(p)) for p in pieces] + [np.arange(len(row["labels"]) - len(ids))])
        assert (row["position_ids"] == positions).all()
        assert row["source"] == data.names.index(sample.source)


def test_any_set_of_indices_at_any_time_gives_the_same_rows(mixture: OpenMixture) -> None:
    data, rng = mixture(WEIGHTS, steps=40), np.random.default_rng(0)
    whole = data.__getitems__(range(len(data))).input_ids
    again = pickle.loads(pickle.dumps(data))
    for _ in range(50):
        indices = rng.integers(0, len(data), 9).tolist()
        assert (again.__getitems__(indices).input_ids == whole[indices]).all()
    assert (data[-1]["input_ids"] == whole[-1]).all()
    for outside in (len(data), -1):
        with pytest.raises(IndexError):
            data.__getitems__([outside])
    assert sum(1 for _ in islice(iter(data), 5)) == 5


def test_another_seed_is_another_order_of_the_same_rows(mixture: OpenMixture) -> None:
    one, other = mixture(WEIGHTS), mixture(WEIGHTS, seed=2)
    assert one.fingerprint() != other.fingerprint()
    assert (one.locate(range(480)) != other.locate(range(480))).any()
    named = mixture({**WEIGHTS, "shuffle_seed": 1}, seed=2)
    assert named.fingerprint() == one.fingerprint()
    assert (named.locate(range(480)) == one.locate(range(480))).all()


def test_data_larger_than_memory_gives_the_same_rows(mixture: OpenMixture, monkeypatch: pytest.MonkeyPatch) -> None:
    here = mixture(WEIGHTS)
    monkeypatch.setattr(dataset, "total_memory", lambda: 1000)
    asked: list[int] = []
    real = Shards.will_need
    monkeypatch.setattr(Shards, "will_need", lambda s, a, b: (asked.append(b - a), real(s, a, b)))
    there = mixture(WEIGHTS)
    rows = there.__getitems__(range(48))
    assert (rows.input_ids == here.__getitems__(range(48)).input_ids).all()
    assert sum(asked) == rows.filled.sum()
