"""Tokenizes documents to shards: one source, in parallel, resumable shard by shard.

The input is divided into jobs, one per shard: a part file of a corpus, or `chunk_characters` characters of an iterable
of documents. A job is identified by a hash of its input and of all settings that determine its output; an existing
shard with that hash is kept.

Every document becomes BOS, text, EOS, as in KORMo's training; a conversation is encoded by `conversations`, with a loss
mask. For each shard of texts a sample of its documents is encoded again with `tokenizers` and recorded in the manifest
(`proof`): if the fast engine ever differs, the whole source is encoded again with the next one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.documents.document import Document, read_documents
from kormo_plugins.errors import KormoError
from kormo_plugins.shards.encoder import Disagreement, Encoder
from kormo_plugins.shards.engines import ENGINES, engine_version
from kormo_plugins.shards.format import FORMAT, id_dtype, shard_name
from kormo_plugins.shards.processes import Progress, run_all
from kormo_plugins.shards.writer import COUNTED, ShardWriter, finish_source
from kormo_plugins.store.corpus_files import read_part
from kormo_plugins.store.files import FileRecord, file_records, read_json
from kormo_plugins.store.fingerprint import file_checksum, identity

log = logging.getLogger(__name__)
BATCH_CHARACTERS = 1 << 20
"""Characters per call: enough to amortize the call, few enough to stay in the cache."""
CHUNK_CHARACTERS = 1 << 26
"""Characters per shard for an iterable: about 20 million tokens."""
CHECK_EVERY = 512
"""One in this many documents, and the first of each shard, is encoded a second time for comparison."""
CHECK_CHARACTERS = 1 << 13
"""Characters of such a document that are compared; the reference is six times slower."""


class EncodeConversations(Protocol):
    """Encodes conversations; passed in by a higher floor, since this one has no chat template. Picklable."""

    @property
    def identity(self) -> str:
        """Changes if the same conversation would be encoded to different ids or a different mask."""

    def __call__(
        self, documents: Sequence[Document]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint8]]:
        """Concatenated ids (shape [sum(lengths)]), lengths (shape [documents]) and loss mask (1: predicted; as the
        ids)."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that one shard is made from."""

    name: str
    out: Path
    tokenizer: Path
    bos_id: int | None
    eos_id: int | None
    control_tokens: tuple[str, ...]
    engine: str
    documents: Path | tuple[Document, ...]
    conversations: EncodeConversations | None = None
    record: FileRecord | None = None


