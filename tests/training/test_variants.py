"""Canaries of what differs between the supported Axolotls: each feature is there in one of the two known shapes."""

from __future__ import annotations

import importlib.util
import inspect
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from axolotl.integrations import base

from kormo_plugins.training.compat import variants


def has(module: str) -> bool:
    """Whether a module is there."""
    return importlib.util.find_spec(module) is not None


def test_plugins_are_registered_by_name_alone_or_by_the_function_that_lists_the_others() -> None:
    """0.19 has neither; 0.20 a tuple; 0.21 the function, and the group of entry points that it reads."""
    declared = metadata.distribution("axolotl").entry_points.select(group=variants.PLUGIN_GROUP)
    assert bool(declared) == ("get_builtin_plugins" in vars(base))
    if declared:
        assert base.PLUGIN_ENTRY_POINT_GROUP == variants.PLUGIN_GROUP
        assert set(variants.entry_point_plugins()) <= set(variants.unnamed_plugins())
        assert "axolotl.integrations.context_parallel.ContextParallelPlugin" in variants.entry_point_plugins()
    else:
        assert variants.entry_point_plugins() == ()


def test_names_of_plugins_are_made_alike() -> None:
    normalize = vars(base).get("normalize_plugin_name", variants.plugin_name)
    for name in ("a.b.Plugin", "a.b:Plugin", "kormo_plugins:KormoPlugin"):
        assert variants.plugin_name(name) == normalize(name)


def test_a_merge_is_told_of_by_the_hook_or_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    import axolotl.cli.merge_lora as module

    merged: list[Any] = []
    monkeypatch.setattr(module, "do_merge_lora", lambda *, cfg: merged.append(cfg))
    before = module.do_merge_lora
    variants.call_after_merge(lambda: merged.append("first"))
    variants.call_after_merge(lambda: merged.append("then"))
    if "post_lora_merge" in vars(base.BasePlugin):
        assert module.do_merge_lora is before
        assert "post_lora_merge" in inspect.getsource(module._do_merge_lora_efficient)
        assert list(inspect.signature(base.BasePlugin.post_lora_merge).parameters) == [
            "self", "cfg", "adapter_path", "output_path",
        ]  # fmt: skip
    else:
        module.do_merge_lora(cfg="recipe")
        assert merged == ["recipe", "then"]


def test_a_failing_training_is_known_where_axolotl_unloads_it() -> None:
    seen = []

    def unload() -> None:
        seen.append(variants.training_failed())

    for error in (SystemExit(75), RuntimeError("x")):
        try:
            try:
                raise error
            finally:
                unload()
        except BaseException:
            pass
    unload()
    assert seen == [True, True, False]


def test_rows_are_shared_by_one_of_the_two_ways() -> None:
    assert variants.shares_rows_by_ulysses() != has("axolotl.utils.ctx_managers.sequence_parallel")


def test_nobody_else_asks_which_axolotl_is_there() -> None:
    """The differences are in one place: no other module reads a version of Axolotl to decide something."""
    package = Path(variants.__file__).parents[2]
    asking = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "axolotl.__version__" in path.read_text(encoding="utf-8") or "axolotl_version" in path.read_text("utf-8")
    }
    assert not asking


def test_trl_takes_our_pairs_inside_only() -> None:
    import trl.trainer.dpo_trainer as module

    class Pairs:
        """As our datasets: no class of `datasets`."""

    original = module.Dataset
    with variants.taken_by_trl(Pairs()):
        assert isinstance(Pairs(), module.Dataset)
    assert module.Dataset is original and not isinstance(Pairs(), original)
