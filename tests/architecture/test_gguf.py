"""GGUF: what is in the file, what is refused, and llama.cpp's own answers beside transformers'."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kormo_plugins.architecture.export import export_llama
from kormo_plugins.architecture.gguf_layout.modelfile import modelfile
from kormo_plugins.architecture.gguf_layout.tensors import Heads, reordered
from kormo_plugins.architecture.gguf_layout.vocabulary import portable_template, read_vocabulary
from kormo_plugins.architecture.gguf_layout.write import export_gguf
from kormo_plugins.errors import KormoError

from . import spoken

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> dict[str, Path]:
    """A base and a chat model."""
    folder = tmp_path_factory.mktemp("spoken")
    source = spoken.tokenizer(folder / "tokenizer")
    return {role: spoken.checkpoint(folder / role, source, values, role) for role in ("base", "chat")}


@pytest.fixture(scope="module")
def files(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Their GGUFs."""
    out = tmp_path_factory.mktemp("gguf")
    for role, checkpoint in made.items():
        export_gguf(checkpoint, out / role)
    return {role: out / role / "model-f32.gguf" for role in made}


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.mark.parametrize("role", ["base", "chat"])
def test_the_file_says_what_the_checkpoint_says(role: str, made: dict[str, Path], files: dict[str, Path]) -> None:
    found, config = fields(files[role]), json.loads((made[role] / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(made[role])
    assert found["general.architecture"] == "llama" and found["tokenizer.ggml.pre"] == "qwen2"
    assert found["llama.rope.freq_base"] == config["rope_theta"] and found["llama.vocab_size"] == config["vocab_size"]
    assert found["tokenizer.ggml.eos_token_id"] == tokenizer.eos_token_id == config["eos_token_id"]
    assert found["tokenizer.ggml.eot_token_id"] == tokenizer.convert_tokens_to_ids("<|EOT|>")
    assert found["tokenizer.ggml.add_bos_token"] is (role == "base")
    assert len(found["tokenizer.ggml.tokens"]) == config["vocab_size"] > len(tokenizer)
    assert found["general.sampling.temp"] == pytest.approx(0.7)
    modelfile = (files[role].parent / "Modelfile").read_text()
    assert "FROM ./model-f32.gguf" in modelfile and "PARAMETER temperature 0.7" in modelfile
    assert ('PARAMETER stop "<|EOT|>"' in modelfile) == (role == "chat")


def test_both_layouts_give_one_file_and_an_earlier_one_is_replaced(made: dict[str, Path], tmp_path: Path) -> None:
    export_llama(made["base"], tmp_path / "plain")
    for source in (made["base"], tmp_path / "plain"):
        export_gguf(source, tmp_path / source.name.replace("plain", "base") / "gguf")
    first, again = (export_gguf(source, tmp_path / "one") for source in (made["base"], tmp_path / "plain"))
    assert first["compared"] == again["compared"] == 3 + 9 * 3
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "one/model-f32.gguf").tensors}
    assert tensors["blk.0.attn_norm.weight"].dtype == np.float32
    small = export_gguf(made["base"], tmp_path / "small", "q8_0")
    assert small["bytes"] < 0.45 * first["bytes"]


@pytest.mark.parametrize("held", ["file of another dtype", "plain checkpoint", "thesis"])
def test_nothing_else_is_replaced(held: str, made: dict[str, Path], tmp_path: Path) -> None:
    """Least of all by a command that is typed again with another --quantize or --to."""
    out = tmp_path / "out"
    if held == "thesis":
        out.mkdir()
        (out / held).touch()
    elif held == "plain checkpoint":
        export_llama(made["base"], out)
    else:
        export_gguf(made["base"], out, "q8_0")
    before = sorted(out.iterdir())
    with pytest.raises(KormoError, match=r"would (be )?replace"):
        export_gguf(made["base"], out)
    if held == "file of another dtype":
        with pytest.raises(KormoError, match=r"an earlier export to gguf: model-q8_0\.gguf"):
            export_llama(made["base"], out)
    assert sorted(out.iterdir()) == before


@pytest.mark.parametrize(
    ("generation", "sampling"),
    [
        ({"do_sample": False, "temperature": 0.7}, ["temperature 0"]),
        ({"do_sample": True, "temperature": 0.7, "top_p": None, "repetition_penalty": 1.1, "eos_token_id": 3},
         ["temperature 0.7", "repeat_penalty 1.1"]),
        ({}, []),
    ],
)  # fmt: skip
def test_sampling_is_told_to_readers_that_know_no_do_sample(
    generation: dict[str, Any], sampling: list[str], made: dict[str, Path]
) -> None:
    lines = list(modelfile("model-f32.gguf", read_vocabulary(made["base"], {"vocab_size": 1536}), generation))
    assert [line.removeprefix("PARAMETER ") for line in lines if line.startswith("PARAMETER")] == sampling


