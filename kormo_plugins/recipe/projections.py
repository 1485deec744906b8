"""What each stage of the pipeline needs of a recipe, and nothing else of it.

A `Recipe` knows everything; whoever is given one can depend on everything. The stages are given these instead:

    recipe.build_plan()       all that is built before training: the plans below, and the corpora
    recipe.tokenizer_plan()   which tokenizer, for which role
    recipe.row_plan()         how documents become tokens and rows
    recipe.pair_plan()        how they become preference pairs
    recipe.model_plan()       which weights training starts from
    recipe.stream_plan()      which row is read when

Each is frozen and carries its own place in messages, so that a stage need not know which file said what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.choice import Choice
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.schema.kormo_block import Dtype, Role, TokenizerChoice

if TYPE_CHECKING:
    from kormo_plugins.corpus.params import CorpusRecipe
    from kormo_plugins.mixture.params import MixtureRecipe


@dataclass(frozen=True)
class EarlierRun:
    """The finished stage that a run goes on from.

    Args:
        folder: its output folder (`kormo.from_run`).
        architecture: what the recipe says of the model; None: nothing, the model keeps its own config.
        where: dotted key -> the file and key that said it.
        components: the installed plugins.
    """

    folder: Path
    architecture: Choice | None
    where: Callable[[str], str]
    components: Registry


@dataclass(frozen=True)
class CorpusPlan:
    """Which documents are read and cleaned.

    Args:
        path: the recipe, for messages.
        workspace: folder of all artifacts.
        components: the installed plugins.
        corpus: the sources, and the steps that clean them.
    """

    path: Path
    workspace: Path
    components: Registry
    corpus: CorpusRecipe


@dataclass(frozen=True)
class TokenizerPlan:
    """Which tokenizer a run has.

    Args:
        path: the recipe, for messages.
        workspace: folder of all artifacts.
        components: the installed plugins.
        choice: where it comes from; None: from the earlier run, if any.
        role: `base` or `chat`: which token ends what the model writes.
        before: the stage that the run goes on from.
        files: parameter of one that is trained -> the file that sets it, for messages.
    """

    path: Path
    workspace: Path
    components: Registry
    choice: TokenizerChoice | None
    role: Role
    before: EarlierRun | None
    files: Mapping[str, str]


@dataclass(frozen=True)
class RowPlan:
    """How the documents of each source become tokens, and tokens rows.

    Args:
        workspace, components: as above.
        corpus: the sources.
        mixture: packing, and what becomes of conversations that are too long.
        row_length: tokens per row.
        refused_turns: name of a source of conversations -> why the recipe cannot train on one.
        engine: the library that encodes text (`shards.engines.ENGINES`), or `auto`; ids do not depend on it.
    """

    path: Path
    workspace: Path
    components: Registry
    corpus: CorpusRecipe
    mixture: MixtureRecipe
    row_length: int
    refused_turns: Callable[[str], Iterable[KormoError]]
    engine: str = "auto"


@dataclass(frozen=True)
class PairPlan:
    """How the documents of each source become tokenized preference pairs of at most `length` tokens."""

    workspace: Path
    sources: tuple[str, ...]
    length: int


@dataclass(frozen=True)
class ModelPlan:
    """Which weights training starts from.

    Args:
        architecture: of a model from scratch, or what changes over the weights of `before`.
        before: the stage that the run goes on from; None: from scratch, or from Axolotl's `base_model`.
        role: `base` or `chat`.
        seed: of the initial weights.
        dtype: in which they are written.
        generation: settings saved beside them.
    """

    path: Path
    workspace: Path
    components: Registry
    architecture: Choice | None
    before: EarlierRun | None
    role: Role
    seed: int
    dtype: Dtype
    generation: Mapping[str, object]


@dataclass(frozen=True)
class BuildPlan:
    """All that is built before training, each stage with its own plan.

    Args:
        path: the recipe, for messages.
        corpora: the documents to train on; None: Axolotl's own datasets.
        external: texts that are only measured.
        rows, pairs: what the documents become; at most one of the two.
    """

    path: Path
    corpora: CorpusPlan | None
    external: CorpusPlan | None
    tokenizer: TokenizerPlan
    rows: RowPlan | None
    pairs: PairPlan | None
    model: ModelPlan


@dataclass(frozen=True)
class StreamPlan:
    """Which row is read when: a pure function of these and of the row plans.

    Args:
        mixture: weights of the sources over the run.
        seed: of the order.
        row_length: tokens per row.
        steps: optimizer steps.
        global_batch: rows per step over all ranks.
        pairs: preference pairs are read instead of rows.
    """

    components: Registry
    mixture: MixtureRecipe
    seed: int
    row_length: int
    steps: int
    global_batch: int
    role: Role
    pairs: bool
