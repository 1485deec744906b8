"""Rules across keys: combinations that Axolotl accepts, but that would train something other than intended.

A rule is a function of the resolved recipe that yields a `KormoError` for each error; `RULES` lists all of them. Each
message gives the reason, so the messages are the documentation. What happens to single Axolotl keys is in
`axolotl_keys/fate_table.py`, the valid ranges of numbers in `ranges.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from kormo_plugins.errors import Faults, KormoError, moved
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.checks.devices.context_parallel import check_shared_rows
from kormo_plugins.recipe.checks.devices.deepspeed import deepspeed_config
from kormo_plugins.recipe.checks.devices.speed_rules import (
    checkpointed_layers_are_checkpointed,
    float8_is_compiled,
    matrices_are_whole,
)
from kormo_plugins.recipe.checks.places import bad_places
from kormo_plugins.recipe.checks.preference_rules import preference_runs
from kormo_plugins.recipe.checks.ranges import out_of_range
from kormo_plugins.recipe.checks.schedule import (
    generation,
    loader,
    saving,
    saving_steps,
    schedule_without_evaluation,
    warm_up,
)
from kormo_plugins.recipe.checks.tokens import ignored_tokens_exist, shares_have_sources, tokenizer_can_be_had
from kormo_plugins.recipe.files.environment import REFERENCE, REFUSED
from kormo_plugins.recipe.files.resolve import ENVIRONMENT_BLOCKS, Resolved
from kormo_plugins.recipe.files.tree import leaves
from kormo_plugins.training.precision import Precision, axolotl_switches

Rule = Callable[[Resolved], Iterable[KormoError]]
DTYPES = {"weights", "compute", "master", "optimizer"}
TEXTS = {"prompts", "chat_template_jinja"}
"""Keys with texts, in which `${…}` has no meaning."""


def _error(recipe: Resolved, key: str, *, found: str, why: str, do: str) -> KormoError:
    """A KormoError about `key`, with the file that set it."""
    return KormoError(where=recipe.where(key), found=found, why=why, do=do)


def one_precision(recipe: Resolved) -> Iterator[KormoError]:
    """Axolotl's dtype keys are derived from `kormo.precision`; if given as well, they must agree."""
    compute = recipe.get("kormo.precision.compute")
    compute = "bfloat16" if compute == "float8" else compute  # of products alone
    for key, dtype in (
        ("bf16", "bfloat16"),
        ("bfloat16", "bfloat16"),
        ("fp16", "float16"),
        ("float16", "float16"),
        ("float32", "float32"),
    ):
        value = recipe.get(key)
        contradicts = (value is True and compute != dtype) or (value is False and compute == dtype)
        if compute and (contradicts or isinstance(value, str)):  # auto, full
            yield _error(
                recipe,
                key,
                found=f"{key}: {str(value).lower()} beside kormo.precision.compute: {compute}",
                why="the two disagree, and which one wins would depend on the device",
                do=f"remove {key}",
            )


def precision_can_be_held(recipe: Resolved) -> Iterator[KormoError]:
    """Combinations of dtypes that no backend supports."""
    dtypes, faults = recipe.get("kormo.precision"), Faults()
    if not isinstance(dtypes, Mapping) or not {"weights", "compute", "optimizer"} <= dtypes.keys() <= DTYPES:
        return
    precision = Precision(dtypes["weights"], dtypes["compute"], dtypes.get("master"), dtypes["optimizer"])
    with faults.catch():
        axolotl_switches(precision, bool(recipe.get("deepspeed")), bool(recipe.get("adapter")))
    yield from (moved(fault, recipe.where) for fault in faults)


