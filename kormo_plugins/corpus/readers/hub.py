"""The reader `hub`: a dataset of the hub by id, streamed, at a fixed commit."""

from __future__ import annotations

import re
from functools import lru_cache, partial

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.columns import Columns
from kormo_plugins.corpus.readers.rows import from_row
from kormo_plugins.corpus.step import Read
from kormo_plugins.errors import KormoError

COMMIT = re.compile(r"[0-9a-f]{40}")


class HubParams(Strict):
    """A dataset of the hub."""

    dataset: str = Field(description="id on the hub (`KORMo-Team/FineWeb2-ko-synth`)", pattern=r"^[\w.-]+/[\w.-]+$")
    config: str | None = Field(default=None, description="configuration (subset) of the dataset")
    split: str = Field(default="train", description="split of the dataset")
    revision: str | None = Field(
        default=None, description="commit (40 hex digits) to read; null: the newest, looked up once and written down"
    )
    columns: Columns = Field(default=Columns(), description="which column is what")


class Hub:
    """Streams a dataset; no code of the dataset's repository is ever run.

    A part is a run of the dataset's files. Where there are fewer files than parts, the last parts are empty.
    """

    VERSION = 2

    def inputs(self, params: HubParams) -> dict[str, object]:
        """What the documents depend on: the dataset, its commit and the columns."""
        return params.model_dump(mode="json") | {"revision": self.commit(params)}

    def commit(self, params: HubParams) -> str:
        """The commit that is read.

        Raises:
            KormoError: it is not named, and the hub cannot be asked.
        """
        if params.revision and COMMIT.fullmatch(params.revision):
            return params.revision
        try:
            return _newest(params.dataset, params.revision)
        except Exception as error:  # no network, no such dataset, gated: all end here, with the reason
            raise _unreachable(params, error) from error

    def pinned(self, params: HubParams) -> HubParams:
        """`params` with the commit written out: what one process looked up all others are told, wherever they run."""
        return params.model_copy(update={"revision": self.commit(params)})

    def __call__(self, params: HubParams, shard: int = 0, shards: int = 1) -> Read:
        """The documents of part `shard` of `shards`."""
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
        for number, row in enumerate(dataset.shard(num_shards=parts, index=shard, contiguous=True), 1):
            place = f"{params.dataset}:{shard}-{parts}:{number}"
            yield from_row(row, params.columns, place, partial(repr, row))


@lru_cache(maxsize=256)
def _newest(dataset: str, revision: str | None) -> str:
    """Looked up once: the hash of an artifact and the documents in it must be of the same commit, even if somebody
    writes to the dataset in between."""
    from huggingface_hub import HfApi

    return str(HfApi().dataset_info(dataset, revision=revision, timeout=30).sha)


def _unreachable(params: HubParams, error: Exception) -> KormoError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return KormoError(
        where="reader hub: dataset",
        found=f"{params.dataset} at {params.revision or 'its newest commit'}",
        why=f"the hub did not give it: {first}",
        do="check the id and the network, log in if it is gated, or download it and use the reader `folder`",
    )


hub = Hub()
