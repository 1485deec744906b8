"""Which recipes our Axolotl plugin answers for, and that it does so once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from axolotl.cli.config import prepare_plugins
from axolotl.integrations import base
from axolotl.integrations.base import PluginManager
from axolotl.utils.dict import DictDefault

from kormo_plugins.bridge.plugin import SELF, KormoPlugin
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.projections import KernelPlan
from kormo_plugins.training.compat import variants, versions

ENTRY = "[axolotl.plugins]\nkormo = kormo_plugins:KormoPlugin\n"
PATH = "kormo_plugins.bridge.plugin.KormoPlugin"
looks_up = pytest.mark.skipif(
    not variants.entry_point_plugins(), reason="this Axolotl registers only the plugins that a recipe names"
)


@pytest.fixture(autouse=True)
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A manager without plugins, which finds none of ours that this environment's installation names."""
    monkeypatch.setattr(PluginManager, "_instance", None)
    if "entry_points" in vars(base):
        monkeypatch.setattr(base, "entry_points", _others)
    monkeypatch.setattr(PluginManager, "plugins", type(PluginManager.plugins)(), raising=False)
    yield
    variants.entry_point_plugins.cache_clear()
    vars(base).get("reset_plugin_entry_points_cache", lambda: None)()


def _others(group: str) -> list[metadata.EntryPoint]:
    """Entry points of the environment without ours."""
    return [point for point in metadata.entry_points(group=group) if not point.value.startswith("kormo_plugins:")]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[KormoPlugin]:
    """The plugins whose recipe was read, in order; nothing is built."""
    seen: list[KormoPlugin] = []

    def note(self: KormoPlugin, cfg: Any) -> None:
        seen.append(self)
        self.recipe = cfg

    monkeypatch.setattr(KormoPlugin, "_register", note)
    return seen


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata that pip writes for this package."""
    folder = tmp_path / "kormo_plugins-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: kormo-plugins\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY)
    monkeypatch.syspath_prepend(str(tmp_path))
    if "entry_points" in vars(base):
        monkeypatch.setattr(base, "entry_points", metadata.entry_points)
    variants.entry_point_plugins.cache_clear()
    vars(base).get("reset_plugin_entry_points_cache", lambda: None)()


def ours() -> list[KormoPlugin]:
    """Those of the manager's plugins that are ours."""
    return [plugin for plugin in PluginManager.get_instance().plugins.values() if isinstance(plugin, KormoPlugin)]


@looks_up
@pytest.mark.parametrize("plugins", [None, [], [SELF], ["kormo_plugins:KormoPlugin"]])
def test_an_installed_plugin_is_registered_once_named_or_not(
    plugins: list[str] | None, installed: None, registered: list[KormoPlugin]
) -> None:
    named = {} if plugins is None else {"plugins": plugins}
    prepare_plugins(DictDefault({"kormo": {}, "axolotl_config_path": "recipe.yml", **named}))
    assert len(ours()) == 1 and registered == ours()


@pytest.mark.parametrize("plugins", [[SELF], [SELF, SELF]])
def test_a_named_plugin_is_registered_once(plugins: list[str], registered: list[KormoPlugin]) -> None:
    prepare_plugins(DictDefault({"kormo": {}, "axolotl_config_path": "recipe.yml", "plugins": plugins}))
    assert registered == ours()


@pytest.mark.parametrize("plugins", [[SELF, PATH], [PATH, SELF], [PATH]])
def test_by_two_paths_it_is_still_one_plugin(
    plugins: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second of us is dropped: two that load data would be an error of Axolotl's."""
    read: list[Any] = []
    monkeypatch.setattr(
        "kormo_plugins.bridge.plugin.load_recipe", lambda path, overrides: read.append(path) or _Recipe(plugins)
    )
    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump({"kormo": {}, "plugins": plugins}))
    with pytest.raises(SystemExit):  # of `axolotl inference`: the recipe has no trained model
        prepare_plugins(
            DictDefault({**yaml.safe_load(path.read_text()), "axolotl_config_path": str(path), "inference": True})
        )
    assert len(read) == 1 and len(ours()) == 1
    assert "no trained model" in capsys.readouterr().err


