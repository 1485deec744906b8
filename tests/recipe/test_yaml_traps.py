"""YAML as people write it, and as people attack with it: read as meant, or refused within a second."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.recipe.files.yaml_file import MAX_BYTES, read_value, read_yaml

ROOT = Path(__file__).parents[2]


def read(folder: Path, text: str) -> object:
    path = folder / "x.yml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}}),
        ("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b}\n", {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2}}),
        ("a: &a {x: 1}\nb: &b {y: 1}\nc: {<<: [*a, *b]}\n", {"a": {"x": 1}, "b": {"y": 1}, "c": {"x": 1, "y": 1}}),
        ("a: &l [1]\nb: *l\n", {"a": [1], "b": [1]}),
        ('t: "12:00:00"\nz: "010"\nn: 0\nm: -0\nf: 0.5\nh: 0x10\nu: 1_000\n',
         {"t": "12:00:00", "z": "010", "n": 0, "m": 0, "f": 0.5, "h": 16, "u": 1000}),
        ("d: 2026-01-31\ne: 3e-4\nclock: 00:30\nport: a:80\n",
         {"d": "2026-01-31", "e": 3e-4, "clock": "00:30", "port": "a:80"}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("1: a\n", {1: "a"}),
    ],
)  # fmt: skip
def test_what_is_read_as_meant(text: str, value: object, tmp_path: Path) -> None:
    assert read(tmp_path, text) == value


BOMB = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time: 12:00:00\n", 'put it in quotes: "12:00:00"'), ("t: 1:30\n", "base 60"), ("t: 1:30.5\n", "base 60"),
        ("n: 01\n", "write 1"), ("n: 010\n", "write 10"), ("n: 08\n", "write 8"), ("n: -007\n", "leading zero"),
        ("b: !!bool abc\n", "calls it bool"), ("i: !!int x\n", "calls it int"), ("f: !!float x\n", "calls it float"),
        ('p: "a\\0b"\n', "the character U+0000"), ('"\\0": 1\n', "the character U+0000"),
        ("b: !!binary abc\n", "the tag !!binary"), ("s: !!set {a}\n", "the tag !!set"),
        ("x: !mine 3\n", "the tag !mine"),
        ("x: =\n", "in quotes"), ("? [a]\n: 1\n", "the key"), ("~: 1\n", "reads it as nothing"),
        ("1.5: x\n", "the key"),
        ("a: 1\na: 2\nb: 1\nb: 2\n", "2 faults"), ("a: {<<: 3}\n", "<<"), ("a: &a {<<: *a}\n", "merge"),
        ("a: " + "[" * 100_000, "levels of nesting"), ("a: " + "{b: " * 100_000, "levels of nesting"),
        ("- " * 100_000, "levels of nesting"), (BOMB, "merge keys"), ("x: [" + "1, " * 300_000 + "]\n", "values"),
        ("x: " + "a" * MAX_BYTES, "bytes"), ("n: " + "9" * 5000 + "\n", "calls it int"),
    ],
)  # fmt: skip
def test_a_trap_is_refused_at_once(text: str, says: str, tmp_path: Path) -> None:
    start = time.process_time()
    with pytest.raises(KormoError) as caught:
        read(tmp_path, text)
    assert says in caught.value.render()
    assert time.process_time() - start < 1


def test_each_fault_of_a_file_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(KormoError) as caught:
        read(tmp_path, "a: 1\nb: 010\na: 2\nno: 3\n" + "c: 1\n" * 5 + "d: 12:00:00\n")
    lines = [error.where.rpartition(" ")[2] for error in each(caught.value)]
    assert lines == ["2", "3", "4", "6", "7", "8", "9", "10"]


@pytest.mark.parametrize("text", ["12:00:00", "010", "!!bool abc", "[" * 10_000])
def test_a_value_of_the_command_line_is_read_alike(text: str) -> None:
    with pytest.raises(KormoError):
        read_value(text, "kormo train: x")


@pytest.mark.parametrize("nested", [False, True])
def test_files_that_double_at_each_step_are_read_once(nested: bool, tmp_path: Path) -> None:
    (tmp_path / "f0.yml").write_text("x: 1\ny: [1]\n", encoding="utf-8")
    for index in range(1, 24):
        name = f"f{index - 1}.yml"
        text = f"a: {{extends: {name}}}\nb: {{extends: {name}}}\n" if nested else f"extends: [{name}, {name}]\n"
        (tmp_path / f"f{index}.yml").write_text(text, encoding="utf-8")
    start = time.process_time()
    if nested:
        with pytest.raises(KormoError, match="values with all that it extends"):
            resolve(tmp_path / "f23.yml")
    else:
        assert resolve(tmp_path / "f23.yml").values == {"x": 1, "y": [1]}
    assert time.process_time() - start < 1


def test_a_long_chain_of_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f0.yml").write_text("x: 1\n", encoding="utf-8")
    for index in range(1, 500):
        (tmp_path / f"f{index}.yml").write_text(f"extends: f{index - 1}.yml\n", encoding="utf-8")
    with pytest.raises(KormoError, match="more than 64 files"):
        resolve(tmp_path / "f499.yml")


def test_all_files_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("n: 010\n", encoding="utf-8")
    (tmp_path / "x.yml").write_text(
        "extends: [nosuch.yml, bad.yml, other.yml]\na: {extends: third.yml}\n", encoding="utf-8"
    )
    with pytest.raises(KormoError) as caught:
        resolve(tmp_path / "x.yml")
    found = "\n".join(error.found for error in each(caught.value))
    assert [name in found for name in ("nosuch.yml", "010", "other.yml", "third.yml")] == [True] * 4


@pytest.mark.parametrize("plugins", ["3.7", "true", "{a: b}", "[1]", "null", "kormo_plugins.KormoPlugin"])
def test_plugins_of_a_wrong_kind(plugins: str, tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(f"extends: {ROOT}/recipes/pretrain.yml\nplugins: {plugins}\n", encoding="utf-8")
    with pytest.raises(KormoError) as caught:
        validate(tmp_path / "x.yml")
    assert "Traceback" not in caught.value.render()


def test_an_empty_mapping_takes_away_what_is_inherited(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("shares: {ko: 1}\nkeep: {x: 1}\n", encoding="utf-8")
    (tmp_path / "b.yml").write_text("extends: a.yml\nshares: {}\n", encoding="utf-8")
    (tmp_path / "c.yml").write_text("extends: b.yml\nshares: {en: 1}\n", encoding="utf-8")
    assert resolve(tmp_path / "b.yml").values == {"shares": {}, "keep": {"x": 1}}
    assert resolve(tmp_path / "a.yml", {"shares": {}}).values["shares"] == {}
    assert resolve(tmp_path / "c.yml").values["shares"] == {"en": 1}
    assert resolve(tmp_path / "b.yml").origin("shares") == str(tmp_path / "b.yml")


def test_a_link_to_a_recipe_finds_what_lies_beside_its_target(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/base.yml").write_text("x: 1\n", encoding="utf-8")
    (tmp_path / "there/r.yml").write_text("extends: base.yml\n", encoding="utf-8")
    link = tmp_path / "link.yml"
    link.symlink_to("there/r.yml")
    assert resolve(link).values == {"x": 1}
    (tmp_path / "base.yml").write_text("x: 2\n", encoding="utf-8")
    with pytest.raises(KormoError, match="is a symbolic link"):
        resolve(link)


def test_a_recipe_from_standard_input(tmp_path: Path) -> None:
    text = f"extends: {ROOT}/recipes/pretrain.yml\nplugins: [kormo_plugins.KormoPlugin]\nseed: 3\n"
    command = [sys.executable, "-m", "kormo_plugins.cli.main", "recipe", "validate", "-", "/dev/stdin"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in (command[:-1], [*command[:-2], "/dev/stdin"]):
        done = subprocess.run(
            words, input=text, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "") and "sound" in done.stdout


def test_a_pipe_that_nobody_writes_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(KormoError, match="not a regular file"):
        read_yaml(tmp_path / "pipe.yml")
