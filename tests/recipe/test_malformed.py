"""Malformed recipes: each is refused with one message that says where, what, and what to do; exit status
2."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli

from .kormo_recipe_stub import DATA, SOUND, Write

ROOMS = all(importlib.util.find_spec(f"kormo_plugins.{room}.params") is not None for room in ("corpus", "mixture"))
needs_rooms = pytest.mark.skipif(not ROOMS, reason="the corpus and mixture rooms have no parameter models yet")

CHILD = "extends: sound.yml\nplugins: [kormo_plugins.KormoPlugin]\n"
"""A sound child; the cases add to it."""

ON_DATA = CHILD + "datasets: null\nmax_steps: 5\nsave_steps: 5\n"


ALONE = (
    SOUND.replace("datasets:\n  - path: some/folder\n    type: chat_template\n", "max_steps: 5\nsave_steps: 5\n")
    + "  data: data.yml\n"
)
"""A sound recipe on rows of our own."""


BUILT_IN = """\
sources: {ko: {generator: {name: embedded, language: ko}}}
mixture: {name: weighted, weights: {ko: 1}}
"""
"""A dataset recipe by itself."""


class Bad(NamedTuple):
    """A malformed recipe and what its message must hold."""

    name: str
    text: str
    where: str
    says: str


def sound(old: str, new: str) -> str:
    """The sound recipe with one place changed."""
    assert SOUND.count(old) == 1, old
    return SOUND.replace(old, new)


def data(old: str, new: str) -> str:
    """A child with a dataset recipe that is sound but for one place."""
    assert DATA.count(old) == 1, old
    return ON_DATA + "kormo: {data: bad.yml}\n#: bad.yml\n" + DATA.replace(old, new)


FILES = [
    Bad("empty file", "", "recipe.yml", "an empty file"),
    Bad("a list", "- 1\n- 2\n", "recipe.yml", "a list"),
    Bad("a sentence", "train me a model\n", "recipe.yml", "text"),
    Bad("bad indentation", "a: 1\n  b: 2\n", "recipe.yml, line 2", "not valid YAML"),
    Bad("open bracket", "plugins: [a, b\nx: 1\n", "recipe.yml, line", "not valid YAML"),
    Bad("tab", "a:\n\tb: 1\n", "recipe.yml, line 2", "not valid YAML"),
    Bad("two documents", "a: 1\n---\nb: 2\n", "recipe.yml, line 2", "not valid YAML"),
    Bad("python object", "a: !!python/object/apply:os.getcwd []\n", "recipe.yml, line 1", "python/object"),
    Bad(
        "key twice",
        SOUND + "learning_rate: 1\n",
        "recipe.yml, line 22",
        "the key 'learning_rate' for the second time",
    ),
    Bad(
        "key twice, deep",
        sound("size: 3", "size: 3, size: 4"),
        "recipe.yml, line 13",
        "the key 'size' for the second",
    ),
    Bad(
        "no output folder",
        sound("output_dir: out", "output_dir: ''"),
        "recipe.yml: output_dir",
        "does not name a folder",
    ),
    Bad("no as a key", SOUND + "no: 1\n", "recipe.yml, line 22", "put it in quotes"),
    Bad("endless alias", "a: &a [*a]\n", "recipe.yml", "levels"),
    Bad(
        "billion laughs",
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
        "recipe.yml",
        "values",
    ),
    Bad("not UTF-8", "a: \udcff\n", "recipe.yml", "not UTF-8"),
]

EXTENDS = [
    Bad("extends without us", "extends: sound.yml\n", "recipe.yml: extends",
        "add `plugins: [kormo_plugins.KormoPlugin]`"),
    Bad("extends, plugins misspelt", "extends: sound.yml\nplugins: [kormo_plugin.KormoPlugin]\n",
        "recipe.yml: extends", "silently drop extends"),
    Bad("missing parent", CHILD.replace("sound", "soundd"), "recipe.yml: extends",
        "Did you mean 'sound.yml'?"),
    Bad("missing folder", CHILD.replace("sound", "sizes/x"), "recipe.yml: extends",
        "there is no folder 'sizes'"),
    Bad("a folder", CHILD.replace("sound.yml", "sub") + "#: sub/x.yml\na: 1\n", "recipe.yml: extends",
        "a recipe is a file"),
    Bad("circle", CHILD.replace("sound", "b") + "#: b.yml\nextends: recipe.yml\n", "b.yml: extends",
        "recipe.yml → b.yml → recipe.yml"),
    Bad("itself", CHILD.replace("sound", "recipe"), "recipe.yml: extends", "recipe.yml → recipe.yml"),
    Bad("extends a number", "extends: 3\nplugins: [kormo_plugins.KormoPlugin]\n", "recipe.yml: extends",
        "a list of paths"),
    Bad("extends a mapping", "extends: {a: b}\nplugins: [kormo_plugins.KormoPlugin]\n", "recipe.yml: extends",
        "one path"),
    Bad("extends a server", CHILD.replace("sound.yml", "https://x.org/a.yml"), "recipe.yml: extends",
        "only files"),
    Bad("fault in the parent",
        CHILD.replace("sound", "b") + "#: b.yml\nextends: sound.yml\nlearning_rte: 1\n",
        "b.yml: learning_rte", "Did you mean 'learning_rate'?"),
    Bad("broken parent", CHILD.replace("sound", "b") + "#: b.yml\na: [\n", "b.yml, line", "not valid YAML"),
]  # fmt: skip

KEYS = [
    Bad("misspelt key", SOUND + "gradient_checkponting: true\n", "recipe.yml: gradient_checkponting",
        "Did you mean 'gradient_checkpointing'?"),
    Bad("misspelt key in a list", sound("type: chat", "typ: chat"), "recipe.yml: datasets[0].typ",
        "Did you mean 'type'?"),
    Bad("key of another dataset kind", sound("    type: chat_template", "    text_colum: text"),
        "recipe.yml: datasets[0].text_colum", "silently drop it"),
    Bad("misspelt key in a mapping", SOUND + "fsdp_config: {offload_param: true}\n",
        "recipe.yml: fsdp_config.offload_param", "Did you mean 'offload_params'?"),
    Bad("nonsense key", SOUND + "zzqqxx: 1\n", "recipe.yml: zzqqxx", "list the plugin that reads it"),
    Bad("the block misspelt", sound("kormo:\n  plugins", "komro:\n  plugins"), "recipe.yml: kormo",
        "needs a `kormo:` block"),
    Bad("our key outside the block", SOUND + "global_batch: 4\n", "recipe.yml: global_batch",
        "below `kormo:`"),
    Bad("torch_dtype", SOUND + "torch_dtype: bfloat16\n", "recipe.yml: torch_dtype", "kormo.precision"),
    Bad("a plugin's key without the plugin", SOUND + "cut_cross_entropy: true\n", "recipe.yml: cut_cross_entropy",
        "under `plugins`"),
    Bad("Liger's own key", SOUND + "liger_rope: true\n", "recipe.yml: liger_rope", "kernels: [{name: liger}]"),
    Bad("Liger's own plugin",
        sound("[kormo_plugins.KormoPlugin]", "[kormo_plugins.KormoPlugin, axolotl.integrations.liger.LigerPlugin]"),
        "recipe.yml: plugins", "kernels: [{name: liger}]"),
    Bad("not listed", sound("plugins: [kormo_plugins.KormoPlugin]\n", ""), "recipe.yml: plugins",
        "add kormo_plugins.KormoPlugin"),
    Bad("unknown Axolotl plugin",
        sound("[kormo_plugins.KormoPlugin]", "[kormo_plugins.KormoPlugin, axolotl.integrations.liger.LigerPlugn]"),
        "plugins: axolotl.integrations.liger.LigerPlugn",
        "Did you mean 'axolotl.integrations.liger.LigerPlugin'?"),
    Bad("text for a number", sound("micro_batch_size: 2", "micro_batch_size: two"),
        "recipe.yml: micro_batch_size", "a whole number"),
    Bad("half a row", sound("micro_batch_size: 2", "micro_batch_size: 2.5"), "recipe.yml: micro_batch_size",
        "a whole number"),
    Bad("true for a number", sound("micro_batch_size: 2", "micro_batch_size: true"),
        "recipe.yml: micro_batch_size", "found:  true"),
    Bad("a number for a list",
        sound("datasets:\n  - path: some/folder\n    type: chat_template", "datasets: 3"),
        "recipe.yml: datasets", "a list of mappings"),
    Bad("a misspelt key before a wrong value", SOUND + "seed: x\nlearning_rte: 1\n", "recipe.yml: learning_rte",
        "Did you mean 'learning_rate'?"),
    Bad("null for a number", SOUND.replace("sequence_len: 128", "sequence_len: null"), "recipe.yml: sequence_len",
        "a whole number"),
    Bad("misspelt optimizer", SOUND.replace("adamw_torch", "adamw_torhc"), "recipe.yml: optimizer",
        "Did you mean 'adamw_torch'?"),
    Bad("misspelt schedule", sound("lr_scheduler: cosine", "lr_scheduler: warmup_stable_deacy"),
        "recipe.yml: lr_scheduler", "Did you mean 'warmup_stable_decay'?"),
    Bad("a word that is none of them", SOUND + "excess_length_strategy: cut\n",
        "recipe.yml: excess_length_strategy", "one of drop, truncate, raise"),
]  # fmt: skip

BLOCK = [
    Bad("block is a word", CHILD.replace("sound", "empty") + "kormo: yes\n#: empty.yml\nseed: 1\n",
        "recipe.yml: kormo", "mapping"),
    Bad("misspelt key of ours", CHILD + "kormo: {globl_batch: 4}\n", "recipe.yml: kormo.globl_batch",
        "Did you mean 'global_batch'?"),
    Bad("misspelt, deep", CHILD + "kormo: {precision: {master_weights: float32}}\n",
        "recipe.yml: kormo.precision.master_weights", "this key is unknown"),
    Bad("no precision", CHILD + "kormo: {precision: null}\n", "recipe.yml: kormo.precision", "weights"),
    Bad("an unknown dtype", CHILD + "kormo: {precision: {weights: float16}}\n",
        "recipe.yml: kormo.precision.weights", "bfloat16"),
    Bad("no rows", CHILD + "kormo: {global_batch: 0}\n", "recipe.yml: kormo.global_batch",
        "greater than or equal to 1"),
    Bad("text for rows", CHILD + "kormo: {global_batch: many}\n", "recipe.yml: kormo.global_batch",
        "whole number"),
    Bad("true for rows", CHILD + "kormo: {global_batch: true}\n", "recipe.yml: kormo.global_batch", "truth value"),
    Bad("yes for a size", CHILD + "kormo: {architecture: {size: yes}}\n", "recipe.yml: kormo.architecture.size",
        "truth value"),
    Bad("true deep inside", CHILD + "kormo: {stop_on: {spike: {sigmas: on}}}\n",
        "recipe.yml: kormo.stop_on.spike.sigmas", "truth value"),
    Bad("unknown architecture", CHILD + "kormo: {architecture: {name: stub_modle}}\n",
        "recipe.yml: kormo.architecture", "Did you mean 'stub_model'?"),
    Bad("unknown size of it", CHILD + "kormo: {architecture: {sise: 4}}\n",
        "recipe.yml: kormo.architecture.sise", "Did you mean 'size'?"),
    Bad("unknown collator", CHILD + "kormo: {collator: {name: nonesuch}}\n", "recipe.yml: kormo.collator",
        "stub_rows"),
    Bad("unknown kernel", CHILD + "kormo: {kernels: [{name: stub_kernle}]}\n", "recipe.yml: kormo.kernels[0]",
        "Did you mean 'stub_kernel'?"),
    Bad("a callback that takes nothing", CHILD + "kormo: {callbacks: [{name: stub_watcher, every: 3}]}\n",
        "recipe.yml: kormo.callbacks[0]", "takes no parameters"),
    Bad("unknown tokenizer", CHILD + "kormo: {tokenizer: {train: {name: stub_tokeniser}}}\n",
        "recipe.yml: kormo.tokenizer.train", "Did you mean 'stub_tokenizer'?"),
    Bad("nameless tokenizer", CHILD + "kormo: {tokenizer: {train: {name: null}}}\n",
        "recipe.yml: kormo.tokenizer.train", "`name` selects"),
    Bad("two tokenizers", CHILD + "kormo: {tokenizer: {path: tok, train: {name: stub_tokenizer}}}\n",
        "recipe.yml: kormo.tokenizer", "exactly one of"),
    Bad("missing tokenizer recipe", CHILD + "kormo: {tokenizer: {train: tok.yml}}\n",
        "recipe.yml: kormo.tokenizer.train", "no such file"),
    Bad("missing dataset recipe", CHILD + "kormo: {data: datq.yml}\n", "recipe.yml: kormo.data",
        "Did you mean 'data.yml'?"),
    Bad("plugin that is not there", CHILD + "kormo: {plugins: [kormo_recipe_stubb]}\n",
        "plugin kormo_recipe_stubb", "cannot be imported"),
    Bad("plugins is a word", CHILD + "kormo: {plugins: kormo_recipe_stub}\n", "recipe.yml: kormo.plugins",
        "list"),
]  # fmt: skip

TOGETHER = [
    Bad("two precisions", CHILD + "bf16: false\n", "recipe.yml: bf16", "the two disagree"),
    Bad("fp16", CHILD + "fp16: true\n", "recipe.yml: fp16", "remove fp16"),
    Bad("automatic precision", CHILD + "bf16: auto\n", "recipe.yml: bf16",
        "kormo.precision.compute: bfloat16"),
    Bad("accumulation twice", CHILD + "gradient_accumulation_steps: 2\n",
        "recipe.yml: gradient_accumulation_steps", "accumulation is derived"),
    Bad("half a micro-batch", CHILD + "micro_batch_size: 3\n", "sound.yml: kormo.global_batch",
        "a multiple of 3"),
    Bad("a decay without a length", CHILD + "lr_scheduler: warmup_stable_decay\n",
        "recipe.yml: lr_scheduler_kwargs.num_decay_steps", "number of decay steps"),
    Bad("weights drawn twice", CHILD + "reinit_weights: true\n", "recipe.yml: reinit_weights",
        "without the seed"),
    Bad("two models", CHILD + "base_model: some/model\n", "recipe.yml: base_model", "both name the model"),
    Bad("no model", CHILD + "kormo: {architecture: null}\n", "recipe.yml: kormo.architecture",
        "no model to train"),
    Bad("foreign code", CHILD + "trust_remote_code: true\n", "recipe.yml: trust_remote_code", "need no remote code"),
]  # fmt: skip

WITH_DATA = [
    Bad("packed twice", ON_DATA + "sample_packing: true\nkormo: {data: data.yml}\n",
        "recipe.yml: sample_packing", "packs documents into rows itself"),
    Bad("data twice", ON_DATA + "pretraining_dataset: [{path: x}]\nkormo: {data: data.yml}\n",
        "recipe.yml: pretraining_dataset", "one of the two would be ignored"),
    Bad("datasets beside data", CHILD + "max_steps: 5\nkormo: {data: data.yml}\n", "sound.yml: datasets",
        "would be ignored"),
    Bad("two lengths", ON_DATA + "kormo: {data: data.yml, tokens: 5}\n", "recipe.yml: max_steps",
        "the length of the run"),
    Bad("no length", ON_DATA + "kormo: {data: data.yml}\n".replace("}", "}\nmax_steps: null"), "line",
        "second time"),
    Bad("no length at all", CHILD + "datasets: null\nkormo: {data: data.yml}\n", "kormo.tokens",
        "the run has no length"),
    Bad("epochs", ON_DATA + "num_epochs: 3\nkormo: {data: data.yml}\n", "recipe.yml: num_epochs",
        "has no epochs"),
    Bad("no batch", ON_DATA + "kormo: {data: data.yml, global_batch: null}\n",
        "recipe.yml: kormo.global_batch", "not set"),
    Bad("no row length", ALONE.replace("sequence_len: 128\n", ""), "recipe.yml: sequence_len", "set sequence_len"),
    Bad("unset variable", data("name: words", "name: '${KORMO_TEST_NEVER_SET}'"), "bad.yml: kormo.data.name",
        "KORMO_TEST_NEVER_SET is not set"),
    Bad("malformed variable", data("name: words", "name: '${A-B}'"), "bad.yml: kormo.data.name",
        "${NAME:-default}"),
    Bad("misspelt key of data", data("steps: [{name: stub_step, size", "step: [{name: stub_step, size"),
        "bad.yml: kormo.data.step", "Did you mean 'steps'?"),
    Bad("misspelt key of a source", data("language: ko", "langauge: ko"), "bad.yml: kormo.data.sources.ko",
        "Did you mean 'language'?"),
    Bad("unknown reader", data("name: stub_reader", "name: stub_raeder"),
        "bad.yml: kormo.data.sources.ko.reader", "Did you mean 'stub_reader'?"),
    Bad("unknown step", data("steps: [{name: stub_step, size", "steps: [{name: stub_stpe, size"),
        "bad.yml: kormo.data.steps[0]", "Did you mean 'stub_step'?"),
    Bad("step of a source", data("steps: [{name: stub_step}]", "steps: [{name: stub_step, siez: 1}]"),
        "bad.yml: kormo.data.sources.en.steps[0].siez", "Did you mean 'size'?"),
    Bad("unknown packing", data("stub_packing", "best_fitt"), "bad.yml: kormo.data.packing", "best_fit"),
    Bad("unknown mixing", data("stub_mixing", "stub_mixng"), "bad.yml: kormo.data.mixture",
        "Did you mean 'stub_mixing'?"),
    Bad("a weight too many", data("en: 1}", "en: 1, ja: 1}"), "bad.yml: kormo.data.mixture.weights",
        "no source"),
    Bad("a weight missing", data(", en: 1}", "}"), "bad.yml: kormo.data.mixture.weights",
        "never be trained on"),
    Bad("reader and generator", data("generator: {name", "reader: {name: stub_reader}, generator: {name"),
        "bad.yml: kormo.data.sources.en", "generator"),
]  # fmt: skip

CASES = [
    *(pytest.param(bad, id=bad.name) for bad in [*FILES, *EXTENDS, *KEYS, *BLOCK, *TOGETHER]),
    *(pytest.param(bad, id=bad.name, marks=needs_rooms) for bad in WITH_DATA),
]


@pytest.mark.parametrize("bad", CASES)
def test_a_malformed_recipe_is_refused_with_one_message(bad: Bad, write: Write) -> None:
    path = write(bad.text)
    result = CliRunner().invoke(cli, ["recipe", "validate", str(path)])
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    told = messages(result.stderr)
    assert any(bad.where in message[0] and bad.says in "\n".join(message) for message in told), result.stderr
    for place, *parts in told:
        assert not place.endswith(".extends") or "extends" in bad.text  # a key that the user wrote
        assert [line[:10].strip() for line in parts] == ["found:", "why:", "do:"]


def messages(text: str) -> list[list[str]]:
    """The messages of a report, each as its lines; without the last line, which counts them."""
    lines = text.splitlines()
    if re.fullmatch(r"kormo: \d+ faults", lines[-1]):
        assert int(lines.pop().split()[1]) * 4 == len(lines)
    return [lines[start : start + 4] for start in range(0, len(lines), 4)]


@pytest.mark.parametrize("bad", [FILES[0], EXTENDS[5], KEYS[1], BLOCK[1]], ids=lambda bad: bad.name)
def test_the_message_as_json(bad: Bad, write: Write) -> None:
    path = write(bad.text)
    result = CliRunner().invoke(cli, ["recipe", "validate", "sound.yml", str(path), "--json"])
    sound_one, refused = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, sound_one["ok"], refused["ok"]) == (2, "", True, False)
    assert refused["error"]["where"] == bad.where
    assert bad.says in " ".join(refused["error"].values())


def test_a_link_that_leads_nowhere_is_told_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").symlink_to("gone.yml")
    shown = CliRunner().invoke(cli, ["recipe", "validate", str(tmp_path / "mine.yml")])
    assert shown.exit_code == 2 and "leads to 'gone.yml'" in shown.output and "Did you mean" not in shown.output


def test_there_are_many_of_them() -> None:
    assert len(CASES) >= 40
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("text", [SOUND, CHILD, CHILD + "kormo: {tokenizer: {path: ./tok}}\n"])
def test_the_sound_recipe_passes(text: str, write: Write) -> None:
    result = CliRunner().invoke(cli, ["recipe", "validate", str(write(text))])
    assert (result.exit_code, result.stderr) == (0, "")


@needs_rooms
@pytest.mark.parametrize("text", [ALONE, ON_DATA + "kormo: {data: data.yml}\n", BUILT_IN, "name: kormo_bpe\n"])
def test_the_sound_data_passes(text: str, write: Write) -> None:
    path = write(text)
    result = CliRunner().invoke(cli, ["recipe", "validate", str(path)])
    assert (result.exit_code, result.stderr) == (0, "")