def one_length(recipe: Resolved) -> Iterator[KormoError]:
    """A run over our rows has a length, given once."""
    if recipe.get("kormo.data") is None:
        return
    tokens, steps = recipe.get("kormo.tokens"), recipe.get("max_steps")
    if tokens is not None and steps is not None:
        yield _error(
            recipe,
            "max_steps",
            found=f"max_steps: {steps} beside kormo.tokens: {tokens}",
            why="both set the length of the run",
            do="keep one and set the other to null (one that is inherited too); "
            "steps = ceil(tokens / (global_batch × sequence_len))",
        )
    if tokens is None and steps is None:
        yield _error(
            recipe,
            "kormo.tokens",
            found="neither kormo.tokens nor max_steps",
            why="the run has no length",
            do="set kormo.tokens, the number of tokens to train on",
        )
    if recipe.get("num_epochs") is not None:
        yield _error(
            recipe,
            "num_epochs",
            found=f"num_epochs: {recipe.get('num_epochs')}",
            why="a mixture has no epochs: each source is repeated as its share needs",
            do="remove num_epochs, set kormo.tokens, and limit repetition with max_epochs of the mixture",
        )


def row_length_is_said(recipe: Resolved) -> Iterator[KormoError]:
    """The row length must be given: Axolotl's default of 512 tokens is never intended."""
    if recipe.get("kormo.data") is not None and recipe.get("sequence_len") is None:
        yield _error(
            recipe,
            "sequence_len",
            found="nothing",
            why="the length of a row in tokens is needed to pack documents",
            do="set sequence_len",
        )


def global_batch_is_primary(recipe: Resolved) -> Iterator[KormoError]:
    """Accumulation steps are derived, so that any number of GPUs trains the same model."""
    if recipe.get("kormo.data") is not None and recipe.get("kormo.global_batch") is None:
        yield _error(
            recipe,
            "kormo.global_batch",
            found="nothing",
            why="the number of rows per optimizer step is not set",
            do="set kormo.global_batch, in rows over all ranks",
        )
    if recipe.get("kormo.global_batch") is None:
        return
    for key in ("gradient_accumulation_steps", "batch_size"):
        if recipe.get(key) is not None:
            yield _error(
                recipe,
                key,
                found=f"{key}: {recipe.get(key)} beside kormo.global_batch: {recipe.get('kormo.global_batch')}",
                why="accumulation is derived: global_batch / (micro_batch_size × number of ranks)",
                do=f"remove {key}",
            )
    whole, part = recipe.get("kormo.global_batch"), recipe.get("micro_batch_size")
    if isinstance(whole, int) and isinstance(part, int) and part > 0 and whole % part:
        yield _error(
            recipe,
            "kormo.global_batch",
            found=f"global_batch: {whole} with micro_batch_size: {part}",
            why="a global batch consists of whole micro-batches",
            do=f"use a multiple of {part}",
        )


def decay_has_a_length(recipe: Resolved) -> Iterator[KormoError]:
    """Without `num_decay_steps`, `warmup_stable_decay` fails after everything is built."""
    decays = recipe.get("lr_scheduler") == "warmup_stable_decay"
    if decays and recipe.get("lr_scheduler_kwargs.num_decay_steps") is None:
        yield _error(
            recipe,
            "lr_scheduler_kwargs.num_decay_steps",
            found="nothing",
            why="warmup_stable_decay needs the number of decay steps",
            do="set lr_scheduler_kwargs: {num_decay_steps: …}",
        )


def one_beginning(recipe: Resolved) -> Iterator[KormoError]:
    """The origin of the weights must be given exactly once."""
    if recipe.get("kormo.architecture") is None:
        if recipe.get("base_model") is None and recipe.get("kormo.from_run") is None:
            yield _error(
                recipe,
                "kormo.architecture",
                found="none of kormo.architecture, kormo.from_run and base_model",
                why="there is no model to train",
                do="set kormo.architecture for random weights, kormo.from_run for the model of an earlier stage, or "
                "base_model",
            )
        return
    if recipe.get("base_model") is not None:
        yield _error(
            recipe,
            "base_model",
            found="base_model beside kormo.architecture",
            why="both name the model to train",
            do="remove one of the two",
        )
    if recipe.get("reinit_weights") is not None:
        yield _error(
            recipe,
            "reinit_weights",
            found="reinit_weights beside kormo.architecture",
            why="the initial weights are written once, from the seed, and read by every rank; reinit_weights would "
            "draw others without the seed",
            do="remove reinit_weights",
        )


