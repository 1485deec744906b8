"""Inheritance: what `extends` means, against an oracle that is written another way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.files.environment import expand_paths
from kormo_plugins.recipe.files.resolve import COMMAND_LINE, ENVIRONMENT_BLOCKS, overrides_of, resolve, resolve_data
from kormo_plugins.recipe.files.tree import Block, Leaf, leaves, merge

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["x", "y"]))
LEAVES = st.builds(Leaf, st.one_of(SCALARS, st.lists(SCALARS, max_size=2)), st.just("f"))
KEYS = st.sampled_from(["a", "b", "c", "plugins"])


def _blocks(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Block]:
    """Few keys, so that three trees say different kinds of things about the same one."""
    keys = st.sampled_from(["a", "plugins"])
    return st.builds(
        Block, st.dictionaries(keys, children, min_size=1), st.just("f"), st.sampled_from([False, False, True])
    )


TREES = _blocks(st.one_of(LEAVES, _blocks(st.one_of(LEAVES, _blocks(LEAVES)))))
MAPPINGS = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6),
    max_size=4,
)


def _write(folder: Path, **files: Any) -> None:
    for name, value in files.items():
        path = folder / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


def _later_wins(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Oracle: for each key the layers from its last non-mapping or empty mapping on; mappings after that are merged
    likewise."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for layer in layers for key in layer):
        said = [layer[key] for layer in layers if key in layer]
        last = max((i for i, value in enumerate(said) if not isinstance(value, dict) or not value), default=-1)
        found[key] = _later_wins(said[last + 1 :]) if said[last + 1 :] else said[last]
    return found


def _said(values: dict[str, Any], keys: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value of nested mappings with its keys."""
    found = []
    for key, value in values.items():
        found += _said(value, (*keys, key)) if isinstance(value, dict) else [((*keys, key), value)]
    return found


@given(TREES, TREES, TREES)
@settings(max_examples=400, deadline=None)
def test_merging_is_associative(a: Block, b: Block, c: Block) -> None:
    assert merge(a, merge(b, c)) == merge(merge(a, b), c)


