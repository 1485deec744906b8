"""Checkpoint folders: the published layout, our own, a Trainer's put right, and the plain Llama export."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from kormo_plugins.architecture import export
from kormo_plugins.architecture.checkpoint import write_initial
from kormo_plugins.architecture.export import export_llama, import_llama
from kormo_plugins.architecture.family import KORMO
from kormo_plugins.architecture.files import INDEX, write_weights
from kormo_plugins.architecture.initialization import draw, draw_all
from kormo_plugins.architecture.shape import KormoArchitecture
from kormo_plugins.errors import KormoError

from .tiny_kormo import GENERATION, IDS

PUBLISHED_CONFIG = {
    "architectures": ["KORMoForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "_configuration_kormo.KORMoConfig",
        "AutoModelForCausalLM": "_modeling_kormo.KORMoForCausalLM",
    },
    "bos_token_id": 125030,
    "eos_token_id": 125031,
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "kormo",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "pad_token_id": None,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 500000,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.57.1",
    "use_cache": True,
    "vocab_size": 125184,
}
"""The published config.json, narrower; as there, `tie_word_embeddings` is not in it."""


def published(folder: Path) -> dict[str, torch.Tensor]:
    """Writes a folder with the names, fields and shards of a published checkpoint; returns its weights."""
    layer = {
        "pre_attention_layernorm": (16,), "self_attn.q_proj": (32, 16), "self_attn.k_proj": (8, 16),
        "self_attn.v_proj": (8, 16), "self_attn.o_proj": (16, 32), "pre_mlp_layernorm": (16,),
        "mlp.gate_proj": (64, 16), "mlp.up_proj": (64, 16), "mlp.down_proj": (16, 64),
    }  # fmt: skip
    shapes = {f"model.layers.{i}.{name}.weight": shape for i in range(2) for name, shape in layer.items()}
    shapes |= {
        "model.embed_tokens.weight": (125184, 16),
        "model.norm.weight": (16,),
        "lm_head.weight": (125184, 16),
    }
    generator = torch.Generator().manual_seed(0)
    weights = {name: (torch.randn(shape, generator=generator) / 4).bfloat16() for name, shape in shapes.items()}
    halves = list(weights)[::2], list(weights)[1::2]
    index: dict[str, Any] = {"metadata": {"total_size": 0}, "weight_map": {}}
    for number, names in enumerate(halves, start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: weights[name] for name in names}, folder / file, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(names, file)
    (folder / "config.json").write_text(json.dumps(PUBLISHED_CONFIG))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 125030, "eos_token_id": 125031}))
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "_modeling_kormo.py").write_text("raise RuntimeError('remote code was run')")
    (folder / "_configuration_kormo.py").write_text("raise RuntimeError('remote code was run')")
    return weights


def test_a_published_checkpoint_loads_unchanged(tmp_path: Path) -> None:
    KORMO.register()
    weights = published(tmp_path)
    opened: Any = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    model, report = opened
    assert type(model).__module__ == "kormo_plugins.architecture.modeling"
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = model.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weight) for name, weight in weights.items())
    assert model.config.rope_parameters["rope_theta"] == 500_000
    assert not model.config.tie_word_embeddings and model.generation_config.eos_token_id == 125031
    expected = 500_000 ** -(torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, expected)


@pytest.mark.parametrize("key", ["rope_theta", "rms_norm_eps", "num_key_value_heads", "vocab_size"])
def test_a_config_that_llamas_defaults_would_complete_is_refused(tmp_path: Path, key: str) -> None:
    KORMO.register()
    published(tmp_path)
    config = {name: value for name, value in PUBLISHED_CONFIG.items() if name != key}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(KormoError, match=key):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_initial_checkpoint_is_the_initial_model(checkpoint: Path, config: Any) -> None:
    assert len(list(checkpoint.glob("model-*-of-*.safetensors"))) > 2
    assert not list(checkpoint.glob("*.tmp")) and not (checkpoint / "manifest.json").exists()
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    expected = KORMO.initial(config, seed=7, dtype="bfloat16").state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, weight in model.state_dict().items():
        assert weight.dtype == torch.bfloat16 and torch.equal(weight, expected[name]), name
    written = json.loads((checkpoint / "config.json").read_text())
    assert written["use_cache"] is True and written["dtype"] == "bfloat16" and written["model_type"] == "kormo"
    assert "_name_or_path" not in written
    settings = model.generation_config
    assert {key: getattr(settings, key) for key in (*GENERATION, *IDS)} == {**GENERATION, **IDS}
    assert len(AutoTokenizer.from_pretrained(checkpoint)) == 300


def test_sharding_does_not_change_the_weights(tmp_path: Path, params: Any, tokenizer: Path) -> None:
    weights = []
    for limit in (50_000, 10**9):
        out = tmp_path / str(limit)
        out.mkdir()
        statistics = write_initial(
            out, params, tokenizer=tokenizer, seed=3, dtype="float32", generation={}, shard_bytes=limit, **IDS
        )
        files = sorted(out.glob("*.safetensors"))
        assert statistics["bytes"] == sum(file.stat().st_size for file in files)
        assert statistics["parameters"]["total"] * 4 <= statistics["bytes"]
        weights.append({name: weight for file in files for name, weight in load_file(file).items()})
    one, two = weights
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_weights_do_not_depend_on_how_many_draw_and_in_which_order() -> None:
    shapes = {f"layers.{n}.weight": (7 + 13 * n, 5) for n in range(9)} | {"norm.weight": (5,)}

    def make(name: str) -> torch.Tensor:
        return draw(name, shapes[name], seed=3, std=0.02, dtype=torch.float32)

    sizes = [(name, math.prod(shape)) for name, shape in shapes.items()]
    one = {name: make(name) for name in shapes}
    for threads, order in ((1, sizes), (4, sizes), (16, sizes[::-1]), (3, sizes[4:7])):
        found = draw_all(make, order, threads)
        assert list(found) == [name for name, _ in order]
        assert all(torch.equal(weight, one[name]) for name, weight in found.items())


def test_tied_embeddings_are_written_once_and_come_back(
    tmp_path: Path, values: dict[str, Any], tokenizer: Path
) -> None:
    params = KormoArchitecture(**{**values, "tie_word_embeddings": True})
    source = tmp_path / "tied"
    source.mkdir()
    write_initial(source, params, tokenizer=tokenizer, seed=3, dtype="float32", generation={}, **IDS)
    assert "lm_head.weight" not in load_file(source / "model.safetensors")
    export_llama(source, tmp_path / "export")
    llama = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    assert llama.lm_head.weight is llama.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"eos_token_id": 300}, "eos_token_id"),
        ({"dtype": "float8"}, "float8"),
        ({"generation": {"temprature": 1.0}}, "Did you mean 'temperature'?"),
        ({"generation": {"eos_token_id": 3}}, "eos_token_id"),
        ({"generation": {"max_new_tokens": -1}}, "max_new_tokens"),
        ({"tokenizer": Path("/nonexistent")}, "tokenizer"),
    ],
)
def test_bad_input_of_an_initial_checkpoint_leaves_no_file(
    tmp_path: Path, params: Any, tokenizer: Path, change: dict[str, Any], told: str
) -> None:
    given = {"tokenizer": tokenizer, "seed": 0, "dtype": "float32", "generation": {}, **IDS, **change}
    with pytest.raises(KormoError, match=told):
        write_initial(tmp_path, params, **given)
    assert not list(tmp_path.iterdir())


def test_export_opens_in_a_process_that_knows_nothing_of_us(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"
    statistics = export_llama(checkpoint, out)
    assert statistics["compared"] == 2 * 64 * 384
    batch = torch.arange(40).reshape(2, 20)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.no_grad():
        expected = model(input_ids=batch, use_cache=False).logits
    save_file({"logits": expected}, tmp_path / "expected.safetensors")
    program = """
