"""Rules across keys: combinations that Axolotl accepts and that would train something else than was meant.

A rule is a function of the resolved recipe that returns nothing or raises `KormoError`. `RULES` is the list,
open to further ones. Each says why in its message, so that the message is the documentation.
"""

from __future__ import annotations

from collections.abc import Callable

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.resolve import Resolved

Rule = Callable[[Resolved], None]


def _error(recipe: Resolved, key: str, what: str, why: str, fix: str) -> KormoError:
    """A KormoError about `key`, with the file that set it."""
    return KormoError(recipe.where(key), what, why, fix)


def one_precision(recipe: Resolved) -> None:
    """Axolotl's dtype switches are derived from `kormo.precision`; a second opinion must at least agree."""
    compute = recipe.get("kormo.precision.compute")
    for key, dtype in (
        ("bf16", "bfloat16"),
        ("bfloat16", "bfloat16"),
        ("fp16", "float16"),
        ("float16", "float16"),
        ("float32", "float32"),
    ):
        value = recipe.get(key)
        contradicts = (value is True and compute != dtype) or (value is False and compute == dtype)
        if compute and (contradicts or value == "auto"):
            raise _error(
                recipe,
                key,
                f"{key}: {str(value).lower()} beside kormo.precision.compute: {compute}",
                "the two disagree, and which one wins would depend on the device",
                f"remove {key}",
            )


def packing_is_ours(recipe: Resolved) -> None:
    """Rows come packed; Axolotl's packing would wrap them in its own sampler and change their order."""
    for key in ("sample_packing", "eval_sample_packing", "batch_flattening"):
        if recipe.get("kormo.data") is not None and recipe.get(key):
            raise _error(
                recipe,
                key,
                f"{key}: {recipe.get(key)!r}".replace("True", "true"),
                "kormo.data packs documents into rows itself, and Axolotl would pack and shuffle those again",
                f"remove {key}; how rows are packed is said under kormo.data.packing",
            )


def one_source_of_data(recipe: Resolved) -> None:
    """`pretraining_dataset` switches our collator off; `datasets` would be ignored."""
    for key in ("pretraining_dataset", "datasets", "test_datasets"):
        if recipe.get("kormo.data") is not None and recipe.get(key):
            raise _error(
                recipe,
                key,
                f"{key} beside kormo.data",
                "one of the two would be ignored",
                f"remove {key}: the documents are named under kormo.data.sources",
            )
    if recipe.get("kormo.data") is not None and recipe.get("streaming"):
        raise _error(
            recipe,
            "streaming",
            "streaming: true",
            "rows are read by index from disk, so nothing streams",
            "remove streaming",
        )


def one_length(recipe: Resolved) -> None:
    """A run over our rows has a length, said once."""
    if recipe.get("kormo.data") is None:
        return
    tokens, steps = recipe.get("kormo.tokens"), recipe.get("max_steps")
    if tokens is not None and steps is not None:
        raise _error(
            recipe,
            "max_steps",
            f"max_steps: {steps} beside kormo.tokens: {tokens}",
            "both say how long the run is",
            "remove one of them; steps = ceil(tokens / (global_batch × sequence_len))",
        )
    if tokens is None and steps is None:
        raise _error(
            recipe,
            "kormo.tokens",
            "neither kormo.tokens nor max_steps",
            "the run has no length",
            "set kormo.tokens, the number of tokens to train on",
        )
    if recipe.get("num_epochs") is not None:
        raise _error(
            recipe,
            "num_epochs",
            f"num_epochs: {recipe.get('num_epochs')}",
            "a mixture has no epochs: each source is repeated as its share needs",
            "remove num_epochs, set kormo.tokens, and limit repetition with max_epochs of the mixture",
        )


def row_length_is_said(recipe: Resolved) -> None:
    """Axolotl's default of 512 tokens is nobody's intention."""
    if recipe.get("kormo.data") is not None and recipe.get("sequence_len") is None:
        raise _error(
            recipe,
            "sequence_len",
            "nothing",
            "the length of a row in tokens is needed to pack documents",
            "set sequence_len",
        )