def row_fits_the_positions(recipe: Resolved) -> Iterator[KormoError]:
    """Rows must not be longer than the context that the model's config declares."""
    length, positions = recipe.get("sequence_len"), recipe.get("kormo.architecture.max_position_embeddings")
    if isinstance(length, int) and isinstance(positions, int) and length > positions:
        yield _error(
            recipe,
            "sequence_len",
            found=f"sequence_len: {length} with kormo.architecture.max_position_embeddings: {positions}",
            why="the model would be trained on longer rows than its config declares, and servers would cut them",
            do=f"set kormo.architecture.max_position_embeddings to {length} or more, or shorten the rows",
        )


def turns_need_a_chat_model(recipe: Resolved) -> Iterator[KormoError]:
    """Conversations end with <|EOT|>, a base model with <|EOS|>."""
    if recipe.get("kormo.role") not in (None, "base"):
        return
    for name, source in (recipe.get("kormo.data.sources") or {}).items():
        columns = (source.get("reader") or {}).get("columns") or {}
        if columns.get("messages") or (source.get("generator") or {}).get("name") == "embedded_chat":
            yield base_with_turns(recipe.where("kormo.role"), name)


def base_with_turns(where: str, source: str) -> KormoError:
    """The role `base`, said at `where`, in a recipe whose `source` holds conversations."""
    return KormoError(
        where=where,
        found=f"base, with the conversations of {source}",
        why="their turns end with <|EOT|>, but a base model is saved with <|EOS|> as its end: it would never stop",
        do="set kormo.role: chat; to train on turns as text, read them with columns: {text: {conversation: …}}",
    )


def no_foreign_code(recipe: Resolved) -> Iterator[KormoError]:
    """Our model classes are registered without code from a model folder."""
    if recipe.get("trust_remote_code") and (recipe.get("kormo.architecture") or recipe.get("kormo.from_run")):
        yield _error(
            recipe,
            "trust_remote_code",
            found="trust_remote_code: true",
            why="the model classes of kormo-plugins need no remote code",
            do="remove trust_remote_code",
        )


def kernels_are_named_once(recipe: Resolved) -> Iterator[KormoError]:
    """Liger's own plugin and keys neither know the model type `kormo` nor work without a GPU."""
    plugin = "axolotl.integrations.liger.LigerPlugin"
    listed = plugin in (recipe.get("plugins") or ())
    for key in (*(key for key in recipe.values if str(key).startswith("liger_")), *(("plugins",) if listed else ())):
        yield _error(
            recipe,
            key,
            found=plugin if key == "plugins" else f"{key}: {str(recipe.get(key)).lower()}",
            why="Axolotl's plugin would skip kormo models with a warning, and would fail without a GPU",
            do="remove it, and select the kernels once: `kormo: {kernels: [{name: liger}]}`",
        )


def milestones_count_tokens(recipe: Resolved) -> Iterator[KormoError]:
    """Without rows of a fixed length, the number of tokens per step is not known."""
    if recipe.get("kormo.milestones") is not None and recipe.get("kormo.data") is None:
        yield _error(
            recipe,
            "kormo.milestones",
            found=f"milestones: {recipe.get('kormo.milestones')} without kormo.data",
            why="milestones are counted in tokens, and only rows of kormo.data have a known number of them",
            do="remove it, and keep more checkpoints with save_total_limit",
        )