import sys, torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
out, expected = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
with torch.no_grad():
    found = model(input_ids=torch.arange(40).reshape(2, 20), use_cache=False).logits
assert torch.equal(found, load_file(expected)["logits"])
assert type(model).__name__ == "LlamaForCausalLM" and model.config.use_cache
assert model.generation_config.max_new_tokens == 20 and model.generation_config.eos_token_id == 298
assert len(AutoTokenizer.from_pretrained(out)) == 300
assert not [name for name in sys.modules if name.startswith("kormo")]
"""
    subprocess.run(
        [sys.executable, "-I", "-c", program, str(out), str(tmp_path / "expected.safetensors")],
        check=True, cwd=tmp_path,
    )  # fmt: skip


def test_every_config_says_ropes_base_where_either_reader_looks(checkpoint: Path, tmp_path: Path) -> None:
    export_llama(checkpoint, tmp_path / "export")
    import_llama(tmp_path / "export", tmp_path / "back")
    for folder in (checkpoint, tmp_path / "export", tmp_path / "back"):
        config = json.loads((folder / "config.json").read_text())
        assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 500_000
        assert config["rope_scaling"] is None and config["torch_dtype"] == config["dtype"] == "bfloat16"
        assert ("how_to_open" in config) == (config["model_type"] == "kormo")
        assert all(file.stat().st_mode & 0o777 == 0o644 for file in folder.glob("*.safetensors"))


@pytest.mark.parametrize("model_type", ["kormo", "llama"])
def test_a_config_with_two_bases_is_refused(checkpoint: Path, tmp_path: Path, model_type: str) -> None:
    folder = checkpoint
    if model_type == "llama":
        folder = tmp_path / "plain"
        export_llama(checkpoint, folder)
        (folder / "kormo_export.json").unlink()
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rope_theta": 10_000}))
    convert = export_llama if model_type == "kormo" else import_llama
    with pytest.raises(KormoError, match="different models"):
        convert(folder, tmp_path / "out")
    if model_type == "kormo":
        with pytest.raises(KormoError, match="different models"):
            AutoModelForCausalLM.from_pretrained(folder)


def test_export_and_import_give_back_every_byte_of_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    export_llama(checkpoint, tmp_path / "export")
    import_llama(tmp_path / "export", tmp_path / "back")
    for file in checkpoint.glob("*.safetensors"):
        assert (tmp_path / "back" / file.name).read_bytes() == file.read_bytes()
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    original = json.loads((checkpoint / "config.json").read_text())
    assert {key: config.get(key) for key in original} == original


def test_a_conversion_that_changes_the_logits_gets_no_name(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(path: Path, weights: dict[str, torch.Tensor]) -> None:
        write_weights(path, {name: weight + weight.abs().max() / 64 for name, weight in weights.items()})

    monkeypatch.setattr(export, "write_weights", spoiled)
    with pytest.raises(KormoError, match="logits that differ"):
        export_llama(checkpoint, tmp_path / "export")
    assert not [path for path in tmp_path.iterdir() if "export" in path.name]


def test_a_conversion_that_was_changed_is_not_converted_on(checkpoint: Path, tmp_path: Path) -> None:
    plain = tmp_path / "export"
    export_llama(checkpoint, plain)
    file = sorted(plain.glob("*.safetensors"))[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # of a weight: the file still opens
    file.write_bytes(content)
    with pytest.raises(KormoError, match="changed since this folder was converted"):
        import_llama(plain, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    (plain / export.RECORD).unlink()  # the change is meant
    import_llama(plain, tmp_path / "back")


def test_export_replaces_an_earlier_export_and_nothing_else(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"
    export_llama(checkpoint, out)
    (out / "left-over").touch()
    export_llama(checkpoint, out)
    assert not (out / "left-over").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter-1.txt").touch()
    for place in (other, checkpoint):
        with pytest.raises(KormoError, match="would be replaced"):
            export_llama(checkpoint, place)
    assert (other / "chapter-1.txt").exists() and (checkpoint / "config.json").exists()


def _cut(folder: Path) -> None:
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])


def _escape(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    shutil.copy(next(folder.glob("*.safetensors")), folder.parent / "elsewhere.safetensors")
    index["weight_map"]["lm_head.weight"] = "../elsewhere.safetensors"
    (folder / INDEX).write_text(json.dumps(index))


def _pickled(folder: Path) -> None:
    for file in (*folder.glob("*.safetensors"), folder / INDEX):
        file.unlink()
    (folder / "pytorch_model.bin").touch()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_cut, "damaged"),
        (_escape, "elsewhere.safetensors"),
        (_pickled, "pytorch_model.bin"),
        (lambda folder: next(folder.glob("*.safetensors")).unlink(), "not in the checkpoint's folder"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "'llama'"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
    ],
)
def test_a_damaged_checkpoint_is_not_exported(checkpoint: Path, tmp_path: Path, damage: Any, told: str) -> None:
    source = tmp_path / "damaged"
    shutil.copytree(checkpoint, source)
    damage(source)
    with pytest.raises(KormoError, match=told):
        export_llama(source, tmp_path / "export")
    assert not [path for path in tmp_path.iterdir() if "export" in path.name]


def test_a_weight_that_is_missing_is_not_drawn_at_random(checkpoint: Path, tmp_path: Path) -> None:
    index = json.loads((checkpoint / INDEX).read_text())
    name = "model.layers.1.mlp.up_proj.weight"
    file = checkpoint / index["weight_map"].pop(name)
    weights = load_file(file)
    del weights[name]
    write_weights(file, weights)
    (checkpoint / INDEX).write_text(json.dumps(index))
    with pytest.raises(KormoError, match="missing keys"):
        export_llama(checkpoint, tmp_path / "export")


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": "x", "beside": "x"}', '{"files": null}', "{"])
def test_a_record_of_a_conversion_that_is_none_is_named(checkpoint: Path, tmp_path: Path, content: str) -> None:
    export_llama(checkpoint, tmp_path / "export")
    record = tmp_path / "export" / "kormo_export.json"
    record.write_text(content)
    for convert in (partial(import_llama, tmp_path / "export"), partial(export_llama, checkpoint)):
        with pytest.raises(KormoError, match=r"kormo_export\.json"):
            convert(tmp_path / ("back" if convert.func is import_llama else "export"))


def test_no_file_of_a_conversion_is_converted_on_once_it_has_changed(checkpoint: Path, tmp_path: Path) -> None:
    """A file of the tokenizer too, and a line of the record that still is JSON."""
    export_llama(checkpoint, tmp_path / "export")
    for file in sorted((tmp_path / "export").iterdir()):
        before = file.read_bytes()
        file.write_bytes(before.replace(b'"compared": ', b'"compared": 1') + b" " * (file.suffix != ".json") + b"\n")
        with pytest.raises(KormoError, match=file.name):
            import_llama(tmp_path / "export", tmp_path / "back")
        file.write_bytes(before)
    import_llama(tmp_path / "export", tmp_path / "back")
