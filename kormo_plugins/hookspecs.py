"""The whole contract between KORMo and its plugins, on one page.

A plugin is a module (or an installed distribution with an entry point in the group `kormo_plugins`) whose
functions, marked with `@hookimpl`, yield `Component`s: named things that a recipe can then ask for. The built-in
features come through the same door, from each room's `plugin.py`.

    from kormo_plugins import Component, hookimpl

    @hookimpl
    def kormo_corpus_steps():
        yield Component("shout", load="my_package.steps:Shout", summary="upper-cases every document",
                        params="my_package.steps:ShoutParams")

What `load` names is imported on first use, so that listing a hundred plugins costs nothing. `params` is a pydantic
model: the recipe's keys are checked against it, documented from it and completed from it.

For each kind of component there is a protocol, which says what `load` must give, and the hook that yields components
of that kind. What a component may have beside that has a protocol of its own (`Divisible`, `Prepares`, …): an
implementation has it or not, and is asked with `isinstance`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, Protocol, TypeAlias, TypedDict, runtime_checkable

import pluggy

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import TrainerCallback
    from transformers.utils.generic import ModelOutput

    from kormo_plugins.corpus.step import FileCount, Rejected
    from kormo_plugins.documents.document import Document, Reject
    from kormo_plugins.mixture.row_plans.packing import Packing as Rows
    from kormo_plugins.mixture.sampling.schedule import Mixing as Schedule
    from kormo_plugins.mixture.sampling.schedule import SourceSize
    from kormo_plugins.monitoring.monitor import RunView

Params: TypeAlias = Any
"""An instance of the component's own pydantic model; None for a component without parameters."""
PROJECT = "kormo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Component:
    """A named thing that a recipe can ask for.

    Args:
        name: what the recipe says (`name: best_fit`); unique among components of its kind.
        load: the object itself, or `"package.module:attribute"`, imported on first use.
        summary: one line for `kormo plugins list`.
        params: pydantic model of the parameters (class or `"package.module:attribute"`); None: takes none.
        source: the paper or library that the method or its defaults come from.
    """

    name: str
    load: str | Callable[..., object]
    summary: str
    params: str | type | None = None
    source: str = ""


class Exported(TypedDict):
    """What a conversion to or from a plain layout has written.

    Args:
        files: names of the files.
        bytes: size of all of them.
        compared: number of fp32 logits of the two models that were compared; 0 for a mere copy.
        layout: name of the plain layout, where it is not Llama.
    """

    files: list[str]
    bytes: int
    compared: int
    layout: NotRequired[str]


class Architecture(Protocol):
    """A model family."""

    def register(self) -> None:
        """Teaches transformers the type; called any number of times."""

    def write_initial(
        self,
        out: Path,
        params: Params,
        *,
        tokenizer: Path,
        seed: int,
        dtype: str,
        bos_token_id: int,
        eos_token_id: int,
        pad_token_id: int,
        generation: Mapping[str, object],
    ) -> Mapping[str, object]:
        """The checkpoint that a run from scratch starts with, written into `out`."""

    def export_llama(self, checkpoint: Path, out: Path) -> Exported:
        """Writes the plain layout of `export/`."""


@runtime_checkable
class ImportsLlama(Protocol):
    """A model family with a way back."""

    def import_llama(self, checkpoint: Path, out: Path) -> Exported:
        """A plain Llama checkpoint in the family's own layout, written into `out`."""


@runtime_checkable
class HasPlainForm(Protocol):
    """A model family whose export is not always possible, or is another class of transformers than Llama."""

    def plain_type(self, values: Mapping[str, object]) -> str | None:
        """Model type that `export_llama` writes, from the values of config.json or of `kormo.architecture`, or None."""

    def why_not_plain(self, values: Mapping[str, object]) -> str:
        """Why there is none; empty if there is one."""


@runtime_checkable
class Upcycles(Protocol):
    """A model family that can start from a finished model of another one (`kormo.from_run`)."""

    def upcycle(self, checkpoint: Path, out: Path, params: Params, seed: int) -> Mapping[str, object]:
        """Writes the initial checkpoint into `out`; `seed` is for what is drawn anew. Returns statistics."""