def deepspeed_is_readable(recipe: Resolved) -> Iterator[KormoError]:
    """DeepSpeed ignores unknown keys, and Axolotl takes a missing file for a configuration."""
    faults = Faults()
    with faults.catch():
        deepspeed_config(recipe)
    return iter(faults)


def evaluation_can_be_done(recipe: Resolved) -> Iterator[KormoError]:
    """A misspelt suite or task, or a missing folder, must be found before the training."""
    if recipe.get("kormo.evaluate") is None:
        return
    from kormo_plugins.evaluation.catalogue import catalogue_of
    from kormo_plugins.evaluation.judged.suite import is_judged
    from kormo_plugins.evaluation.suites import load_suite

    where, faults = "kormo.evaluate.suites", Faults()
    requested = [(str(task), "kormo.evaluate.tasks") for task in recipe.get("kormo.evaluate.tasks") or ()]
    for name in recipe.get(where) or ():
        with faults.catch():
            if is_judged(str(name)):
                yield from _judge_is_named(recipe, str(name))
                continue
            suite = load_suite(str(name), recipe.where(where))
            if str(name).endswith((".yml", ".yaml")):  # a user's file; those of the package are tested
                requested += [(line.task, where) for line in suite.tasks]
    if requested:
        catalogue = catalogue_of(registry(tuple(recipe.get("kormo.plugins") or ())))
        for task, key in requested:
            with faults.catch():
                catalogue.find(task, recipe.where(key))
    yield from faults
    data = recipe.get("kormo.evaluate.data")
    if data is not None and not Path(str(data)).is_dir():
        yield _error(
            recipe,
            "kormo.evaluate.data",
            found=str(data),
            why="there is no such folder (paths are relative to the current folder)",
            do="name the folder of the datasets",
        )


def _judge_is_named(recipe: Resolved, name: str) -> Iterator[KormoError]:
    """A judged suite needs a judge, which nobody can name at the end of a training."""
    from kormo_plugins.evaluation.judged.suite import load_judged

    settings = load_judged(name).judge
    if settings.url is None and settings.checkpoint is None:
        yield _error(
            recipe,
            "kormo.evaluate.suites",
            found=name,
            why="a judged suite needs a judge, and this one names none",
            do="name a suite file of yours with judge.url and judge.model, or run `kormo eval --judge …` afterwards",
        )


def references_where_they_work(recipe: Resolved) -> Iterator[KormoError]:
    """`${NAME}` stands for a variable in paths and in dataset recipes; elsewhere it would be taken literally."""
    for keys, leaf in leaves(recipe.tree):
        if any(keys[: len(block)] == block for block in ENVIRONMENT_BLOCKS) or TEXTS & set(keys):
            continue
        for value in leaf.value if isinstance(leaf.value, list) else [leaf.value]:
            if isinstance(value, str) and (reference := REFERENCE.search(value)):
                yield _error(
                    recipe,
                    ".".join(map(str, keys)),
                    found=reference[0],
                    why=REFUSED,
                    do="write the value itself, or give it on the command line (`kormo train RECIPE KEY=VALUE`)",
                )


RULES: list[Rule] = [
    one_precision,
    precision_can_be_held,
    float8_is_compiled,
    checkpointed_layers_are_checkpointed,
    matrices_are_whole,
    one_beginning,
    global_batch_is_primary,
    row_length_is_said,
    one_length,
    decay_has_a_length,
    turns_need_a_chat_model,
    row_fits_the_positions,
    check_shared_rows,
    no_foreign_code,
    preference_runs,
    kernels_are_named_once,
    milestones_count_tokens,
    deepspeed_is_readable,
    evaluation_can_be_done,
    out_of_range,
    warm_up,
    schedule_without_evaluation,
    saving,
    saving_steps,
    loader,
    generation,
    bad_places,
    references_where_they_work,
    tokenizer_can_be_had,
    shares_have_sources,
    ignored_tokens_exist,
]
"""The rules are independent; a report has the errors of all of them."""
