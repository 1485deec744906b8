"""The parts of a recipe that each step of the pipeline needs, and nothing else.

A function that gets a whole `Recipe` can depend on all of it. The steps get these instead:

    recipe.build_plan()       everything that is built before training: the plans below, and the corpora
    recipe.tokenizer_plan()   which tokenizer, for which role
    recipe.row_plan()         how documents become tokens and rows
    recipe.pair_plan()        how they become preference pairs
    recipe.model_plan()       which weights training starts from
    recipe.stream_plan()      which row is read when
    recipe.axolotl_plan()     what is translated to Axolotl keys
    recipe.attention_plan()   how the documents of a row are kept apart
    recipe.kernel_plan()      which kernels are applied
    recipe.identity_plan()    what the identity of the run depends on
    recipe.run_plan()         the run's folder: what is written there, and what it resumes from

Each is frozen, has no reference to the recipe, and contains the locations for its messages, so that its users need not
know which file set what. `tests/test_travel.py` traces a recipe through a build and through `register`, and counts.
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
    """Locations of a recipe's keys, for messages.

    Args:
        file: the recipe, for keys without an entry.
        names: dotted key -> file and key.
    """

    file: Path
    names: Mapping[str, str]

    def __call__(self, key: str) -> str:
        """`recipes/pretrain.yml: kormo.data`."""
        return self.names.get(key, f"{self.file}: {key}")


@dataclass(frozen=True)
class EarlierRun:
    """The finished stage that a run continues.

    Args:
        folder: its output folder (`kormo.from_run`).
        architecture: `kormo.architecture`; None: the model keeps its config.
        where: locations of the keys, for messages.
        components: the installed plugins.
    """

    folder: Path
    architecture: Choice | None
    where: Places
    components: Registry


@dataclass(frozen=True)
class CorpusPlan:
    """The documents to read and clean.

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
    """The tokenizer of a run.

    Args:
        path: the recipe, for messages.
        workspace: folder of all artifacts.
        components: the installed plugins.
        choice: where it comes from; None: from the previous run, if any.
        role: `base` or `chat`: determines the token that ends the model's output.
        before: the stage that the run continues.
        files: parameter of a tokenizer to train -> the file that sets it, for messages.
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
    """How the documents of each source become tokens, and the tokens rows.

    Args:
        workspace, components: as above.
        corpus: the sources.
        mixture: packing, and how to treat conversations that are too long.
        row_length: tokens per row.
        base_role: location of `role: base`, with which a model cannot train on turns; None for other roles.
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
    """The weights that training starts from.

    Args:
        architecture: of a model from scratch, or changes to the config of `before`.
        before: the stage that the run continues; None: from scratch, or from Axolotl's `base_model`.
        role: `base` or `chat`.
        seed: of the initial weights.
        dtype: of the saved weights.
        generation: generation settings saved beside them.
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
    """Everything that is built before training, each step with its own plan.

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
    """The order in which rows are read: a pure function of these and of the row plans.

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
    """Settings of the `kormo` block that are translated to Axolotl keys.

    Args:
        precision: dtypes of weights, products and optimizer.
        deepspeed: the checked configuration; None: DeepSpeed is not used.
        adapters: only adapters are trained.
        names_model: the recipe has a `base_model`.
        goes_on: it continues a previous run.
        global_batch: rows per step over all ranks; None: Axolotl's own keys determine it.
        micro_batch: rows of one device at a time.
        shared: sharing of rows between devices, and the key that sets it.
        schedule: options of the schedule; None: it has none.
        measures_tokens: the recipe sets whether Axolotl measures tokens per second.
        data: the rows are ours; `pairs`: the preference pairs are.
        steps: optimizer steps; None if Axolotl's own datasets determine them.
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
        collator: the collator with its checked parameters.
        backend: `attn_implementation`.
        packing: name of the packing policy.
        varlen: use variable-length attention if the GPU supports it.
        compute: dtype under autocast.
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
    """The kernels of a run, in order, each with its location; `where`: location of the list."""

    choices: tuple[tuple[str, Choice], ...]
    where: str
    components: Registry


@dataclass(frozen=True)
class IdentityPlan:
    """What the identity of the trained model depends on.

    Args:
        values: all values of the resolved recipe.
        documents: its corpora; None: Axolotl reads its own datasets.
        tokenizer: where it comes from.
        before: the stage that the run continues.
    """

    values: Mapping[str, object]
    documents: CorpusPlan | None
    tokenizer: TokenizerChoice | None
    before: EarlierRun | None


@dataclass(frozen=True)
class RunPlan:
    """A run's folder: what is written there at the start, and what the run resumes from.

    Args:
        path: the recipe.
        values: all values of the resolved recipe, which is written there.
        where: location of every key that has a value.
        deepspeed: the checked configuration; None: DeepSpeed is not used.
        base_model: as in the recipe; None: it has none.
        allow_changed: what may differ from the run that was started there.
        checkpoint: the checkpoint that the recipe names to resume from.
        auto_resume: resume from the newest complete checkpoint.
        stream: the order of rows; None: Axolotl reads its own datasets.
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
    """What the bridge needs of a recipe that Axolotl passes to it.

    Args:
        plugins: Axolotl plugins that the recipe and its parents name.
        values: all values of the resolved recipe.
        adapter: the run trains or merges an adapter.
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
