"""A recipe with changes: every key can be changed, none is misunderstood, and the file means what was checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.override import changed, nested, parse, provenance, recipe_yaml, split, with_changes
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path for path in (ROOT / "recipes").rglob("*.yml") if path.parent.name not in ("chains", "ablations", "ladders")
)


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped recipe, named as a user does."""
    monkeypatch.chdir(ROOT)
    return Path("recipes/pretrain.yml")


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["learning_rate=1e-3"], "learning_rate", 1e-3),
        (["kormo.global_batch=16"], "kormo.global_batch", 16),
        (["kormo.architecture.hidden_size=64"], "kormo.architecture.hidden_size", 64),
        (["kormo.data.mixture.weights.bilingual=0"], "kormo.data.mixture.weights.bilingual", 0),
        (["output_dir=2026"], "output_dir", "2026"),
        (["kormo.data.name=3e-4"], "kormo.data.name", "3e-4"),
        (["seed=null"], "seed", None),
        (["gradient_checkpointing=true"], "gradient_checkpointing", True),
        (["lr_scheduler_kwargs={num_decay_steps: 7}"], "lr_scheduler_kwargs.num_decay_steps", 7),
        (["kormo.tokens=null", "max_steps=3"], "max_steps", 3),
        (["max_steps=3"], "kormo.tokens", None),
    ],
)
def test_a_change_is_what_is_trained(base: Path, tmp_path: Path, words: list[str], key: str, value: Any) -> None:
    out = with_changes(base, parse(words, base), tmp_path / "deep" / "er.yml")
    found = resolve(out)
    assert found.get(key) == value and type(found.get(key)) is type(value)
    assert load_recipe(out).resolved.values == changed(base, parse(words, base)).resolved.values


def test_an_element_of_a_list_is_changed_and_the_others_stay(base: Path, tmp_path: Path) -> None:
    before = resolve(base).get("kormo.data.steps")
    for name in ("kormo.data.steps[1].minimum", "kormo.data.steps.1.minimum"):
        after = resolve(with_changes(base, {name: 7}, tmp_path / "x.yml")).get("kormo.data.steps")
        assert after == [before[0], {**before[1], "minimum": 7}, *before[2:]]
    both = {"kormo.samples.prompts[0]": "가", "kormo.samples.prompts[2]": "나"}
    prompts = resolve(with_changes(base, both, tmp_path / "x.yml")).get("kormo.samples.prompts")
    assert (prompts[0], prompts[1], prompts[2]) == ("가", resolve(base).get("kormo.samples.prompts")[1], "나")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learning_rat=1"], ["command line: learning_rat", "Did you mean 'learning_rate'?"]),
        (["kormo.globl_batch=1"], ["kormo.globl_batch", "Did you mean 'global_batch'?"]),
        (["kormo.architecture.hiden_size=1"], ["Did you mean 'hidden_size'?"]),
        (["kormo.data.sources.ko_prose.licence=MIT"], ["Did you mean 'license'?"]),
        (["learning_rate=fast"], ["'fast'", "number"]),
        (["kormo.architecture.hidden_size=big"], ["'big'", "a whole number"]),
        (["seed=1.5"], ["1.5", "a whole number or null"]),
        (["kormo.export=null"], ["null", "true or false"]),
        (["kormo.export=maybe"], ["'maybe'", "true or false"]),
        (["optimizer=adamw_torchh"], ["Did you mean 'adamw_torch'?"]),
        (["kormo.data.steps[9].minimum=1"], ["the list has 3"]),
        (["datasets[0].path=x"], ["no such list"]),
        (["seed.inner=1"], ["seed: 42", "without keys inside"]),
        (["kormo.samples={max_new_tokens: 4}", "kormo.samples.prompts=[a]"], ["changed as well"]),
        (["seed=1", "seed=2"], ["twice"]),
        (["seed"], ["key=value"]),
        (["=1"], ["key=value"]),
        (["plugins[0]=x"], ["merged"]),
        (["kormo.data=no/such.yml"], ["no such file"]),
        (["kormo.samples.prompts=[a"], ["not valid YAML"]),
        (["kormo.global_batch=12"], ["multiple of 8"]),
    ],
)
def test_what_cannot_be_meant_is_refused(base: Path, tmp_path: Path, words: list[str], said: list[str]) -> None:
    with pytest.raises(KormoError) as error:
        with_changes(base, parse(words, base), tmp_path / "x.yml")
    assert [part for part in said if part not in error.value.render()] == []
    assert not (tmp_path / "x.yml").exists()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT / "recipes")))
def test_a_resolved_recipe_is_read_back_as_it_was(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("KORMO_DATA", "${HOME}")  # a value that looks like another reference
    monkeypatch.setenv("KORMO_EVAL_DATA", "datasets_recipes")
    values = resolve(path.relative_to(ROOT)).values
    (tmp_path / "x.yml").write_text(recipe_yaml(values), encoding="utf-8")
    assert resolve(tmp_path / "x.yml").values == values


@given(
    st.text(max_size=12),
    st.sampled_from(["1e5", "null", "~", "2020-01-01", "0x1f", "$${x}", "${x}", "no", " a", "# b"]),
)
def test_text_stays_text(text: str, tricky: str) -> None:
    from kormo_plugins.recipe.files.yaml_file import read_value

    if text.isprintable():
        values = {"kormo": {"samples": {"prompts": [text, tricky]}}}
        assert read_value(recipe_yaml(values), "here") == values


def test_the_file_says_what_was_changed_since_the_first_recipe(base: Path, tmp_path: Path) -> None:
    once = with_changes(base, {"seed": 1, "kormo.tokens": 8192}, tmp_path / "once.yml")
    twice = with_changes(once, {"seed": 2}, tmp_path / "twice.yml")
    assert provenance(base) == {"recipe": str(base)}
    assert provenance(once) == {"recipe": str(base), "overrides": {"seed": 1, "kormo.tokens": 8192}}
    assert provenance(twice) == {"recipe": str(base), "overrides": {"seed": 2, "kormo.tokens": 8192}}


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), st.integers())
def test_nested_changes_reach_their_place(names: list[str], value: int) -> None:
    found: Any = nested({".".join(names): value}, {})
    for name in split(".".join(names)):
        found = found[name]
    assert found == value
