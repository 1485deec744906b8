"""Plugins by one door: discovered, named, clashes refused, nothing skipped in silence."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from kormo_plugins import Component, hookimpl, hookspecs
from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import KINDS
from kormo_plugins.plugins.registry import BUILT_IN, Registry


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")
    loudness: int = 1


def _module(name: str, **hooks: object) -> types.ModuleType:
    module = types.ModuleType(name)
    for key, value in hooks.items():
        setattr(module, key, value)
    sys.modules[name] = module
    return module


def _steps(*components: Component) -> object:
    @hookimpl
    def kormo_corpus_steps() -> Iterator[Component]:
        yield from components

    return kormo_corpus_steps


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("third_"):
            del sys.modules[name]


def test_every_hook_is_documented_and_has_a_kind() -> None:
    hooks = {n for n, f in inspect.getmembers(hookspecs, inspect.isfunction) if n.startswith("kormo_")}
    assert hooks == set(KINDS.values())
    protocols = {
        name for name, kind in inspect.getmembers(hookspecs, inspect.isclass) if getattr(kind, "_is_protocol", False)
    }
    for name in hooks:
        told = set(re.findall(r"`(?:make\(params\) -> )?(\w+)`", getattr(hookspecs, name).__doc__ or ""))
        assert told & protocols, f"{name} does not say which protocol its components have"


def test_every_built_in_feature_comes_through_the_door() -> None:
    entries = Registry().entries()
    assert {entry.module for entry in entries} <= set(BUILT_IN)
    assert {("architecture", "kormo"), ("objective", "next_token"), ("tokenizer", "kormo_bpe")} <= {
        (entry.kind, entry.component.name) for entry in entries
    }
    for entry in entries:
        assert entry.component.summary and entry.distribution == "kormo-plugins" and entry.origin == "built-in"


def test_every_component_can_be_loaded_and_its_params_are_strict() -> None:
    found = Registry()
    for entry in found.entries():
        assert found.load(entry.kind, entry.component.name) is not None
        if entry.component.params is not None:
            with pytest.raises(KormoError):
                found.params(entry.kind, entry.component.name, {"no_such_key_anywhere": 1})


def test_a_module_named_in_a_recipe() -> None:
    _module("third_a", kormo_corpus_steps=_steps(Component("shout", load="third_a:x", summary="s", params=Params)))
    found = Registry(["third_a"])
    assert "shout" in found.names("corpus_step")
    assert found.params("corpus_step", "shout", {"loudness": 3}).loudness == 3


def test_naming_it_twice_is_no_clash() -> None:
    _module("third_a", kormo_corpus_steps=_steps(Component("shout", load=len, summary="s")))
    assert Registry(["third_a", "third_a"]).load("corpus_step", "shout") is len


def test_an_installed_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "third_dist.py").write_text(
        "from kormo_plugins import Component, hookimpl\n"
        "@hookimpl\ndef kormo_packings():\n    yield Component('mine', load=len, summary='s')\n"
    )
    info = tmp_path / "third_dist-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-dist\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[kormo_plugins]\nmine = third_dist\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    entry = next(e for e in Registry().entries() if e.component.name == "mine")
    assert (entry.distribution, entry.version, entry.origin) == ("third-dist", "1.2", "entry point")


def test_two_plugins_with_one_name_are_refused_with_both_named() -> None:
    _module("third_a", kormo_corpus_steps=_steps(Component("shout", load=len, summary="s")))
    _module("third_b", kormo_corpus_steps=_steps(Component("shout", load=len, summary="s")))
    with pytest.raises(KormoError) as error:
        Registry(["third_a", "third_b"])
    assert "third_a" in error.value.where and "third_b" in error.value.where and "'shout'" in error.value.found


def test_one_name_in_two_kinds_is_no_clash() -> None:
    packing = hookimpl(lambda: [Component("shout", load=len, summary="s")])
    _module("third_a", kormo_corpus_steps=_steps(Component("shout", load=len, summary="s")), kormo_packings=packing)
    assert "shout" in Registry(["third_a"]).names("packing")


@pytest.mark.parametrize("missing", ["third_not_there", "third_broken"])
def test_a_plugin_that_cannot_be_imported_stops_the_run(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "third_broken.py").write_text(
        "from kormo_plugins import hookimpl\nraise RuntimeError('its own reason')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KormoError) as error:
        Registry([missing])
    assert missing in error.value.where
    assert ("is not installed" in error.value.found) or ("its own reason" in error.value.found)


class Dist:
    """Writes a distribution into a folder: a module, and the entry point that names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, version: str, body: str) -> None:
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(f"from kormo_plugins import Component, hookimpl\n{body}")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[kormo_plugins]\nx = {module}\n")
        importlib.invalidate_caches()


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dist:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Dist(tmp_path)