@hookspec
def kormo_architectures() -> Iterable[Component]:
    """Model families (`Architecture`), named as the `model_type` of their config.json; those that have a way back
    are `ImportsLlama` too; a family may be `HasPlainForm` and `Upcycles`. `architecture/family.py` is the model to
    follow."""


class TokenizerTrainer(Protocol):
    """Learns a vocabulary."""

    def __call__(
        self, texts: Callable[[], Iterator[Document]], params: Params, out: Path
    ) -> Mapping[str, object] | None:
        """Writes the tokenizer's folder; may return statistics for the manifest. `texts` may be called repeatedly."""


@hookspec
def kormo_tokenizers() -> Iterable[Component]:
    """Tokenizer trainers (`TokenizerTrainer`). They write a folder that `AutoTokenizer.from_pretrained` opens: a
    byte-level BPE in which <|BOS|>, <|EOS|>, <|PAD|>, <|BOT|> and <|EOT|> are tokens."""


class Reader(Protocol):
    """Gives documents; a generator of synthetic documents has the same form."""

    def __call__(self, params: Params, shard: int, shards: int) -> Iterator[Document | Rejected]:
        """One of `shards` parts of the input: the union over `shard` in [0, shards) is the input, once."""


@runtime_checkable
class Divisible(Protocol):
    """A reader or generator that knows into how many parts it is best divided."""

    def parts(self, params: Params) -> int:
        """Files, row groups, …"""


@runtime_checkable
class HasInputs(Protocol):
    """A reader, generator or step whose result depends on more than its parameters."""

    def inputs(self, params: Params) -> object:
        """A JSON value of all that the result depends on (names, sizes and checksums of files)."""


@runtime_checkable
class HasWarnings(Protocol):
    """Parameters of a step with which it may do less than its name says."""

    def warnings(self) -> Sequence[str]:
        """What they leave undone, a clause each; told by `kormo recipe validate` and before a build."""


@runtime_checkable
class Pins(Protocol):
    """A reader or generator that looks something up once, which all parts must read alike."""

    def pinned(self, params: Params) -> Params:
        """The parameters with what was looked up written out; called once per source."""


@runtime_checkable
class CountsFiles(Protocol):
    """A reader that tells what became of each file, so that one of which nothing was read is named after a build."""

    def read_files(
        self, params: Params, shard: int, shards: int, tell: Callable[[FileCount], None]
    ) -> Iterator[Document | Rejected]:
        """What a call gives; `tell` is called behind the last row of a file (`corpus/reports/unread.py`)."""


@hookspec
def kormo_readers() -> Iterable[Component]:
    """Where documents come from (`Reader`; may be `Divisible`, `HasInputs`, `Pins`, `CountsFiles`). What becomes no
    document is yielded as `kormo_plugins.corpus.step.Rejected`; a conversation is a document with its turns in `meta`
    (`kormo_plugins/documents/conversation.py`)."""


@hookspec
def kormo_generators() -> Iterable[Component]:
    """Where synthetic documents come from (`Reader`, and what readers may be). The same parameters give the same
    documents, labelled synthetic with the generator's name."""


class DocumentStep(Protocol):
    """A cleaning step that looks at one document at a time."""

    def __call__(self, document: Document) -> Document | Reject:
        """The document, changed or not, or `Reject(reason)`."""


@runtime_checkable
class BatchStep(Protocol):
    """A document step that can also look at many documents at once; it may, but need not, have this form."""

    def batch(self, documents: Sequence[Document]) -> Sequence[Document | Reject]:
        """What a call would give for each of them, in their order. None is a conversation or a pair: those come by the
        call."""


@runtime_checkable
class SourceStep(Protocol):
    """A cleaning step that must see the whole source (deduplication): see `kormo_plugins/corpus/step.py`."""

    def sign(self, document: Document) -> NDArray[np.generic]:
        """One row of the source's table of signatures: an integer array of fixed shape and dtype."""

    def decide(self, signatures: NDArray[np.generic]) -> tuple[NDArray[np.int8], list[str]]:
        """For each document (shape [documents, …], in source order) -1, or an index into the list of reasons."""


@runtime_checkable
class Prepares(Protocol):
    """A step that makes a model ready before any document is read."""

    def prepare(self, params: Params, folder: Path) -> Params:
        """The parameters to go on with; called once per source, with a folder to write into."""


