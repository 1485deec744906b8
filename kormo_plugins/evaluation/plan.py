"""Prepares tasks before a model is loaded: finds and reads data, builds requests, measures their lengths.

Errors of names, data and lengths are raised here, within seconds, and one message lists everything that is missing. The
hash of all prompts and answers is the task's identity: a score is only reused for identical requests.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.evaluation.catalogue import Catalogue, Leaf
from kormo_plugins.evaluation.harness import Config, Split, Task, generation_settings
from kormo_plugins.evaluation.local_data import find_dataset, read_splits, wrong_columns
from kormo_plugins.evaluation.models.checkpoint import Checkpoint, tokenizer_of
from kormo_plugins.evaluation.suites import SuiteTask

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import PreTrainedTokenizerBase

SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234}
"""As in the harness's own command."""
SPLITS: tuple[Split, ...] = ("test_split", "validation_split", "training_split", "fewshot_split")


@dataclass(frozen=True)
class Ready:
    """A task that is ready to run.

    Args:
        suite: the suite that it belongs to.
        task: the harness's object with its requests built.
        chat: its prompts are rendered with the chat template.
        hash: of its requests and of how they are scored, 12 hex digits.
        dataset: source of its items.
        cut: number of requests that are longer than the model's context and are truncated on the left.
    """

    suite: str
    name: str
    task: Task
    chat: bool
    limit: int | None
    hash: str
    dataset: str
    cut: int


@dataclass(frozen=True)
class Wanted:
    """A task of a suite's line, and the maximum number of its items (None: all)."""

    suite: str
    leaf: Leaf
    line: SuiteTask
    limit: int | None


def make_ready(
    wanted: Sequence[Wanted], catalogue: Catalogue, model: Checkpoint, *, data: Path | None, cut_long: bool
) -> list[Ready]:
    """Prepares every task, in order.

    Args:
        data: folder of the datasets; None: the hub, or its cache on this machine.
        cut_long: truncate long prompts on the left instead of raising.
    Raises:
        KormoError: missing datasets (all in one message), columns that a task does not find, or requests longer than
            the model's context.
    """
    where = _data_folders([one.leaf for one in wanted], catalogue, data)
    read = cache(read_splits)  # many tasks may read the same files: Global-MMLU's 57 subjects are one
    opened: list[tuple[Wanted, bool, str, Task]] = []
    missing: dict[str, list[str]] = {}
    for one in wanted:
        chat = one.line.chat and model.chat
        config = catalogue.configuration(one.leaf, {} if chat else one.line.plain)
        dataset = str(config.get("dataset_path") or "generated")
        if dataset in missing:
            missing[dataset].append(one.leaf.name)
            continue
        try:
            task = _open(one.leaf.name, config, where.get(dataset), one.line.shots, read)
        except _Unreachable as error:
            missing[dataset] = [str(error), one.leaf.name]
        else:
            opened.append((one, chat, dataset, task))
    if missing:
        raise _missing(missing, None)
    tokenizer = tokenizer_of(model.path)
    ready = []
    for one, chat, dataset, task in opened:
        build_requests(task, one.limit, tokenizer if chat else None)
        cut = sum(1 for size, room in _sizes(task, tokenizer, chat, model.positions) if size > room)
        ready.append(Ready(one.suite, one.leaf.name, task, chat, one.limit, _identity(task, chat), dataset, cut))
    _refuse_long(ready, model, cut_long)
    return ready


class _Unreachable(Exception):
    """A dataset that is neither on this machine nor downloadable."""


