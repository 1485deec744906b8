"""A finished run on a model hub: the plain Llama as `main`, the rest as revisions of the same repository.

    main                         export/: opens in transformers, vLLM and llama.cpp without this package
    kormo                        the run's own layout, with its resolved recipe, record and metrics
    step-1000-tokens-4.2B        a checkpoint, as a plain model; one revision each, as in published training dynamics

Each revision has a `SHA256SUMS`; before it is made, the files are compared with what the run wrote. Nothing is uploaded
before the model is finished: Axolotl's own upload includes Trainer's card, a pickle and configs of the training loop.
Optimizer states, random states and pickles are never uploaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.architecture.export import check_unchanged
from kormo_plugins.architecture.files import TOKENIZER_FILES
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.runs.publishing.hub_card import CARD, with_metadata
from kormo_plugins.store.complete import MARKER, fault
from kormo_plugins.store.sums import SUMS, list_of, sha256_of
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of
from kormo_plugins.training.telemetry import left_behind, run_record

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EXPORT = "export"
OWN = "kormo"
"""Revision of the run's own layout."""

MODEL_FILES = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)
RECORDS = (CARD, "recipe.yml", "run.json", "metrics.jsonl", "evaluation.json", MARKER)
REPOSITORY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclass(frozen=True)
class Revision:
    """One upload.

    Args:
        name: branch of the repository.
        folder: where its files are.
        patterns: glob patterns of the files to upload; nothing else leaves the folder.
    """

    name: str
    folder: Path
    patterns: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Paths of the files to upload, sorted."""
        paths = {path for pattern in self.patterns for path in self.folder.glob(pattern) if path.is_file()}
        return sorted(paths)


def revisions(run: Path) -> Iterator[Revision]:
    """The revisions of a finished run, `main` first; their files have been verified.

    Raises:
        KormoError: the run is not finished, a file of it or of its export was changed, or it has no export.
    """
    reason = fault(run) if run.is_dir() else "there is no such folder"
    if reason is not None:
        raise KormoError(
            where=str(run),
            found="no finished run",
            why=reason,
            do="finish training (the same command resumes it), then publish it",
        )
    if not (run / EXPORT / "config.json").is_file():
        raise KormoError(
            where=str(run / EXPORT),
            found="no export",
            why="the plain model, which opens without this package, is published as main",
            do=f"kormo export {run} --to llama {run / EXPORT}",
        )
    check_unchanged(run / EXPORT)
    left_behind.check_left_behind(run)
    yield Revision("main", run / EXPORT, (*MODEL_FILES, CARD, "kormo_export.json"))
    yield Revision(OWN, run, (*MODEL_FILES, *RECORDS))
    record = run_record.read_record(run)
    per_step = int(record.get("global_batch") or 0) * int(record.get("sequence_len") or 0)
    for folder in checkpoints(run):
        if fault(folder) is None:
            yield Revision(revision_name(step_of(folder), per_step), folder, (*MODEL_FILES, MARKER))


def revision_name(step: int, tokens_per_step: int) -> str:
    """`step-1000-tokens-4.2B`; without the tokens if their number per step is not fixed."""
    tokens = step * tokens_per_step
    return f"step-{step}" + (f"-tokens-{amount(tokens)}" if tokens else "")


def amount(tokens: int) -> str:
    """A number of tokens with two to three digits: `655K`, `4.2B`."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if tokens >= size:
            value = tokens / size
            return (f"{value:.0f}" if value >= 100 else f"{value:.1f}".removesuffix(".0")) + unit
    return str(tokens)


def publish(
    run: Path, repository: str, api: HfApi | None = None, *, private: bool = True, licence: str | None = None
) -> dict[str, str]:
    """Uploads a finished run to a hub; files that are already there are not uploaded again.

    Args:
        repository: `owner/name`; created if it does not exist.
        api: client of the hub; by default from the environment (`HF_ENDPOINT`, the token of `hf auth login`).
        private: whether a newly created repository is private.
        licence: of the model, for the card.
    Returns:
        Name of each revision -> SHA-256 of its `SHA256SUMS`, for those who fetch it.
    Raises:
        KormoError: the run is unfinished or was changed, the name is invalid, or the hub refuses. The run is not
        changed.
    """
    import httpx
    from huggingface_hub import HfApi as Hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    refuse_repository(repository)
    hub, sent = api or Hub(), dict[str, str]()
    planned = [(revision, _texts(run, revision, licence)) for revision in revisions(run)]
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        for revision, texts in planned:
            _send(hub, repository, revision, texts)
            sent[revision.name] = sha256_of(texts[SUMS].encode())
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise KormoError(
            where=repository,
            found=in_words(error),
            why=f"uploaded so far: {', '.join(sent) or 'nothing'}, of {len(planned)} revisions",
            do=f"kormo publish {run} {repository} continues once the hub can be reached (hf auth login)",
        ) from None
    return sent


def refuse_repository(repository: str) -> None:
    """Checks the name of a repository.

    Raises:
        KormoError: it is not `owner/name`.
    """
    if not REPOSITORY.match(repository):
        raise KormoError(
            where="hub_model_id",
            found=repr(repository),
            why="a hub repository is named owner/name",
            do="write owner/name",
        )


def _texts(run: Path, revision: Revision, licence: str | None) -> dict[str, str]:
    """Files of a revision that are generated for the hub: its card, if it has one, and its `SHA256SUMS`."""
    files = {path.name: path for path in revision.files}
    card = files.pop(CARD, None)
    texts = {} if card is None else {CARD: with_metadata(run, card, licence)}
    lines = "".join(f"{sha256_of(text.encode())}  {name}\n" for name, text in texts.items())
    return {**texts, SUMS: list_of(files) + lines}


def _send(hub: HfApi, repository: str, revision: Revision, texts: Mapping[str, str]) -> None:
    if revision.name != "main":
        hub.create_branch(repository, branch=revision.name, exist_ok=True)
    hub.upload_folder(
        repo_id=repository,
        folder_path=revision.folder,
        revision=revision.name,
        allow_patterns=[path.name for path in revision.files if path.name not in texts],
        commit_message=f"{revision.name}: {revision.folder.name}",
    )
    for name, text in texts.items():
        hub.upload_file(
            repo_id=repository,
            path_or_fileobj=text.encode(),
            path_in_repo=name,
            revision=revision.name,
            commit_message=f"{revision.name}: {name}",
        )