def tokenize_source(
    documents: Iterable[Document] | Sequence[Path],
    tokenizer: Path,
    out: Path,
    *,
    source: str,
    bos_id: int | None = None,
    eos_id: int | None = None,
    control_tokens: Sequence[str] = (),
    workers: int = 1,
    engine: str = "auto",
    chunk_characters: int = CHUNK_CHARACTERS,
    conversations: EncodeConversations | None = None,
    recorded: Mapping[Path, FileRecord] | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Writes the shards of one source into `out` and returns the content of `shards.json`.

    Args:
        documents: part files (`.jsonl.zst`, one shard each), or an iterable of documents.
        tokenizer: folder with a `tokenizer.json`.
        out: the output folder; finished shards in it are kept if they were made from the same input.
        source: name of the source.
        bos_id: token put before each document, if given.
        eos_id: token put after each document, if given.
        control_tokens: added tokens that are matched in text (`<think>` for reasoning data).
        workers: processes; 1 runs in this one.
        engine: `auto` or one of `engines.ENGINES`; the next one is used if it is unusable or differs from `tokenizers`.
        chunk_characters: characters per shard if `documents` is not a list of files.
        conversations: encoder for a source of conversations; its template then determines bos_id, eos_id and
            control_tokens.
        recorded: size and checksum of each part file, verified while it is read.
        progress: called with the record of each finished shard.
    Raises:
        KormoError: a part file has changed, the tokenizer or a document cannot be used, or there are no documents.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    job = Job("", out, Path(tokenizer), bos_id, eos_id, tuple(control_tokens), engine, (), conversations)
    encoder = _encoder(job)
    job = replace(job, engine=encoder.kind)
    _refuse_foreign_ids(source, encoder.largest_id, bos_id=bos_id, eos_id=eos_id)
    if encoder.reason and conversations is None:
        log.warning("%s: encoding with the slower engine %s: %s", source, encoder.kind, encoder.reason)
    jobs = partial(_jobs, documents, chunk_characters=chunk_characters, recorded=recorded or {})
    again, workers = isinstance(documents, (list, tuple)), min(workers, _shards_at_most(documents, workers))
    records = _agreed(
        jobs, job, partial(run_all, make_shard, number=workers, where=f"{source}: tokenizing", progress=progress), again
    )
    kinds = sorted({record["encoder"] for record in records})
    about = {
        "tokenizer": encoder.hash,
        "largest_id": encoder.largest_id,
        "bos_id": bos_id,
        "eos_id": eos_id,
        "control_tokens": sorted(control_tokens),
        "encoder": kinds[0] if len(kinds) == 1 else kinds,
        **_proof(records),
    }
    return finish_source(out, source, records, about)


def _refuse_foreign_ids(source: str, largest: int, **ids: int | None) -> None:
    """Refuses a `bos_id` or `eos_id` outside the tokenizer's vocabulary."""
    for role, number in ids.items():
        if number is not None and not 0 <= number <= largest:
            raise KormoError(
                where=f"{source}: {role}",
                found=str(number),
                why=f"the largest id of the tokenizer is {largest}",
                do="use the id of one of its tokens",
            )


def _agreed(
    jobs: Callable[[Job], Iterator[Job]], job: Job, run: Callable[[Iterator[Job]], list[dict[str, object]]], again: bool
) -> list[dict[str, Any]]:
    """The records of all shards, made by the first engine from `job.engine` on that never differs from `tokenizers`.

    Args:
        again: whether the documents can be read more than once.
    """
    while True:
        try:
            return run(jobs(job))
        except Disagreement as found:
            following = ENGINES[ENGINES.index(job.engine) + 1]
            if not again:
                raise KormoError(
                    where=f"{job.out.name}: document {found}",
                    found=f"{job.engine} and tokenizers encode it differently",
                    why=f"{job.engine} is not exact for this tokenizer, and the documents can be read only once",
                    do=f"use the engine {following} (kormo.tokenizer.engine)",
                ) from None
            log.warning(
                "%s: %s and tokenizers differ on document %s; encoding all with %s",
                job.out.name,
                job.engine,
                found,
                following,
            )
            job = replace(job, engine=following)


def _proof(records: list[dict[str, Any]]) -> dict[str, object]:
    """The amount of text encoded twice, over all shards; empty for conversations and for the reference itself."""
    proofs = [record["proof"] for record in records if "proof" in record]
    if not proofs:
        return {}
    return {"proof": {**proofs[0], **{key: sum(proof[key] for proof in proofs) for key in ("documents", "tokens")}}}


def _shards_at_most(documents: Any, unknown: int) -> int:
    """How many shards there can be; `unknown` for documents that are not in files."""
    return len(documents) if _are_files(documents) else unknown


def _are_files(documents: Any) -> bool:
    return isinstance(documents, (list, tuple)) and all(isinstance(item, Path) for item in documents)


def _jobs(documents: Any, job: Job, chunk_characters: int, recorded: Mapping[Path, FileRecord]) -> Iterator[Job]:
    if _are_files(documents):
        for number, part in enumerate(documents):
            yield replace(job, name=shard_name(number), documents=part, record=recorded.get(part))
        return
    chunk: list[Document] = []
    number = size = 0
    for document in documents:
        chunk.append(document)
        size += len(document.text)
        if size >= chunk_characters:
            yield replace(job, name=shard_name(number), documents=tuple(chunk))
            number, size, chunk = number + 1, 0, []
    if chunk:
        yield replace(job, name=shard_name(number), documents=tuple(chunk))


def open_in_this_process(tokenizer: Path, control_tokens: Sequence[str] = (), engine: str = "auto") -> None:
    """Opens the encoder ahead of `tokenize_source`, which uses it if tokenizer.json is still the same."""
    _encoder(Job("", Path(), tokenizer, None, None, tuple(control_tokens), engine, ()))


_encoders: dict[tuple[object, ...], Encoder] = {}


def _encoder(job: Job) -> Encoder:
    """This process's encoder for the job's settings; reloaded if tokenizer.json has changed."""
    path = job.tokenizer / "tokenizer.json" if job.tokenizer.is_dir() else job.tokenizer
    key = (str(path), path.stat().st_mtime_ns, job.control_tokens)
    if (job.engine, *key) not in _encoders:
        encoder = Encoder(job.tokenizer, job.control_tokens, engine=job.engine)
        _encoders.clear()
        _encoders[job.engine, *key] = _encoders[encoder.kind, *key] = encoder
    return _encoders[job.engine, *key]


def make_shard(job: Job) -> dict[str, object]:
    """Makes one shard, unless it exists with the same input; returns its record."""
    encoder = _encoder(job)
    from_files = isinstance(job.documents, Path)
    made_from = identity(
        {
            "format": FORMAT,
            "tokenizer": encoder.hash,
            "bos": job.bos_id,
            "eos": job.eos_id,
            "engine": job.engine,
            "control_tokens": sorted(job.control_tokens),
            **({"conversations": job.conversations.identity} if job.conversations else {}),
            "input": _input(job),
        }
    )
    if (existing := _existing(job.out, job.name, made_from)) is not None:
        return existing
    stream = _documents(job)
    about: dict[str, Counter[str]] = {key: Counter() for key in COUNTED}
    masked = job.conversations is not None
    compared: Counter[str] = Counter(documents=0, tokens=0)
    with ShardWriter(job.out, job.name, id_dtype(encoder.largest_id), masked=masked) as writer:
        for batch in _batches(stream):
            if not masked and encoder.kind != "tokenizers":
                _compare(encoder, batch, writer.documents, compared)
            ids, lengths, trained = _encode(job, encoder, batch)
            writer.add(ids, lengths, [d.id for d in batch], trained)
            _describe(about, batch)
        return writer.finish(
            {
                "made_from": made_from,
                "encoder": "chat template" if masked else encoder.kind,
                "input": job.documents.name if from_files else None,  # type: ignore[union-attr]
                **({"proof": _proof_of(encoder, compared)} if compared["documents"] else {}),
                **{key: dict(sorted(value.items())) for key, value in about.items()},
            }
        )


def _proof_of(encoder: Encoder, compared: Counter[str]) -> dict[str, object]:
    """Records how many documents both engines encoded to the same ids; a difference would have stopped the build."""
    return {
        "engine": f"{encoder.kind} {encoder.version}",
        "reference": f"tokenizers {engine_version('tokenizers')}",
        "documents": compared["documents"],
        "tokens": compared["tokens"],
    }


def _input(job: Job) -> str | list[object]:
    """The identity of a shard's input: the recorded checksum of the part file, or that of the existing file."""
    if job.record is not None:
        return job.record.xxh3_128
    return file_checksum(job.documents) if isinstance(job.documents, Path) else _content(job)


def _documents(job: Job) -> Iterator[Document]:
    if not isinstance(job.documents, Path):
        return iter(job.documents)
    return read_documents(job.documents) if job.record is None else read_part(job.documents, job.record)


def _content(job: Job) -> list[object]:
    """The identity of an input in memory: the contents of its documents."""
    assert not isinstance(job.documents, Path)
    return [
        [d.id, d.text, d.language, d.license, d.synthetic, d.generator, *([d.meta] if job.conversations else [])]
        for d in job.documents
    ]


def _encode(
    job: Job, encoder: Encoder, batch: list[Document]
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint8] | None]:
    """Ids, lengths and, for conversations, the loss mask."""
    if job.conversations is not None:
        return job.conversations(batch)
    return *_wrap(*encoder.encode([d.text for d in batch], [d.id for d in batch]), job.bos_id, job.eos_id), None