def global_batch_is_primary(recipe: Resolved) -> None:
    """Accumulation is derived, so that another number of GPUs trains the same thing."""
    if recipe.get("kormo.data") is not None and recipe.get("kormo.global_batch") is None:
        raise _error(
            recipe,
            "kormo.global_batch",
            "nothing",
            "the number of rows per optimizer step is not said",
            "set kormo.global_batch, in rows over all ranks",
        )
    if recipe.get("kormo.global_batch") is None:
        return
    for key in ("gradient_accumulation_steps", "batch_size"):
        if recipe.get(key) is not None:
            raise _error(
                recipe,
                key,
                f"{key}: {recipe.get(key)} beside kormo.global_batch: {recipe.get('kormo.global_batch')}",
                "accumulation is derived: global_batch / (micro_batch_size × number of ranks)",
                f"remove {key}",
            )
    whole, part = recipe.get("kormo.global_batch"), recipe.get("micro_batch_size")
    if isinstance(whole, int) and isinstance(part, int) and part > 0 and whole % part:
        raise _error(
            recipe,
            "kormo.global_batch",
            f"global_batch: {whole} with micro_batch_size: {part}",
            "a global batch is a whole number of micro-batches",
            f"take a multiple of {part}",
        )


def decay_has_a_length(recipe: Resolved) -> None:
    """warmup_stable_decay without it ends in a TypeError after everything was built."""
    decays = recipe.get("lr_scheduler") == "warmup_stable_decay"
    if decays and recipe.get("lr_scheduler_kwargs.num_decay_steps") is None:
        raise _error(
            recipe,
            "lr_scheduler_kwargs.num_decay_steps",
            "nothing",
            "warmup_stable_decay must know over how many steps it decays",
            "set lr_scheduler_kwargs: {num_decay_steps: …}",
        )


def one_beginning(recipe: Resolved) -> None:
    """Where the weights come from is said once."""
    if recipe.get("kormo.architecture") is None:
        if recipe.get("base_model") is None and recipe.get("kormo.from_run") is None:
            raise _error(
                recipe,
                "kormo.architecture",
                "none of kormo.architecture, kormo.from_run and base_model",
                "there is no model to train",
                "set kormo.architecture for random weights, kormo.from_run for an earlier stage's, or base_model",
            )
        return
    if recipe.get("base_model") is not None:
        raise _error(
            recipe,
            "base_model",
            "base_model beside kormo.architecture",
            "the model would come from two places",
            "remove one of the two",
        )
    if recipe.get("reinit_weights") is not None:
        raise _error(
            recipe,
            "reinit_weights",
            "reinit_weights beside kormo.architecture",
            "the initial weights are written once, from the seed, and every rank reads them; "
            "reinit_weights would draw others, without the seed",
            "remove reinit_weights",
        )


def context_parallel_knows_no_documents(recipe: Resolved) -> None:
    """Ring attention over unpacked batches sees a row as one document."""
    size = recipe.get("context_parallel_size") or recipe.get("sequence_parallel_degree") or 1
    collator = recipe.get("kormo.collator.name") or "document_mask"
    if isinstance(size, int) and size > 1 and collator == "document_mask" and recipe.get("kormo.data") is not None:
        key = "context_parallel_size" if recipe.get("context_parallel_size") else "sequence_parallel_degree"
        raise _error(
            recipe,
            key,
            f"{key}: {size} with the collator document_mask",
            "ring attention knows no document borders, so the documents of a row would see each other",
            "use tensor or data parallelism, or the collator causal, which does not separate documents",
        )


def no_foreign_code(recipe: Resolved) -> None:
    """KORMo's classes are registered here; nothing needs code from a model folder."""
    if recipe.get("trust_remote_code") and (recipe.get("kormo.architecture") or recipe.get("kormo.from_run")):
        raise _error(
            recipe,
            "trust_remote_code",
            "trust_remote_code: true",
            "our model classes need no code of others",
            "remove trust_remote_code",
        )


def suites_exist(recipe: Resolved) -> None:
    """A misspelt suite must not be found out after the training."""
    from kormo_plugins.evaluation.suites import load_suite

    for name in recipe.get("kormo.evaluate.suites") or ():
        load_suite(str(name), recipe.where("kormo.evaluate.suites"))


RULES: list[Rule] = [
    one_precision,
    one_beginning,
    one_source_of_data,
    packing_is_ours,
    global_batch_is_primary,
    row_length_is_said,
    one_length,
    decay_has_a_length,
    context_parallel_knows_no_documents,
    no_foreign_code,
    suites_exist,
]
"""In this order, so that the first message is about the cause and not about what follows from it."""