def _data_folders(leaves: Sequence[Leaf], catalogue: Catalogue, data: Path | None) -> dict[str, Path]:
    """Dataset -> its folder under `--data`."""
    if data is None:
        return {}
    if not data.is_dir():
        raise KormoError(
            where="kormo eval: --data",
            found=str(data),
            why="there is no such folder",
            do="name the folder of the datasets",
        )
    folders: dict[str, Path] = {}
    missing: dict[str, list[str]] = {}
    for leaf in leaves:
        config = catalogue.configuration(leaf)
        dataset = config.get("dataset_path")
        if dataset is None or config.get("custom_dataset") is not None or dataset in folders:
            continue
        folder = find_dataset(data, dataset)
        if folder is None:
            missing.setdefault(dataset, [""]).append(leaf.name)
        else:
            folders[dataset] = folder
    if missing:
        raise _missing(missing, data)
    return folders


def _missing(missing: dict[str, list[str]], data: Path | None) -> KormoError:
    """One error for all missing datasets; each value is a reason and the tasks that need it."""
    lines = []
    for dataset, (reason, *tasks) in missing.items():
        wanted = ", ".join(tasks[:3]) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")
        place = f" at {data / dataset.split('/')[-1]}" if data else f": {reason}"
        lines.append(f"\n            {dataset} (for {wanted}){place}")
    return KormoError(
        where=f"kormo eval: --data {data}" if data else "kormo eval",
        found=f"{len(missing)} dataset{'s' * (len(missing) > 1)} missing",
        why="the selected tasks need them",
        do=f"copy {'each into its folder' if data else 'them into a folder, name it with --data'}, or select other "
        f"tasks (the suite mini needs no data):{''.join(lines)}",
    )


def _open(name: str, config: Config, folder: Path | None, shots: int | None, read: Callable[..., DatasetDict]) -> Task:
    """The harness's task object; `read` has the signature of `read_splits`."""
    from datasets.exceptions import DatasetNotFoundError
    from lm_eval.api.task import ConfigurableTask

    dataset = config.get("dataset_path")
    if folder is not None:
        splits = read(folder, config.get("dataset_name"), *_wanted_splits(config, shots))
        for key in SPLITS:
            if config.get(key) not in splits:
                config[key] = None
        config["custom_dataset"] = partial(_given, splits)
    if (process := config.get("process_docs")) is not None:
        config["process_docs"] = settled(process)
    config["metadata"] = config.get("metadata") or {}
    try:
        task = ConfigurableTask(config=config)
    except (DatasetNotFoundError, ConnectionError, FileNotFoundError) as error:
        raise _Unreachable(in_words(error)) from None
    except KormoError:
        raise
    except Exception as error:  # a task's functions may raise anything on unexpected rows
        place = str(folder or f"the dataset {dataset}")
        if folder is None and not _about_rows(error):
            raise _Unreachable(in_words(error)) from None
        columns = next(iter(splits.values())).column_names if folder is not None else ["unknown"]
        raise wrong_columns(name, place, columns, error) from None
    if task.get_config("num_fewshot") != 0:  # 0 in a task's file is part of the task
        task.set_config("num_fewshot", shots if shots is not None else task.get_config("num_fewshot") or 0)
    opened: Task = task
    return opened


def settled(process: Callable[[object], object]) -> Callable[[object], object]:
    """A task's `process_docs`, run once per split, with the seed of the harness's command.

    The harness calls it for the prompts and again for scoring. A random one (GPQA shuffles the four choices) would then
    score against another shuffle. For data of the hub, the cache on disk hides this; data in memory has no such cache.
    """
    kept: dict[int, tuple[object, object]] = {}

    @wraps(process)
    def once(split: object) -> object:
        """The processed split, computed once with the seed; restores the state of `random`."""
        if id(split) not in kept:
            state = random.getstate()
            random.seed(SEEDS["random"])
            try:
                kept[id(split)] = (split, process(split))  # the reference keeps its id from being reused
            finally:
                random.setstate(state)
        return kept[id(split)][1]

    return once


def _about_rows(error: Exception) -> bool:
    from jinja2 import TemplateError

    return isinstance(error, (KeyError, TemplateError, IndexError, TypeError, AttributeError))


