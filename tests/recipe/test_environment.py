"""References to environment variables: what is told of one that cannot be replaced, and what beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.environment import expand, slip_of
from kormo_plugins.recipe.files.resolve import PATHS
from kormo_plugins.recipe.load import load_recipe

from .kormo_recipe_stub import DATA, SOUND

UNSET = "${KORMO_TEST_UNSET}"


def told(path: Path, check: object = validate) -> dict[str, str]:
    """Key and reason of each fault of a recipe."""
    assert callable(check)
    with pytest.raises(KormoError) as refused:
        check(path)
    return {fault.where.partition(": ")[2]: fault.why for fault in each(refused.value)}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("${", "'${'"), ("/data/${", "'${'"), ("${A", "'${A'"), ("${A}${A", "'${A'"), ("${A:-b", "'${A:-b'"),
        ("${A:-${B}}", "'${A:-${B}}'"), ("$${x} ${", "'${'"), ("${A:-{x}", "'${A:-{x}'"),
    ],
)  # fmt: skip
def test_a_reference_that_is_not_closed_is_refused(value: str, found: str) -> None:
    with pytest.raises(KormoError, match="it is not closed") as refused:
        expand({"path": [value]}, "d.yml: reader", {"A": "a", "B": "b"})
    assert refused.value.where == "d.yml: reader.path[0]" and refused.value.found == found
    assert refused.value.do.endswith("or $${ for a literal ${")


@pytest.mark.parametrize(
    ("value", "text"),
    [("$${", "${"), ("$${A", "${A"), ("$$${A}", "$${A}"), ("$A {A} $", "$A {A} $"), ("${A}$", "a$"), ("}${A}{", "}a{")],
)
def test_what_is_no_reference_is_left(value: str, text: str) -> None:
    assert expand(value, "d.yml: reader", {"A": "a"}) == text


@pytest.mark.parametrize(
    ("name", "variables", "meant"),
    [
        ("KORMO_DATA", {"KORMO_DATA": ""}, None),
        ("KORMO_DATA", {"KORMO_DATA": "", "KORMO_DATE": "x"}, None),  # the right one is there
        ("KORMO_DATA", {"KORMO_CACHE": "/cache"}, None),
        ("KORMO_DATA", {"KORMO_DTAA": "/data"}, "KORMO_DTAA"),
        ("KORMO_DATA", {"KORMO_DAT": "/data"}, "KORMO_DAT"),
        ("KORMO_DATA", {"KORMO_DATAS": "/data"}, "KORMO_DATAS"),
        ("KORMO_DATA", {"KORMO_DATS": "/data"}, "KORMO_DATS"),
        ("KORMO_DATA", {"kormo_data": "/data"}, "kormo_data"),
        ("KORMO_DATA", {"KORMO_DTAA": ""}, None),  # an empty one helps nobody
        ("DISK_1", {"DISK_2": "/2"}, None),
        ("A", {"B": "b", "_": "c"}, None),
        ("A", {"a": "b"}, "a"),
    ],
)
def test_only_a_slip_of_the_hand_is_taken_for_another_variable(
    name: str, variables: dict[str, str], meant: str | None
) -> None:
    with pytest.raises(KormoError) as refused:
        expand(f"${{{name}}}/x", "d.yml: reader.path", variables)
    assert refused.value.do == (
        f"Did you mean {meant!r}?" if meant else f"export {name}=…, or write ${{{name}:-default}}"
    )


def test_a_slip_is_one_edit() -> None:
    """Against the definition: all texts that one edit makes are slips, and no text of two is."""
    name, letters = "abcdef", "xa"
    edits = {name[:at] + name[at + 1 :] for at in range(6)}
    edits |= {name[:at] + letter + name[at + end :] for at in range(6) for letter in letters for end in (0, 1)}
    edits |= {name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(5)}
    assert all(slip_of(name, [one]) == one for one in edits - {name})
    assert not any(slip_of(name, [one]) for one in ("abxdyf", "abcd", "abcdefgh", "badcef", "fbcdea", "uvwxyz", name))


def test_an_unset_variable_hides_no_other_fault(tmp_path: Path) -> None:
    path = tmp_path / "d.yml"
    path.write_text(f"sources: {{x: {{reader: {{name: jsonl, path: '{UNSET}'}}, foo: 1}}}}\nstpes: [length]\n")
    found = told(path)
    assert list(found) == ["sources.x.foo", "sources.x.reader.path", "stpes"]
    assert "is not set" in found["sources.x.reader.path"]


@pytest.mark.parametrize("value", ["documents: '%s'", "reader: {name: '%s', path: x}", "reader: '%s'", "steps: '%s'"])
def test_what_follows_from_an_unset_value_is_not_told(tmp_path: Path, value: str) -> None:
    path, reader = tmp_path / "d.yml", "" if "reader" in value else "reader: {name: jsonl, path: x}, "
    path.write_text(f"sources: {{x: {{{reader}{value % UNSET}}}}}\n")
    (why,) = told(path).values()
    assert "is not set" in why
    path.write_text(f"sources: {{x: {{{reader}{value % UNSET}, foo: 1}}}}\n")
    assert len(told(path)) == 2


@pytest.mark.parametrize("keys", PATHS, ids=".".join)
def test_an_unset_path_of_a_recipe_is_one_fault(tmp_path: Path, keys: tuple[str, ...]) -> None:
    (tmp_path / "data.yml").write_text(DATA)
    values = yaml.safe_load(SOUND)
    block = values
    for key in keys[:-1]:
        block = block.setdefault(key, {})
    block[keys[-1]] = UNSET
    path = tmp_path / "r.yml"
    path.write_text(yaml.safe_dump(values))
    assert list(told(path, load_recipe)) == [".".join(keys)]
    path.write_text(yaml.safe_dump({**values, "learning_rat": 3}))
    beside = [] if keys == ("deepspeed",) else ["learning_rat"]  # what a file of DeepSpeed says decides on other keys
    assert list(told(path, load_recipe)) == sorted([".".join(keys), *beside])