@given(st.lists(MAPPINGS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_chain_of_files_is_the_merge_of_its_layers(
    tmp_path_factory: pytest.TempPathFactory, layers: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    for index, layer in enumerate(layers):
        _write(
            folder,
            **{
                f"own{index}": layer,
                f"r{index}": {"extends": f"r{index - 1}.yml", **layer} if index else layer,
            },
        )
    _write(folder, listed={"extends": [f"own{index}.yml" for index in range(len(layers))]})
    chained = resolve(folder / f"r{len(layers) - 1}.yml")
    assert chained.values == _later_wins(layers)
    assert resolve(folder / "listed.yml").values == chained.values


@given(MAPPINGS, MAPPINGS)
@settings(max_examples=60, deadline=None)
def test_every_leaf_of_the_child_is_kept_and_says_its_file(
    tmp_path_factory: pytest.TempPathFactory, parent: Any, child: Any
) -> None:
    folder = tmp_path_factory.mktemp("wins")
    _write(folder, parent=parent, child={"extends": "parent.yml", **child})
    resolved = resolve(folder / "child.yml")
    for keys, value in _said(child):
        found: Any = resolved.values
        for key in keys:
            found = found[key]
        assert found == value
        assert resolved.origin(".".join(keys)) == str(folder / "child.yml")
    for keys, leaf in leaves(resolved.tree):
        assert resolved.origin(".".join(keys)) == leaf.file


def test_lists_are_replaced_and_null_is_a_value(tmp_path: Path) -> None:
    _write(
        tmp_path,
        a={"l": [1, 2], "gone": 5, "m": {"x": 1, "y": 2}},
        b={"extends": "a.yml", "l": [3], "gone": None, "m": {"y": 3}},
    )
    resolved = resolve(tmp_path / "b.yml")
    assert resolved.values == {"l": [3], "gone": None, "m": {"x": 1, "y": 3}}
    assert list(resolved.values) == ["l", "gone", "m"]
    assert resolved.where("gone") == f"{tmp_path / 'b.yml'}: gone"
    assert resolved.origin("m.x") == str(tmp_path / "a.yml")
    assert resolved.origin("l[0]") == str(tmp_path / "b.yml")


def test_plugins_are_united_parents_first(tmp_path: Path) -> None:
    _write(
        tmp_path,
        liger={"plugins": ["axolotl.integrations.liger.LigerPlugin"]},
        a={"extends": "liger.yml", "plugins": ["kormo_plugins.KormoPlugin"]},
        b={"extends": "a.yml", "plugins": ["kormo_plugins.KormoPlugin"], "kormo": {"plugins": ["mine"]}},
    )
    both = ["axolotl.integrations.liger.LigerPlugin", "kormo_plugins.KormoPlugin"]
    assert resolve(tmp_path / "b.yml").values["plugins"] == both


def test_paths_are_relative_to_the_file_that_says_extends(tmp_path: Path) -> None:
    _write(
        tmp_path,
        **{
            "sizes/base": {"n": 1},
            "sizes/big": {"extends": "base.yml", "b": 2},
            "recipes/deep/x": {"extends": ["../../sizes/big.yml"], "x": 3},
        },
    )
    resolved = resolve(tmp_path / "recipes/deep/x.yml")
    assert resolved.values == {"n": 1, "b": 2, "x": 3}
    assert [path.name for path in resolved.files] == ["base.yml", "big.yml", "x.yml"]
    assert resolved.origin("n") == str(tmp_path / "sizes/base.yml")


def test_a_diamond_is_no_circle(tmp_path: Path) -> None:
    _write(
        tmp_path,
        top={"a": 1},
        left={"extends": "top.yml", "l": 1},
        right={"extends": "top.yml", "r": 1},
        x={"extends": ["left.yml", "right.yml"]},
    )
    resolved = resolve(tmp_path / "x.yml")
    assert resolved.values == {"a": 1, "l": 1, "r": 1}
    assert len(resolved.files) == 4


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_message_shows_the_circle(tmp_path: Path, length: int) -> None:
    for index in range(length):
        _write(tmp_path, **{f"c{index}": {"extends": f"c{(index + 1) % length}.yml"}})
    _write(tmp_path, start={"extends": "c0.yml"})
    with pytest.raises(KormoError) as caught:
        resolve(tmp_path / "start.yml")
    names = [Path(part).name for part in caught.value.found.split(" → ")]
    assert names == [f"c{index % length}.yml" for index in range(length + 1)]


def test_a_circle_through_a_block_is_found(tmp_path: Path) -> None:
    _write(tmp_path, d={"sources": {"x": {"extends": "d.yml"}}}, r={"kormo": {"data": "d.yml"}})
    with pytest.raises(KormoError, match="→"):
        resolve(tmp_path / "r.yml")


DATA_A = {"name": "a", "sources": {"x": {"n": 1}}, "steps": [1]}
DATA_B = {"name": "b", "sources": {"y": {"n": 2}}}


def test_a_block_that_extends_replaces_and_one_that_does_not_merges(tmp_path: Path) -> None:
    _write(
        tmp_path,
        **{"data/a": DATA_A, "data/b": DATA_B},
        base={"kormo": {"data": "data/a.yml"}},
        same={"extends": "base.yml"},
        edit={"extends": "base.yml", "kormo": {"data": {"sources": {"x": {"n": 9}}}}},
        other={"extends": "base.yml", "kormo": {"data": "data/b.yml"}},
        both={
            "extends": "base.yml",
            "kormo": {"data": {"extends": ["data/a.yml", "data/b.yml"], "name": "c"}},
        },
        mapped={"extends": "edit.yml", "kormo": {"data": {"extends": "data/b.yml", "steps": []}}},
    )

    def data(name: str) -> Any:
        return resolve(tmp_path / f"{name}.yml").values["kormo"]["data"]

    assert data("same") == DATA_A
    assert data("edit") == {**DATA_A, "sources": {"x": {"n": 9}}}
    assert data("other") == DATA_B
    assert data("both") == {"name": "c", "sources": {"x": {"n": 1}, "y": {"n": 2}}, "steps": [1]}
    assert data("mapped") == {**DATA_B, "steps": []}
    assert resolve(tmp_path / "other.yml").origin("kormo.data.sources.y.n") == str(tmp_path / "data/b.yml")


def test_any_mapping_may_extend_even_in_a_list(tmp_path: Path) -> None:
    _write(
        tmp_path,
        size={"name": "m", "layers": 2},
        step={"name": "s"},
        x={
            "kormo": {
                "architecture": {"extends": "size.yml", "layers": 3},
                "tokenizer": {"train": "step.yml"},
            },
            "datasets": [{"extends": "step.yml"}],
        },
    )
    values = resolve(tmp_path / "x.yml").values
    assert values["kormo"] == {
        "architecture": {"name": "m", "layers": 3},
        "tokenizer": {"train": {"name": "s"}},
    }
    assert values["datasets"] == [{"name": "s"}]


def test_overrides_win_over_all_files(tmp_path: Path) -> None:
    _write(tmp_path, a={"lr": 1, "kormo": {"global_batch": 4, "tokens": 5}}, b={"extends": "a.yml", "lr": 2})
    resolved = resolve(tmp_path / "b.yml", {"lr": 3, "kormo": {"tokens": None}})
    assert resolved.values == {"lr": 3, "kormo": {"global_batch": 4, "tokens": None}}
    assert resolved.origin("lr") == resolved.origin("kormo.tokens") == COMMAND_LINE


@given(MAPPINGS, MAPPINGS)
@settings(max_examples=60, deadline=None)
def test_overrides_of_finds_what_axolotl_changed(
    tmp_path_factory: pytest.TempPathFactory, own: dict[str, Any], changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("overrides")
    _write(folder, own=own, parent={"a": 7}, child={"extends": "parent.yml", **own})
    path = folder / "child.yml"
    cfg = {**yaml.safe_load(path.read_text(encoding="utf-8")), **changes, "axolotl_config_path": path}
    found = overrides_of(cfg, path)
    assert not {"extends", "axolotl_config_path"} & set(found)
    after = resolve(path, found).values
    for key, value in changes.items():
        if not isinstance(value, dict) and key != "plugins":
            assert after[key] == value


def test_true_is_not_one_on_the_command_line(tmp_path: Path) -> None:
    _write(tmp_path, x={"seed": 1, "m": {"flag": True}})
    assert overrides_of({"seed": True, "m": {"flag": 1}}, tmp_path / "x.yml") == {"seed": True, "m": {"flag": 1}}


def test_numbers_in_the_file_are_no_overrides(tmp_path: Path) -> None:
    _write(tmp_path, x="learning_rate: 3e-4\nwhen: 2026-01-31\n")
    path = tmp_path / "x.yml"
    assert overrides_of(yaml.safe_load(path.read_text(encoding="utf-8")), path) == {}
    assert resolve(path).values == {"learning_rate": 3e-4, "when": "2026-01-31"}


def test_environment_variables_only_in_the_data_and_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORMO_TEST_FOLDER", "/data/ko")
    monkeypatch.delenv("KORMO_TEST_UNSET", raising=False)
    data = {
        "path": "${KORMO_TEST_FOLDER}/x",
        "n": "${KORMO_TEST_UNSET:-5}",
        "t": "$${text}",
        "l": [{"p": "${KORMO_TEST_FOLDER}"}],
    }
    paths = {"output_dir": "${KORMO_TEST_FOLDER}/run", "wandb_name": "${KORMO_TEST_FOLDER}"}
    workspace = {"workspace": "${KORMO_TEST_UNSET:-here}"}
    _write(tmp_path, d=data, x={**paths, "kormo": {"data": "d.yml", **workspace}})
    expected = {"path": "/data/ko/x", "n": "5", "t": "${text}", "l": [{"p": "/data/ko"}]}
    assert resolve_data(tmp_path / "d.yml").values == expected
    values = resolve(tmp_path / "x.yml").values
    assert values["kormo"]["data"] == expected
    assert (values["output_dir"], values["kormo"]["workspace"]) == ("/data/ko/run", "here")
    assert values["wandb_name"] == "${KORMO_TEST_FOLDER}"  # a rule refuses it: it is no path


def _path_keys(model: type[BaseModel], at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The keys of a model, and of the models in it, that take a path."""
    for name, field in model.model_fields.items():
        keys = (*at, field.alias or name)
        for part in (field.annotation, *get_args(field.annotation)):
            if part is Path:
                yield keys
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from _path_keys(part, keys)


def test_every_path_of_the_kormo_block_may_be_a_variable() -> None:
    from kormo_plugins.recipe.schema.kormo_block import KormoBlock

    found = list(_path_keys(KormoBlock, ("kormo",)))
    assert ("kormo", "workspace") in found and len(found) >= 4
    left = [keys for keys in found if not any(keys[: len(block)] == block for block in ENVIRONMENT_BLOCKS)]
    assert left == []


@pytest.mark.parametrize("read", ["chain", "ablation"])
def test_paths_of_chains_and_ablations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    """`folder` of a chain may be a variable; what is no path is refused by its key, all of it at once."""
    monkeypatch.setenv("KORMO_TEST_FOLDER", "/data/ko")
    paths, later = {"chain": (("folder",), ("set", "stages")), "ablation": ((), ("set", "variants"))}[read]
    values = {"folder": "${KORMO_TEST_FOLDER}/c", "set": {"output_dir": "${KORMO_TEST_FOLDER}"}, "n": ["a", "${X:-1}"]}
    with pytest.raises(KormoError) as caught:
        expand_paths(values, "c.yml", paths, later)
    refused = {"chain": ["c.yml: n"], "ablation": ["c.yml: folder", "c.yml: n"]}[read]
    assert [fault.where for fault in each(caught.value)] == refused
    if read == "chain":
        assert expand_paths({**values, "n": 1}, "c.yml", paths, later) == {**values, "n": 1, "folder": "/data/ko/c"}


def test_steps_on_the_command_line_win_over_tokens_in_the_file() -> None:
    from kormo_plugins.recipe.load import load_recipe

    root = Path(__file__).parents[2]
    assert load_recipe(root / "recipes" / "pretrain.yml").steps == 160
    assert load_recipe(root / "recipes" / "pretrain.yml", {"max_steps": 2}).steps == 2


def test_a_key_of_an_earlier_version_is_read_under_its_name_of_today(tmp_path: Path) -> None:
    old = {"kormo": {"monitor": {"unseen": {"sources": {"one": {"weight": 1}}}}}}
    both = {"kormo": {"monitor": {"unseen": {"name": "a"}, "external_eval": {"name": "b"}}}}
    _write(tmp_path, parent=old, child={"extends": "parent.yml"}, both=both)
    resolved = resolve(tmp_path / "child.yml")
    assert resolved.get("kormo.monitor.external_eval.sources.one.weight") == 1
    assert resolved.get("kormo.monitor.unseen") is None
    assert resolved.renamed == {str(tmp_path / "parent.yml"): {"kormo.monitor.unseen": "external_eval"}}
    with pytest.raises(KormoError, match="unseen is the former name of external_eval"):
        resolve(tmp_path / "both.yml")