def _given(splits: object, **_: object) -> object:
    """Returns the splits in memory; the harness also passes a task's metadata."""
    return splits


def _wanted_splits(config: Config, shots: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The splits that a task requires, and those that it reads if they exist.

    Without the few-shot split, the harness would take the examples from the test questions.
    """
    must = [config.get("test_split") or config.get("validation_split")]
    own = config.get("num_fewshot")
    if own != 0 and (own if shots is None else shots):
        must.append(config.get("fewshot_split") or config.get("training_split"))
    return tuple(one for one in must if one), tuple(name for key in SPLITS if (name := config.get(key)))


def build_requests(task: Task, limit: int | None, chat_tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Builds a task's requests as `lm_eval.evaluate` does, with the same few-shot examples each time."""
    task.set_fewshot_seed(seed=SEEDS["fewshot"])
    template = partial(render, chat_tokenizer) if chat_tokenizer is not None else None
    task.build_all_requests(
        limit=limit,
        rank=0,
        world_size=1,
        apply_chat_template=template is not None,
        fewshot_as_multiturn=template is not None,
        chat_template=template,
        tokenizer_name="",
    )


def render(
    tokenizer: PreTrainedTokenizerBase, history: list[dict[str, str]], add_generation_prompt: bool = True
) -> str:
    """Renders a conversation with the chat template, with thinking disabled."""
    return str(
        tokenizer.apply_chat_template(
            history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            enable_thinking=False,
        )
    )


def _identity(task: Task, chat: bool) -> str:
    import lm_eval

    config = task.dump_config()
    scored = {key: config.get(key) for key in ("output_type", "metric_list", "filter_list", "process_results")}
    digest = hashlib.sha256(json.dumps([lm_eval.__version__, chat, scored], sort_keys=True, default=str).encode())
    for instance in task.instances:
        digest.update(json.dumps([instance.args, instance.doc], sort_keys=True, default=str).encode())
    return digest.hexdigest()[:12]


def _sizes(
    task: Task, tokenizer: PreTrainedTokenizerBase, chat: bool, positions: int | None
) -> Iterator[tuple[int, int]]:
    """Tokens of each request and of the room for it. Requests whose bytes already fit are skipped."""
    if positions is None:
        return
    generation = generation_settings(task) if task.OUTPUT_TYPE == "generate_until" else None
    new = (generation.get("max_gen_toks") or generation.get("max_new_tokens") or 256) if generation else 0
    room = positions - new if generation else positions + 1  # the last token of a scored answer is not an input
    for instance in task.instances:
        text = "".join(part for part in instance.args if isinstance(part, str))
        if len(text.encode()) + 2 > room:  # a token is at least one byte
            yield len(tokenizer.encode(text, add_special_tokens=not chat)), room


def _refuse_long(ready: Sequence[Ready], model: Checkpoint, cut_long: bool) -> None:
    """Raises for prompts that do not fit; the harness would silently truncate them on the left."""
    for one in ready:
        new = generation_settings(one.task).get("max_gen_toks", 0) if one.task.OUTPUT_TYPE == "generate_until" else 0
        if model.positions is not None and new >= model.positions:
            raise KormoError(
                where=f"{model.path}: max_position_embeddings",
                found=f"{model.positions:,}",
                why=f"the task {one.name} generates answers of up to {new:,} tokens",
                do="select other tasks",
            )
    long = [one for one in ready if one.cut]
    if long and not cut_long:
        affected = ", ".join(f"{one.name} ({one.cut:,} of {len(one.task.instances):,} requests)" for one in long[:5])
        raise KormoError(
            where=f"{model.path}: max_position_embeddings",
            found=f"{model.positions:,}",
            why=f"prompts are longer, and would be truncated on the left: {affected}{' and others' * (len(long) > 5)}",
            do="use fewer shots (in your own suite file), select other tasks, or pass --cut-long, which truncates and "
            "counts them",
        )