def _compare(encoder: Encoder, batch: list[Document], before: int, compared: Counter[str]) -> None:
    """Compares those of a batch that are checked; `before` is the number of documents before it in the shard."""
    picked = batch[-before % CHECK_EVERY :: CHECK_EVERY]
    tokens = encoder.compare([d.text[:CHECK_CHARACTERS] for d in picked], [d.id for d in picked])
    compared.update(documents=len(picked), tokens=tokens)


def _describe(about: dict[str, Counter[str]], batch: list[Document]) -> None:
    about["languages"].update(d.language for d in batch)
    about["licenses"].update(d.license for d in batch)
    about["generators"].update(d.generator for d in batch if d.generator)
    about["synthetic"].update("yes" if d.synthetic else "no" for d in batch)


def _existing(out: Path, name: str, made_from: str) -> dict[str, object] | None:
    path = out / f"{name}.json"
    if not path.is_file():
        return None
    try:
        record = read_json(path, FORMAT)
        for file, entry in file_records(record["files"], path).items():
            entry.check(out / file)
    except KormoError as error:
        log.warning("%s is rebuilt: %s", name, error)
        return None
    return record if record.get("made_from") == made_from else None


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _wrap(
    ids: NDArray[np.uint32], lengths: NDArray[np.int64], bos: int | None, eos: int | None
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Puts `bos` before and `eos` after each document."""
    if bos is None and eos is None:
        return ids, lengths
    before, after = bos is not None, eos is not None
    longer = lengths + before + after
    ends = np.cumsum(longer)
    out = np.empty(int(ends[-1]) if len(ends) else 0, np.uint32)
    text = np.ones(len(out), bool)
    if bos is not None:
        out[ends - longer], text[ends - longer] = bos, False
    if eos is not None:
        out[ends - 1], text[ends - 1] = eos, False
    out[text] = ids
    return out, longer