class _Recipe:
    """As much of a recipe as `register` looks at."""

    def __init__(self, plugins: list[str]) -> None:
        self.plugins = plugins

    def job_plan(self) -> Any:
        run = SimpleNamespace(path=Path("recipe.yml"), output_dir=Path("nothing"))
        return SimpleNamespace(plugins=self.plugins, kernels=self.kernel_plan(), run=run)

    def kernel_plan(self) -> KernelPlan:
        return KernelPlan((), "recipe.yml", registry())


@pytest.mark.parametrize("values", [{"base_model": "x"}, {"base_model": "x", "plugins": ["a.B"]}])
def test_a_recipe_that_is_not_ours_is_left_alone(values: dict[str, Any], registered: list[KormoPlugin]) -> None:
    """Axolotl 0.21 registers every installed plugin for every recipe."""
    plugin = KormoPlugin()
    plugin.register(DictDefault(values))
    cfg = DictDefault(values)
    assert not registered and plugin.recipe is None
    assert plugin.get_trainer_cls(cfg) is None and plugin.load_datasets(cfg) is None
    assert plugin.get_training_args(cfg) == {} and plugin.add_callbacks_post_trainer(cfg, None) == []
    assert plugin.get_collator_cls_and_kwargs(cfg) is None
    plugin.pre_model_load(cfg)
    plugin.post_model_load(cfg, None)
    plugin.post_trainer_create(cfg, None)
    plugin.post_lora_merge(cfg, "", "")
    plugin.post_train_unload(cfg)


@pytest.mark.parametrize("values", [{"kormo": {}}, {"extends": "other.yml"}, {"plugins": [SELF]}, {"plugins": [PATH]}])
def test_a_recipe_of_ours_is_known_by_its_keys(values: dict[str, Any], registered: list[KormoPlugin]) -> None:
    plugin = KormoPlugin()
    plugin.register(DictDefault(values))
    assert registered == [plugin]


def test_the_next_recipe_of_a_process_is_not_taken_for_the_one_before(registered: list[KormoPlugin]) -> None:
    plugin = KormoPlugin()
    plugin.register(DictDefault({"kormo": {}}))
    plugin.register(DictDefault({"base_model": "x"}))
    assert len(registered) == 1 and plugin.recipe is None


def test_a_version_that_is_not_supported_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registered: list[KormoPlugin]
) -> None:
    monkeypatch.setattr(versions, "installed", lambda: "0.22.0")
    with pytest.raises(SystemExit) as stopped:
        KormoPlugin().register(DictDefault({"kormo": {}}))
    message = capsys.readouterr().err
    assert stopped.value.code == 2 and not registered
    assert "0.22.0" in message and versions.INSTALL in message and versions.SUPPORTED in message


def test_a_training_that_failed_is_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axolotl 0.20 and later unload it all the same: the marker of a finished model would be written."""
    finished: list[Any] = []
    monkeypatch.setattr("kormo_plugins.bridge.plugin.finish.finish", lambda recipe, built: finished.append(recipe))
    monkeypatch.setattr("kormo_plugins.bridge.plugin.kernels.release", lambda recipe: None)
    plugin = KormoPlugin()
    plugin.recipe = _Recipe([])  # type: ignore[assignment]
    with pytest.raises(SystemExit):
        try:
            raise SystemExit(75)
        finally:
            plugin.post_train_unload(DictDefault({}))
    assert not finished
    plugin.post_train_unload(DictDefault({}))
    assert finished == [plugin.recipe]


@pytest.mark.parametrize(("bf16", "device", "told"), [(True, False, True), (True, True, None), (False, False, None)])
def test_bfloat16_is_computed_without_an_accelerator(
    bf16: bool, device: bool, told: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers refuses it there unless it is told to stay on the CPU."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: device)
    plugin = KormoPlugin()
    plugin.recipe = SimpleNamespace()  # type: ignore[assignment]
    assert plugin.get_training_args(DictDefault({"bf16": bf16})).get("use_cpu") is told
