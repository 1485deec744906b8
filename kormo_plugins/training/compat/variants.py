"""All differences between the supported versions of Axolotl, each detected by feature.

    feature                                  0.19                  0.20                  0.21
    plugins registered without being named   none                  its own               its own, and entry points
    after `axolotl merge-lora`               (we replace           (we replace           `BasePlugin.post_lora_merge`
                                             `do_merge_lora`)      `do_merge_lora`)
    datasets that TRL's DPOTrainer takes     any                   any                   those of `datasets`
    rows shared by several devices           ring-flash-attn       ringmaster            ringmaster
    `post_train_unload` is called            after a training      after a training, and after one that failed

No other module depends on the version of Axolotl. Each check has a canary test in `tests/training/test_variants.py`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator

from kormo_plugins.plugins.installed import entry_points

PLUGIN_GROUP = "axolotl.plugins"
"""Entry point group of Axolotl plugins."""


def plugin_name(name: str) -> str:
    """Name of a plugin in Axolotl's manager: `package.module.Class`, also for `module:Class`."""
    return name.replace(":", ".")


@functools.cache
def entry_point_plugins() -> tuple[str, ...]:
    """Plugins that Axolotl registers from entry points; empty if this version does not read them.

    Only reads metadata. An Axolotl that reads the group also has plugins of its own in it.
    """
    points = entry_points(PLUGIN_GROUP)
    if not any(point.distribution == "axolotl" for point in points):
        return ()
    return tuple(dict.fromkeys(plugin_name(point.value) for point in points))


def unnamed_plugins() -> tuple[str, ...]:
    """Plugins that Axolotl registers without the recipe. Imports Axolotl."""
    from axolotl.integrations import base

    known = vars(base)
    if "get_builtin_plugins" in known:
        return tuple(known["get_builtin_plugins"]())
    return tuple(known.get("BUILTIN_PLUGINS", ()))


def call_after_merge(then: Callable[[], None]) -> None:
    """Calls `then` after `axolotl merge-lora` has written the merged model, for versions without a plugin hook.

    The last `then` wins: plugins are registered twice in that command.
    """
    from axolotl.integrations.base import BasePlugin

    if "post_lora_merge" in vars(BasePlugin):
        return
    import axolotl.cli.merge_lora as module

    original = getattr(module.do_merge_lora, "kormo", module.do_merge_lora)

    def merge(*, cfg: object) -> None:
        """Axolotl's LoRA merge, followed by ours."""
        original(cfg=cfg)
        then()

    merge.kormo = original  # type: ignore[attr-defined]
    module.do_merge_lora = merge


@contextlib.contextmanager
def taken_by_trl(dataset: object) -> Iterator[None]:
    """Context in which TRL's DPOTrainer accepts this class of dataset (it checks since 1.14)."""
    import trl.trainer.dpo_trainer as module

    names = vars(module)
    original = names["Dataset"]
    names["Dataset"] = (original, type(dataset))
    try:
        yield
    finally:
        names["Dataset"] = original


def training_failed() -> bool:
    """Whether `post_train_unload` is called after an error or a signal.

    Axolotl 0.20 and later call it in a `finally`; this checks for an exception that is being handled.
    """
    return sys.exception() is not None


def shares_rows_by_ulysses() -> bool:
    """Whether rows are shared with ringmaster, which gives each device whole rows and some of the heads, with documents
    separated; the older ring attention does not separate documents."""
    return importlib.util.find_spec("axolotl.integrations.context_parallel") is not None