def test_the_order_of_a_heads_rows_changes_and_no_number() -> None:
    weight = torch.arange(2 * 8 * 3).reshape(16, 3)
    moved = reordered("model.layers.0.self_attn.q_proj.weight", weight, Heads(1, 2, 1))
    assert [int(row[0]) // 3 for row in moved[:8]] == [0, 4, 1, 5, 2, 6, 3, 7]
    assert sorted(moved.flatten().tolist()) == weight.flatten().tolist()
    assert reordered("model.layers.0.self_attn.v_proj.weight", weight, Heads(1, 2, 1)) is weight


def _other_split(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": r"\s+"}
    (folder / "tokenizer.json").write_text(json.dumps(content))


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_other_split, "the ids differ"),
        (_config(model_type="qwen3"), "model_type 'qwen3'"),
        (_config(rope_theta=1.0), "different models"),
        (_config(rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 5e5}), "RoPE scaling"),
    ],
)
def test_what_llama_cpp_would_read_otherwise_is_refused(
    made: dict[str, Path], tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    import shutil

    folder = tmp_path / "damaged"
    shutil.copytree(made["base"], folder)
    damage(folder)
    with pytest.raises(KormoError, match=told):
        export_gguf(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_template_without_transformers_own_tag_renders_the_same(made: dict[str, Path]) -> None:
    import jinja2

    tokenizer = AutoTokenizer.from_pretrained(made["chat"])
    source = portable_template(tokenizer.chat_template)
    turns = [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "!"},
    ]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    for options in ({}, {"enable_thinking": False}, {"add_generation_prompt": True}):
        theirs = environment.from_string(source).render(messages=turns, **options)
        assert theirs == tokenizer.apply_chat_template(turns, tokenize=False, **options)


# ---- llama.cpp itself, where it is installed -------------------------------------------------------------------------


def opened(path: Path) -> Any:
    """With a cache in float32, as transformers has it."""
    return pytest.importorskip("llama_cpp").Llama(
        str(path), n_ctx=256, n_batch=256, logits_all=True, verbose=False, type_k=0, type_v=0, seed=0
    )


@pytest.mark.parametrize("role", ["base", "chat"])
def test_llama_cpp_reads_the_same_ids(role: str, made: dict[str, Path], files: dict[str, Path]) -> None:
    theirs, tokenizer = opened(files[role]), AutoTokenizer.from_pretrained(made[role])
    for text in spoken.sentences(100):
        expected = tokenizer(text, add_special_tokens=role == "base")["input_ids"]
        assert theirs.tokenize(text.encode(), add_bos=True) == expected, text


def test_llama_cpp_computes_the_same_logits_perplexity_and_greedy_text(
    made: dict[str, Path], files: dict[str, Path]
) -> None:
    theirs, tokenizer = opened(files["base"]), AutoTokenizer.from_pretrained(made["base"])
    ours = AutoModelForCausalLM.from_pretrained(made["base"], dtype=torch.float32).eval()
    ids = tokenizer(" ".join(spoken.sentences(12)))["input_ids"][:200]
    theirs.eval(ids)
    found = torch.tensor(np.array(theirs.scores[: len(ids)]))
    with torch.no_grad():
        expected = ours(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    losses = [
        torch.nn.functional.cross_entropy(x[:-1].double(), torch.tensor(ids[1:])).item() for x in (found, expected)
    ]
    assert math.exp(losses[0]) == pytest.approx(math.exp(losses[1]), rel=1e-4)
    theirs.reset()
    prompt = ids[:20]
    said = theirs.create_completion(prompt, max_tokens=16, temperature=0.0)["choices"][0]["text"]
    with torch.no_grad():
        out = ours.generate(torch.tensor([prompt]), max_new_tokens=16, do_sample=False, temperature=None, top_p=None)
    written = tokenizer.decode(out[0, 20:], skip_special_tokens=True)
    assert said == written.replace("\ufffd", "")  # llama-cpp-python leaves out bytes that are no character


def test_llama_cpp_asks_a_chat_model_as_it_was_trained(made: dict[str, Path], files: dict[str, Path]) -> None:
    """No `<|BOS|>`, which no conversation has seen, and the template of the file itself."""
    theirs, tokenizer = opened(files["chat"]), AutoTokenizer.from_pretrained(made["chat"])
    turns = [{"role": "user", "content": "안녕하세요?"}]
    expected = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    theirs.create_chat_completion(turns, max_tokens=1, temperature=0.0)
    assert list(theirs.input_ids[: len(expected)]) == expected


def test_llama_cpp_quantizes_and_opens(made: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    found = export_gguf(made["base"], tmp_path / "small", "q4_k_m")
    assert (
        found["files"] == ["model-q4_k_m.gguf"]
        and [p.name for p in (tmp_path / "small").glob("*.gguf")] == found["files"]
    )
    assert opened(tmp_path / "small/model-q4_k_m.gguf").n_vocab() == 1664
