"""The documents of a dataset recipe on a hub: the card, and a folder for each source, which is a configuration there.

main/README.md                     the card that `kormo data report` writes
main/SOURCE/part-*.jsonl.zst       the cleaned documents of a source, as its corpus artifact holds them
main/SHA256SUMS                    all of these, for `sha256sum --check`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.runs.publishing.hub_card import CARD
from kormo_plugins.runs.publishing.publish import REPOSITORY
from kormo_plugins.store.corpus_files import part_files
from kormo_plugins.store.sums import SUMS, list_of, sha256_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def publish_documents(
    repository: str, card: str, corpora: Mapping[str, Path], api: HfApi | None = None, *, private: bool = True
) -> int:
    """Uploads documents and card as one dataset.

    Args:
        repository: `owner/name`; created if it does not exist.
        card: content of its README.md.
        corpora: name of each source -> folder of its corpus artifact.
        api: client of the hub; by default from the environment.
        private: whether a newly created repository is private.
    Returns:
        Number of document files uploaded.
    Raises:
        KormoError: the name is invalid, a file differs from the manifest of its corpus, or the hub refuses.
    """
    import httpx
    from huggingface_hub import HfApi as Hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    _refuse_other_names(repository)
    hub, kind = api or Hub(), "dataset"
    parts = {name: part_files(folder) for name, folder in corpora.items()}
    listed = {f"{name}/{path.name}": path for name, records in parts.items() for path in records}
    for records in parts.values():
        for path, record in records.items():
            record.check(path)
    try:
        hub.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        for name, folder in corpora.items():
            hub.upload_folder(
                repo_id=repository,
                repo_type=kind,
                folder_path=folder,
                path_in_repo=name,
                allow_patterns=[path.name for path in parts[name]],
                commit_message=f"documents of {name}",
            )
        sums = f"{list_of(listed)}{sha256_of(card.encode())}  {CARD}\n"
        for name, text in ((CARD, card), (SUMS, sums)):
            hub.upload_file(
                repo_id=repository,
                repo_type=kind,
                path_or_fileobj=text.encode(),
                path_in_repo=name,
                commit_message=name,
            )
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise KormoError(
            where=repository,
            found=in_words(error),
            why="not all documents were uploaded; those already uploaded are not sent again",
            do="repeat the command when the hub can be reached (hf auth login)",
        ) from None
    return len(listed)


def _refuse_other_names(repository: str) -> None:
    if not REPOSITORY.match(repository):
        raise KormoError(
            where="kormo data publish",
            found=repr(repository),
            why="a hub repository is named owner/name",
            do="write owner/name",
        )