ONE = "@hookimpl\ndef kormo_packings():\n    yield Component('mine', load=len, summary='s')\n"


def test_two_distributions_with_one_name_are_refused_with_both_named(
    dist: Dist, monkeypatch: pytest.MonkeyPatch
) -> None:
    dist("third-one", "1.2", ONE)
    dist("third-two", "3.4", ONE)
    with pytest.raises(KormoError) as error:
        Registry()
    assert "third-one" in error.value.where and "third-two" in error.value.where
    assert "KORMO_PLUGINS=third-two" in error.value.do
    monkeypatch.setenv("KORMO_PLUGINS", "third-two")  # what the message says to do
    assert "mine" in Registry().names("packing")


@pytest.mark.parametrize(
    "body, what, fix",
    [
        ("@hookimpl\ndef kormo_packings(lengths):\n    return []\n", "lengths", "kormo plugins hooks"),
        ("@hookimpl\ndef kormo_packing():\n    return []\n", "kormo_packing", "Did you mean 'kormo_packings'?"),
        ("def kormo_packings():\n    return []\n", "without @hookimpl", "write `@hookimpl`"),
        ("import no_such_library\n", "the module no_such_library is not installed", "KORMO_PLUGINS"),
        ("raise SystemExit(3)\n", "the program exits with status 3", "KORMO_PLUGINS"),
        ("x = (\n", "was never closed", "KORMO_PLUGINS"),
        ("@hookimpl\ndef kormo_packings():\n    raise OSError('its own')\n", "its own", "KORMO_PLUGINS=third-dist"),
        ("@hookimpl\ndef kormo_packings():\n    yield 'mine'\n", "yields 'mine'", "KORMO_PLUGINS=third-dist"),
        ("@hookimpl\ndef kormo_packings():\n    return Component('a', len, 's')\n", "not iterable", "third-dist"),
        ("@hookimpl\ndef kormo_packings():\n    yield Component('a b', len, 's')\n", "a b", "third-dist"),
    ],
)
def test_a_plugin_that_is_not_sound_is_refused_with_its_distribution_and_the_mend(
    body: str, what: str, fix: str, dist: Dist, monkeypatch: pytest.MonkeyPatch
) -> None:
    dist("third-dist", "1.2", body)
    with pytest.raises(KormoError) as error:
        Registry()
    assert "third_dist" in error.value.where and "third-dist" in error.value.where
    assert what in error.value.found and fix in error.value.do
    monkeypatch.setenv("KORMO_PLUGINS", "third-dist")
    assert Registry().blocked[0].distribution == "third-dist"


def test_parameters_that_are_no_model_are_told_when_they_are_needed() -> None:
    _module("third_a", kormo_corpus_steps=_steps(Component("shout", load=len, summary="s", params=dict)))
    with pytest.raises(KormoError, match="not a pydantic model"):
        Registry(["third_a"]).params("corpus_step", "shout", {"loudness": 3})


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(KormoError) as error:
        Registry().get("architecture", "komro")
    assert "kormo" in error.value.why and "Did you mean 'kormo'" in error.value.do


def test_a_load_that_names_nothing() -> None:
    _module("third_a", kormo_corpus_steps=_steps(Component("shout", load="third_a:Shuot", summary="s")))
    sys.modules["third_a"].Shout = len  # type: ignore[attr-defined]
    with pytest.raises(KormoError) as error:
        Registry(["third_a"]).load("corpus_step", "shout")
    assert "Did you mean 'Shout'" in error.value.do
