"""`kormo export`: there and back, and nothing but an export is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from .conftest import Made

Kormo = Callable[..., Result]


@pytest.fixture
def checkpoint(made: Made, tmp_path: Path) -> Path:
    """The model that a run of the recipe starts from, in a folder that also holds other things, as a run does."""
    from kormo_plugins.plugins.registry import registry
    from kormo_plugins.recipe.load import load_recipe
    from kormo_plugins.tokenizer.layout import read_layout

    choice = load_recipe(Path("recipe.yml")).block.architecture
    assert choice is not None
    layout = read_layout(made.path("tokenizer"))
    out = tmp_path / "run"
    out.mkdir()
    registry().load("architecture", "kormo").write_initial(
        out, registry().params("architecture", "kormo", choice.values), tokenizer=made.path("tokenizer"), seed=7,
        dtype="float32", bos_token_id=layout.bos, eos_token_id=layout.eos, pad_token_id=layout.pad, generation={},
    )  # fmt: skip
    (out / "run.json").write_text(json.dumps({"steps": 1}))
    return out


def test_there_and_back(checkpoint: Path, kormo: Kormo, tmp_path: Path) -> None:
    result = kormo("export", checkpoint, "--to", "llama", tmp_path / "plain", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["from"], found["to"]) == ("kormo", "llama")
    rows = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    assert found["compared"] == 2 * 64 * rows
    assert json.loads((tmp_path / "plain" / "config.json").read_text())["model_type"] == "llama"
    back = kormo("export", tmp_path / "plain", "--to", "kormo", tmp_path / "back")
    assert f"{found['compared']:,} fp32 logits, all equal" in back.stdout
    for name in found["files"]:
        assert (tmp_path / "back" / name).read_bytes() == (checkpoint / name).read_bytes()
    again = kormo("export", checkpoint, "--to", "llama", tmp_path / "plain")
    assert again.exit_code == 0, again.output
    assert "it replaced the llama checkpoint that was there" in again.stdout and not found["replaced"]


def test_only_an_export_is_replaced(
    checkpoint: Path, kormo: Kormo, refused: Callable[..., str], tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    kormo("export", checkpoint, "--to", "llama", plain)
    assert "would be replaced" in refused("export", plain, "--to", "kormo", checkpoint)  # a run of the same type
    assert "would be replaced" in refused("export", plain, "--to", "kormo", plain)
    assert "would be replaced" in refused("export", checkpoint, "--to", "llama", tmp_path)
    (plain / "kormo_export.json").unlink()  # now it is a model that somebody put there
    assert "would be replaced" in refused("export", checkpoint, "--to", "llama", plain)
    assert (checkpoint / "run.json").exists() and (plain / "model.safetensors").exists()


def test_a_run_that_was_changed_after_its_end_is_told(
    checkpoint: Path, kormo: Kormo, refused: Callable[..., str], tmp_path: Path
) -> None:
    from kormo_plugins.training.checkpoints.complete import mark_complete

    mark_complete(checkpoint, 1)
    assert kormo("export", checkpoint, "--to", "llama", tmp_path / "plain").exit_code == 0
    file = next(checkpoint.glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "was changed after it was written" in refused("export", checkpoint, "--to", "llama", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_bad_input_is_told(checkpoint: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "Did you mean 'kormo'?" in refused("export", checkpoint, "--to", "korm", out)
    assert "there are: gguf, llama" in refused("export", checkpoint, "--to", "qwen3", out)
    assert "already" in refused("export", checkpoint, "--to", "kormo", out)
    assert "config.json" in refused("export", tmp_path / "nothing", "--to", "llama", out)
    (checkpoint / "config.json").write_text('{"model_type": "qwen"}')
    assert "'qwen'" in refused("export", checkpoint, "--to", "llama", out)
    assert "export to llama first" in refused("export", checkpoint, "--to", "kormo", out)
    assert not out.exists()


def test_gguf_and_what_is_told_of_it(
    checkpoint: Path, kormo: Kormo, refused: Callable[..., str], tmp_path: Path
) -> None:
    result = kormo("export", checkpoint, "--to", "gguf", tmp_path / "file", "--quantize", "q8_0")
    assert result.exit_code == 0, result.output
    assert "tensors, all equal" in result.stdout and "NFC" in result.stdout
    names = {path.name for path in (tmp_path / "file").iterdir()}
    assert names == {"model-q8_0.gguf", "Modelfile", "kormo_export.json"}
    again = kormo("export", checkpoint, "--to", "gguf", tmp_path / "file", "--quantize", "q8_0")
    assert "it replaced the gguf checkpoint that was there" in again.stdout and "replaced" not in result.stdout
    assert "only a GGUF can be quantized" in refused(
        "export", checkpoint, "--to", "llama", tmp_path / "x", "--quantize", "q8_0"
    )


def test_a_variant_goes_to_its_own_plain_class(
    made: Made, kormo: Kormo, refused: Callable[..., str], tmp_path: Path
) -> None:
    from kormo_plugins.plugins.registry import registry
    from kormo_plugins.recipe.load import load_recipe

    choice = load_recipe(Path("recipe.yml")).block.architecture
    assert choice is not None
    for name, own in (("kormo_qk_norm", {"qk_norm": "head"}), ("kormo_mix_ln", {"post_norm_layers": 1})):
        (tmp_path / name).mkdir()
        registry().load("architecture", name).write_initial(
            tmp_path / name, registry().params("architecture", name, {**choice.values, **own}),
            tokenizer=made.path("tokenizer"), seed=7, dtype="float32", bos_token_id=0, eos_token_id=1, pad_token_id=2,
            generation={},
        )  # fmt: skip
    told = refused("export", tmp_path / "kormo_qk_norm", "--to", "llama", tmp_path / "plain")
    assert "has no Llama form" in told and "--to qwen3" in told
    result = kormo("export", tmp_path / "kormo_qk_norm", "--to", "qwen3", tmp_path / "plain")
    assert result.exit_code == 0 and "all equal" in result.stdout, result.output
    assert json.loads((tmp_path / "plain" / "config.json").read_text())["model_type"] == "qwen3"
    told = refused("export", tmp_path / "kormo_mix_ln", "--to", "llama", tmp_path / "other")
    assert "has no Llama form: its first 1 layers" in told and not (tmp_path / "other").exists()
