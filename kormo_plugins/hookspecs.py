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
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pluggy

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
    load: str | Callable[..., Any]
    summary: str
    params: str | type | None = None
    source: str = ""


@hookspec
def kormo_architectures() -> Iterable[Component]:
    """Model families, named as the `model_type` of their config.json. Loads to an object with `register() -> None`
    (idempotent: teaches transformers the type), `write_initial(out, params, *, tokenizer, seed, dtype, bos_token_id,
    eos_token_id, pad_token_id, generation) -> dict` (the checkpoint that a run from scratch starts with),
    `export_llama(checkpoint, out) -> dict` (the plain layout of `export/`, verified by logits) and, for families that
    have a way back, `import_llama(checkpoint, out) -> dict`. Both return `files`, `bytes` and `compared`, the number of
    logits. `architecture/family.py` is the model to follow."""


@hookspec
def kormo_tokenizers() -> Iterable[Component]:
    """Tokenizer trainers. Loads to `train(texts: Callable[[], Iterator[Document]], params, out: Path)`, which
    writes a folder that `AutoTokenizer.from_pretrained` opens: a byte-level BPE in which <|BOS|>, <|EOS|>, <|PAD|>,
    <|BOT|> and <|EOT|> are tokens. `texts` may be called several times. May return statistics for the manifest."""


@hookspec
def kormo_readers() -> Iterable[Component]:
    """Where documents come from. Loads to `read(params, shard: int, shards: int) -> Iterator[Document]`, which
    yields one of `shards` parts of the input (files, row groups, …): the union over shards is the input, once. What
    cannot become a document is yielded as `kormo_plugins.corpus.step.Rejected`; a conversation is a document with its
    turns in `meta` (`kormo_plugins/documents/conversation.py`). May have `parts(params) -> int` (into
    how many parts it is best divided), `inputs(params)` (a JSON value of all that the documents depend on) and
    `pinned(params) -> params` (called once per source: what all parts must read alike is looked up and written out)."""


@hookspec
def kormo_generators() -> Iterable[Component]:
    """Where synthetic documents come from. Loads to `generate(params, shard: int, shards: int) ->
    Iterator[Document]`; the same parameters give the same documents. Labelled synthetic, with the generator's name.
    `Rejected`, `parts`, `inputs` and `pinned` as for readers."""


@hookspec
def kormo_corpus_steps() -> Iterable[Component]:
    """Cleaning steps. Loads to a class called with `params`, whose instances are called with a `Document` and
    return the document (changed or not) or `Reject(reason)`; rejects are kept with their reason. A step that must see
    the whole source (deduplication) has `sign(document)`, a few numbers, and `decide(signatures)` instead: see
    `kormo_plugins/corpus/step.py`. `VERSION` is raised when the result changes; `inputs(params)` as for readers;
    `prepare(params, folder) -> params` is called once per source, before any document, to make a model ready."""


@hookspec
def kormo_packings() -> Iterable[Component]:
    """How documents become rows. Loads to `pack(lengths, row_length, params) -> Packing`: a pure function of the
    token count of each document (int64 array, shape [documents]); `Packing` is in `mixture/packing.py`."""


@hookspec
def kormo_mixings() -> Iterable[Component]:
    """How sources share a run. Loads to `schedule(sources, params, *, row_length, global_batch, steps) -> Mixing`: a
    pure function of the sources' sizes that says how many rows of each source come before each step."""


@hookspec
def kormo_collators() -> Iterable[Component]:
    """How rows become a batch. Loads to `make(params) -> Callable[[rows], dict[str, Tensor]]`; `rows` is a sequence of
    rows (`SampleRows` in `mixture/dataset.py`)."""


@hookspec
def kormo_kernels() -> Iterable[Component]:
    """Fused kernels. Loads to `apply(model_type, params) -> str`: patches before the model is built and returns the
    one line that is logged, also when it switched itself off (no GPU). May have `axolotl(params) -> dict` (keys of
    Axolotl that it needs on this machine, and `plugins`, those that read them) and `release()` (undoes the patch when
    training is over, for the export and the samples)."""


@hookspec
def kormo_objectives() -> Iterable[Component]:
    """Training objectives. Loads to `loss(model, inputs, num_items_in_batch, params) -> (loss, outputs)`, with
    `loss` summed over predicted tokens and divided by `num_items_in_batch` (the whole global batch's)."""


@hookspec
def kormo_evaluation_tasks() -> Iterable[Component]:
    """Evaluation tasks for lm-evaluation-harness. Loads to `folder() -> Path`, a folder of its task YAML files."""


@hookspec
def kormo_run_callbacks() -> Iterable[Component]:
    """Watchers of a run. Loads to `make(params) -> transformers.TrainerCallback`. May have `open(run)`, called once
    before training with a `RunView` (`monitoring/monitor.py`: its folder, tokenizer, held-out texts and a `log`)."""


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
