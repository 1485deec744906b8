"""What has been built for a recipe, and the two ways to get it: build what is missing, or only look it up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from kormo_plugins.errors import KormoError, printable, redact
from kormo_plugins.store.artifact import Artifact, Make, Spec, find
from kormo_plugins.store.fingerprint import identity

ArtifactProvider = Callable[[Path, Spec, Make], Artifact]
"""Returns an artifact: `artifact.build` builds it if it is missing, `lookup_only` never builds."""


class NotBuilt(KormoError):
    """An artifact that has not been built yet."""


def say(line: str) -> None:
    """Prints a line of progress to stderr; stdout is for results."""
    print(f"kormo: {printable(redact(line))}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class BuiltTokenizer:
    """A folder that `AutoTokenizer` opens, and the hash of everything that determines token ids."""

    path: Path
    hash: str


@dataclass(frozen=True)
class BuiltModel:
    """A checkpoint to start from.

    Args:
        path: its folder.
        weights_hash: identity of its weights.
        artifact: None if it is the unchanged folder of the previous stage.
    """

    path: Path
    weights_hash: str
    artifact: Artifact | None = None


@dataclass
class Built:
    """The artifacts of a recipe by purpose; filled in as they are built."""

    made_tokenizer: BuiltTokenizer | None = None
    model: BuiltModel | None = None
    corpora: dict[str, Artifact] = field(default_factory=dict)
    shards: dict[str, Artifact] = field(default_factory=dict)
    rows: dict[str, Artifact] = field(default_factory=dict)
    external_eval: dict[str, Artifact] = field(default_factory=dict)
    preferences: dict[str, Artifact] = field(default_factory=dict)

    @property
    def tokenizer(self) -> Path | None:
        """The tokenizer's folder; None if Axolotl loads that of the base model."""
        return self.made_tokenizer.path if self.made_tokenizer else None

    @property
    def tokenizer_hash(self) -> str:
        """Hash of everything that determines ids; empty without a tokenizer of ours."""
        return self.made_tokenizer.hash if self.made_tokenizer else ""

    @property
    def init(self) -> Artifact | None:
        """The initial checkpoint, if it is an artifact."""
        return self.model.artifact if self.model else None

    @property
    def base_model(self) -> Path | None:
        """The folder that training starts from; None if `base_model` names it."""
        return self.model.path if self.model else None

    @property
    def weights_hash(self) -> str:
        """Identity of the weights that training starts from."""
        return self.model.weights_hash if self.model else ""

    @property
    def data_hash(self) -> str:
        """Identity of the packed data: every source's row plan, or its preference pairs."""
        return identity({name: artifact.hash for name, artifact in sorted({**self.rows, **self.preferences}.items())})


def lookup_only(path: Path, check: bool = True) -> ArtifactProvider:
    """An `ArtifactProvider` that builds nothing; `path` is the recipe's, `check` as for `find`.

    Raises (when called):
        NotBuilt: the artifact is not there.
    """

    def get(workspace: Path, spec: Spec, make: Make) -> Artifact:
        """The artifact as it lies in the workspace.

        Raises:
            NotBuilt: it is not there.
        """
        artifact = find(workspace, spec, check)
        if artifact is None:
            raise NotBuilt(
                where=f"{path}: {spec.kind} of {spec.name}",
                found=f"no {workspace / spec.folder}",
                why="it is not built yet, or its inputs have changed since",
                do=f"run `kormo data build {path}`",
            )
        return artifact

    return get


def dumped(params: BaseModel | None) -> dict[str, object]:
    """A component's parameters as JSON values; empty if it takes none."""
    return params.model_dump(mode="json") if params is not None else {}