@hookspec
def kormo_corpus_steps() -> Iterable[Component]:
    """Cleaning steps. Loads to a class that is called with its parameters and gives a `DocumentStep` (which may be a
    `BatchStep` too) or a `SourceStep`; the class may be `HasInputs` and `Prepares`, its parameters `HasWarnings`
    (and `ReadsMeta`, `WritesMeta` of `corpus/step.py`). Its `VERSION` is raised when the result changes. Rejects are
    kept with their reason."""


class Packing(Protocol):
    """Divides documents into rows."""

    def __call__(self, lengths: NDArray[np.int64], row_length: int, params: Params) -> Rows:
        """A pure function of the token count of each document (shape [documents]); `mixture/row_plans/packing.py`."""


@hookspec
def kormo_packings() -> Iterable[Component]:
    """How documents become rows (`Packing`)."""


class Mixing(Protocol):
    """Shares a run between its sources."""

    def __call__(
        self, sources: Mapping[str, SourceSize], params: Params, *, row_length: int, global_batch: int, steps: int
    ) -> Schedule:
        """A pure function of the sources' sizes: how many rows of each source come before each step."""


@hookspec
def kormo_mixings() -> Iterable[Component]:
    """How sources share a run (`Mixing`)."""


class Collator(Protocol):
    """Makes a batch of rows."""

    def __call__(self, rows: Sequence[object]) -> dict[str, torch.Tensor]:
        """`rows` are `SampleRows` (`mixture/dataset.py`)."""


@hookspec
def kormo_collators() -> Iterable[Component]:
    """How rows become a batch. Loads to `make(params) -> Collator`."""


class Kernel(Protocol):
    """Replaces parts of a model by fused ones."""

    def __call__(self, model_type: str, params: Params) -> str:
        """Patches before the model is built; returns the one line that is logged, also when there is no GPU for it."""


@runtime_checkable
class NeedsAxolotl(Protocol):
    """A kernel that works through keys of Axolotl."""

    def axolotl(self, params: Params) -> Mapping[str, object]:
        """The keys that it needs on this machine, and `plugins`, those that read them."""


@runtime_checkable
class Releases(Protocol):
    """A kernel that can be undone."""

    def release(self) -> None:
        """Undoes the patch when training is over, for the export and the samples."""


@hookspec
def kormo_kernels() -> Iterable[Component]:
    """Fused kernels (`Kernel`; may be `NeedsAxolotl` and `Releases`)."""


class Objective(Protocol):
    """What is minimized."""

    def __call__(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | int | None,
        params: Params,
    ) -> tuple[torch.Tensor, ModelOutput]:
        """The loss, summed over predicted tokens and divided by `num_items_in_batch` (the global batch's), and the
        model's outputs."""


@hookspec
def kormo_objectives() -> Iterable[Component]:
    """Training objectives (`Objective`)."""


class EvaluationTasks(Protocol):
    """Tasks for lm-evaluation-harness."""

    def __call__(self) -> Path:
        """The folder of their YAML files."""


@hookspec
def kormo_evaluation_tasks() -> Iterable[Component]:
    """Evaluation tasks for lm-evaluation-harness (`EvaluationTasks`)."""


class RunCallbacks(Protocol):
    """Makes a callback of transformers' trainer."""

    def __call__(self, params: Params) -> TrainerCallback:
        """A new callback; it may be `OpensRun`."""


@runtime_checkable
class OpensRun(Protocol):
    """A callback that needs to know the run."""

    def open(self, run: RunView) -> None:
        """Called once before training (`monitoring/monitor.py`: its folder, tokenizer, held-out texts and a `log`)."""


@hookspec
def kormo_run_callbacks() -> Iterable[Component]:
    """What looks at a run while it trains (`RunCallbacks`)."""


KINDS: dict[str, str] = {
    "architecture": "kormo_architectures",
    "tokenizer": "kormo_tokenizers",
    "reader": "kormo_readers",
    "generator": "kormo_generators",
    "corpus_step": "kormo_corpus_steps",
    "packing": "kormo_packings",
    "mixing": "kormo_mixings",
    "collator": "kormo_collators",
    "kernel": "kormo_kernels",
    "objective": "kormo_objectives",
    "evaluation_task": "kormo_evaluation_tasks",
    "run_callback": "kormo_run_callbacks",
}
"""Kind of component -> the hook that yields it."""
