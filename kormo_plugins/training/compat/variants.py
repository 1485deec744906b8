"""What differs between the Axolotls that are supported, in one place: each difference by the feature that is there.

    feature                                  0.19                  0.20                  0.21
    plugins registered without being named   none                  its own               its own, and entry points
    after `axolotl merge-lora`               (we replace           (we replace           `BasePlugin.post_lora_merge`
                                             `do_merge_lora`)      `do_merge_lora`)
    datasets that TRL's DPOTrainer takes     any                   any                   those of `datasets`
    rows shared by several devices           ring-flash-attn       ringmaster            ringmaster
    `post_train_unload` is called            after a training      after a training, and after one that failed

Nothing else asks which Axolotl is there. What is asked here has a canary in `tests/training/test_variants.py`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

PLUGIN_GROUP = "axolotl.plugins"
"""The group of entry points in which a distribution names its Axolotl plugins."""


def plugin_name(name: str) -> str:
    """The name by which Axolotl's manager knows a plugin, `package.module.Class`, also for `module:Class`."""
    return name.replace(":", ".")


@functools.cache
def entry_point_plugins() -> tuple[str, ...]:
    """The plugins that Axolotl registers because an installed distribution names them; none where it does not look.

    Read from metadata alone. An Axolotl that looks into the group names plugins of its own there.
    """
    try:
        looked_up = metadata.distribution("axolotl").entry_points.select(group=PLUGIN_GROUP)
    except metadata.PackageNotFoundError:
        return ()
    if not looked_up:
        return ()
    return tuple(dict.fromkeys(plugin_name(point.value) for point in metadata.entry_points(group=PLUGIN_GROUP)))


def unnamed_plugins() -> tuple[str, ...]:
    """Every plugin that Axolotl registers without a recipe naming it. Imports Axolotl."""
    from axolotl.integrations import base

    known = vars(base)
    if "get_builtin_plugins" in known:
        return tuple(known["get_builtin_plugins"]())
    return tuple(known.get("BUILTIN_PLUGINS", ()))


def call_after_merge(then: Callable[[], None]) -> None:
    """Has `then` called when `axolotl merge-lora` has written the merged model, where no plugin hook says so.

    The last one given counts: plugins register twice in that command.
    """
    from axolotl.integrations.base import BasePlugin

    if "post_lora_merge" in vars(BasePlugin):
        return
    import axolotl.cli.merge_lora as module

    original = getattr(module.do_merge_lora, "kormo", module.do_merge_lora)

    def merge(*, cfg: object) -> None:
        """Axolotl's merge of a LoRA, and then ours."""
        original(cfg=cfg)
        then()

    merge.kormo = original  # type: ignore[attr-defined]
    module.do_merge_lora = merge


@contextlib.contextmanager
def taken_by_trl(dataset: object) -> Iterator[None]:
    """Inside, TRL's DPOTrainer takes a dataset of this class as it takes those of `datasets` (it asks since 1.14)."""
    import trl.trainer.dpo_trainer as module

    names = vars(module)
    original = names["Dataset"]
    names["Dataset"] = (original, type(dataset))
    try:
        yield
    finally:
        names["Dataset"] = original


def training_failed() -> bool:
    """Whether `post_train_unload` is called on the way out of a training that an error or a signal ended.

    Axolotl 0.20 and later call it in a `finally`; what is asked here is the error that is being handled.
    """
    return sys.exception() is not None


def shares_rows_by_ulysses() -> bool:
    """Whether rows are shared by ringmaster, which hands whole rows and part of the heads to each device, documents
    apart; before, ring attention knew rows and no documents."""
    return importlib.util.find_spec("axolotl.integrations.context_parallel") is not None
