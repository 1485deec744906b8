"""What each stage of the pipeline needs of a recipe, and nothing else of it.

A `Recipe` knows everything; whoever is given one can depend on everything. The stages are given these instead:

    recipe.build_plan()       all that is built before training: the plans below, and the corpora
    recipe.tokenizer_plan()   which tokenizer, for which role
    recipe.row_plan()         how documents become tokens and rows
    recipe.pair_plan()        how they become preference pairs
    recipe.model_plan()       which weights training starts from
    recipe.stream_plan()      which row is read when
    recipe.axolotl_plan()     what Axolotl is told in its own keys
    recipe.attention_plan()   how the documents of a row are kept apart
    recipe.kernel_plan()      which kernels are applied
    recipe.identity_plan()    what makes the run another one
    recipe.run_plan()         the run's folder: what is written there, and what it resumes from

Each is frozen, holds no recipe, and carries its own places in messages, so that whoever reads it need not know which
file said what. `tests/test_travel.py` follows a recipe through a build and through `register`, and counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.plugins.choice import Choice
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.schema.kormo_block import Dtype, Precision, Role, TokenizerChoice

if TYPE_CHECKING:
    from kormo_plugins.corpus.params import CorpusRecipe
    from kormo_plugins.mixture.params import MixtureRecipe
    from kormo_plugins.recipe.checks.devices.context_parallel import SharedRows


@dataclass(frozen=True)
class Places:
    """Where a recipe says its keys, for messages.

    Args:
        file: the recipe itself, for a key that is none of these.
        names: dotted key -> file and key.
    """

    file: Path
    names: Mapping[str, str]

    def __call__(self, key: str) -> str:
        """`recipes/pretrain.yml: kormo.data`."""
        return self.names.get(key, f"{self.file}: {key}")


@dataclass(frozen=True)
class EarlierRun:
    """The finished stage that a run goes on from.

    Args:
        folder: its output folder (`kormo.from_run`).
        architecture: what the recipe says of the model; None: nothing, the model keeps its own config.
        where: of the keys that a message may be about.
        components: the installed plugins.
    """

    folder: Path
    architecture: Choice | None
    where: Places
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
        base_role: where the recipe says that the model is a base model, which cannot train on turns; None: it is not.
        engine: the library that encodes text (`shards.engines.ENGINES`), or `auto`; ids do not depend on it.
    """

    path: Path
    workspace: Path
    components: Registry
    corpus: CorpusRecipe
    mixture: MixtureRecipe
    row_length: int
    base_role: str | None
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


@dataclass(frozen=True)
class AxolotlPlan:
    """What a recipe says in our words and Axolotl is told in its own.

    Args:
        precision: dtypes of weights, products and optimizer.
        deepspeed: the checked configuration; None: none is used.
        adapters: only adapters are trained.
        names_model: the recipe has a `base_model`.
        goes_on: it goes on from an earlier run.
        global_batch: rows per step over all ranks; None: Axolotl's own keys say it.
        micro_batch: rows of one device at a time.
        shared: rows that several devices share, and where the recipe says so.
        schedule: options of the schedule; None: it has none.
        measures_tokens: the recipe says itself whether Axolotl measures tokens per second.
        data: the rows are ours; `pairs`: preference pairs are.
        steps: optimizer steps; None when Axolotl's own datasets decide.
    """

    precision: Precision
    deepspeed: Mapping[str, object] | None
    adapters: bool
    names_model: bool
    goes_on: bool
    global_batch: int | None
    micro_batch: int
    shared: SharedRows
    where_shared: str
    schedule: Mapping[str, object] | None
    measures_tokens: bool
    workspace: Path
    data: bool
    pairs: bool
    steps: int | None


@dataclass(frozen=True)
class AttentionPlan:
    """How the documents of a row are kept apart.

    Args:
        collator: and its parameters, checked.
        backend: `attn_implementation`.
        packing: name of the packing policy.
        varlen: attention of variable length, where a GPU has it.
        compute: dtype of what is computed under autocast.
    """

    collator: str
    params: object
    backend: str
    micro_batch: int
    shared: SharedRows
    packing: str
    row_length: int
    varlen: bool
    compute: str


@dataclass(frozen=True)
class KernelPlan:
    """The kernels of a run, in order, each with the place that names it; `where`: that of the list."""

    choices: tuple[tuple[str, Choice], ...]
    where: str
    components: Registry


@dataclass(frozen=True)
class IdentityPlan:
    """What makes the trained model another one.

    Args:
        values: every value of the resolved recipe.
        documents: its corpora; None: Axolotl reads its own datasets.
        tokenizer: where it comes from.
        before: the stage that the run goes on from.
    """

    values: Mapping[str, object]
    documents: CorpusPlan | None
    tokenizer: TokenizerChoice | None
    before: EarlierRun | None


@dataclass(frozen=True)
class RunPlan:
    """A run's folder: what is written there when it begins, and what it resumes from.

    Args:
        path: the recipe.
        values: every value of the resolved recipe, which is written there.
        where: of every key that has a value.
        deepspeed: the checked configuration; None: none is used.
        base_model: as the recipe names it; None: it does not.
        allow_changed: what may differ from the run that began there.
        checkpoint: the one that the recipe names to resume from.
        auto_resume: the newest whole one is taken.
        stream: which row is read when; None: Axolotl reads its own datasets.
    """

    path: Path
    output_dir: Path
    values: Mapping[str, object]
    where: Places
    deepspeed: Mapping[str, object] | None
    base_model: str | None
    seed: int
    steps: int | None
    global_batch: int | None
    sequence_len: int
    allow_changed: Sequence[str]
    checkpoint: str | None
    auto_resume: bool
    stream: StreamPlan | None
    identity: IdentityPlan


@dataclass(frozen=True)
class JobPlan:
    """All that the bridge asks of a recipe when Axolotl hands it over.

    Args:
        plugins: Axolotl's plugins that the recipe and its parents name.
        values: every value of the resolved recipe.
        adapter: the run trains an adapter, or merges one.
    """

    plugins: tuple[str, ...]
    values: Mapping[str, object]
    adapter: bool
    build: BuildPlan
    axolotl: AxolotlPlan
    attention: AttentionPlan | None
    kernels: KernelPlan
    run: RunPlan
    components: Registry
