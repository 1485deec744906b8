"""What has been built for a recipe, and the two ways to have it: build what is missing, or look only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kormo_plugins.errors import KormoError, printable, redact
from kormo_plugins.store.artifact import Artifact, Make, Spec, find
from kormo_plugins.store.fingerprint import identity

ArtifactProvider = Callable[[Path, Spec, Make], Artifact]
"""How an artifact is had: `artifact.build` makes it if it is missing; `lookup_only` makes nothing."""


class NotBuilt(KormoError):
    """Something that would first have to be built."""


def say(line: str) -> None:
    """One line of progress, on stderr: stdout belongs to what was asked for."""
    print(f"kormo: {printable(redact(line))}", file=sys.stderr, flush=True)


@dataclass
class Built:
    """The artifacts of a recipe, by what they are for."""

    tokenizer: Path | None = None
    tokenizer_hash: str = ""
    corpora: dict[str, Artifact] = field(default_factory=dict)
    shards: dict[str, Artifact] = field(default_factory=dict)
    rows: dict[str, Artifact] = field(default_factory=dict)
    unseen: dict[str, Artifact] = field(default_factory=dict)
    preferences: dict[str, Artifact] = field(default_factory=dict)
    init: Artifact | None = None
    base_model: Path | None = None
    weights_hash: str = ""

    @property
    def data_hash(self) -> str:
        """Identity of the packed data: every source's row plan, or its preference pairs."""
        return identity({name: artifact.hash for name, artifact in sorted({**self.rows, **self.preferences}.items())})


def lookup_only(path: Path) -> ArtifactProvider:
    """A way to have artifacts that builds none; `path` is the recipe's.

    Raises (when called):
        NotBuilt: the artifact is not there.
    """

    def get(workspace: Path, spec: Spec, make: Make) -> Artifact:
        found = find(workspace, spec)
        if found is None:
            raise NotBuilt(
                where=f"{path}: {spec.kind} of {spec.name}",
                found=f"no {workspace / spec.folder}",
                why="it is not built yet, or what it is built from has changed since",
                do=f"run `kormo data build {path}`",
            )
        return found

    return get
