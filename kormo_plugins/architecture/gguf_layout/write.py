"""Writes a checkpoint as a folder with one GGUF, a Modelfile for Ollama and a record of the comparison.

The file is written in two passes, names and sizes first, then the data, so that one weight file is in memory at a time.
Afterwards it is opened again and every tensor is compared with the checkpoint.
"""

from __future__ import annotations

import ctypes
import importlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kormo_plugins import __version__
from kormo_plugins.architecture.export import RECORD, check_place, check_unchanged
from kormo_plugins.architecture.files import read_json, write_json
from kormo_plugins.architecture.gguf_layout.modelfile import modelfile, sampling_of
from kormo_plugins.architecture.gguf_layout.tensors import Heads, stored_tensors
from kormo_plugins.architecture.gguf_layout.vocabulary import Vocabulary, read_vocabulary
from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import Exported
from kormo_plugins.store.atomic import publish_folder, write_text
from kormo_plugins.store.fingerprint import file_checksum
from kormo_plugins.store.json_file import sealed
from kormo_plugins.store.model_json import readable_config

if TYPE_CHECKING:
    from gguf import GGUFWriter

QUANTIZED = ("q8_0", "q4_k_m")
READ = ("kormo", "llama")
SETTINGS = "generation_config.json"


@dataclass(frozen=True)
class Plan:
    """Settings of a conversion, from the checkpoint's JSON files.

    Args:
        config: its config.json.
        generation: its generation_config.json; empty if it has none.
        quantize: `q8_0`, `q4_k_m`, or None for the checkpoint's own dtype.
    """

    checkpoint: Path
    config: Mapping[str, Any]
    generation: Mapping[str, object]
    vocabulary: Vocabulary
    quantize: str | None

    @property
    def heads(self) -> Heads:
        """Numbers of layers and heads."""
        config = self.config
        return Heads(config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"])

    @property
    def file(self) -> str:
        """Name of the GGUF; it includes the type of the matrices, as is customary for llama.cpp."""
        return f"model-{self.quantize or self.dtype}.gguf"

    @property
    def dtype(self) -> str:
        """`f32`, `bf16` or `f16`."""
        return {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[str(self.config.get("dtype", "float32"))]


def export_gguf(checkpoint: Path, out: Path, quantize: str | None = None) -> Exported:
    """Writes a checkpoint of the layout `kormo` or `llama` as GGUF.

    Args:
        checkpoint: folder of a finished checkpoint.
        out: folder to create; an earlier conversion to the same file is replaced once the new one is complete.
        quantize: `q8_0` (by the gguf package), `q4_k_m` (by llama.cpp in llama-cpp-python), or None.
    Returns:
        Statistics: `files`, `bytes`, `compared` (tensors found equal to the checkpoint's).
    Raises:
        KormoError: another architecture, a tokenizer that llama.cpp would split differently, RoPE scaling, a damaged
            checkpoint, `out` is not an earlier conversion, or `q4_k_m` without llama-cpp-python.
    """
    plan = plan_gguf(checkpoint, quantize)
    check_place(checkpoint, out, "gguf", plan.file)
    check_unchanged(checkpoint)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        compared = _write_file(plan, partial)
        write_text(partial / "Modelfile", "\n".join(modelfile(plan.file, plan.vocabulary, plan.generation)) + "\n")
        record = {
            "from": plan.config["model_type"],
            "to": "gguf",
            "compared": compared,
            "kormo_plugins": __version__,
            "files": {plan.file: file_checksum(partial / plan.file)},
        }
        write_json(partial / RECORD, sealed(record))
        publish_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"files": [plan.file], "bytes": (out / plan.file).stat().st_size, "compared": compared}


def plan_gguf(checkpoint: Path, quantize: str | None) -> Plan:
    """Reads the settings of the file, and refuses what cannot be converted.

    Raises:
        KormoError: see `export_gguf`.
    """
    path = checkpoint / "config.json"
    config = readable_config(read_json(path), str(path))
    if config.get("model_type") not in READ:
        raise KormoError(
            where=str(path),
            found=f"model_type {config.get('model_type')!r}",
            why=f"only {' or '.join(READ)} can be written as GGUF",
            do="convert it with llama.cpp's own script",
        )
    if config.get("rope_scaling"):
        raise KormoError(
            where=str(path),
            found=f"RoPE scaling {config['rope_scaling']}",
            why="KORMo has none, and the conversion does not support it",
            do="convert it with llama.cpp's own script",
        )
    if quantize == "q4_k_m":
        _llama_cpp()
    settings = checkpoint / SETTINGS
    generation = read_json(settings) if settings.is_file() else {}
    return Plan(checkpoint, config, generation, read_vocabulary(checkpoint, config), quantize)


def _write_file(plan: Plan, folder: Path) -> int:
    """Writes the file and compares it; returns the number of equal tensors."""
    if plan.quantize != "q4_k_m":
        _write_gguf(plan, folder / plan.file, plan.quantize == "q8_0")
        return _compare(plan, folder / plan.file)
    whole = folder / "whole.gguf"
    _write_gguf(plan, whole, False)
    compared = _compare(plan, whole)
    _quantized_by_llama_cpp(whole, folder / plan.file)
    whole.unlink()
    return compared


def _write_gguf(plan: Plan, path: Path, quantize: bool) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    _add_settings(writer, plan)
    _add_vocabulary(writer, plan.vocabulary)
    for tensor in stored_tensors(plan.checkpoint, plan.heads, quantize):
        data = tensor.data
        writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, raw_dtype=tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in stored_tensors(plan.checkpoint, plan.heads, quantize):
        writer.write_tensor_data(tensor.data)
    writer.close()


def _add_settings(writer: GGUFWriter, plan: Plan) -> None:
    """Shape, RoPE and sampling, under GGUF's names."""
    from gguf import LlamaFileType

    config = plan.config
    types = {
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
        "f16": LlamaFileType.MOSTLY_F16,
        "bf16": LlamaFileType.MOSTLY_BF16,
        "f32": LlamaFileType.ALL_F32,
    }
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_name(plan.checkpoint.resolve().name)
    writer.add_file_type(types["q8_0" if plan.quantize == "q8_0" else plan.dtype])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(config["rope_theta"]))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(config["vocab_size"])
    sampling = sampling_of(plan.generation)
    for key, add in (("temperature", writer.add_sampling_temp), ("top_p", writer.add_sampling_top_p)):
        if key in sampling:
            add(float(sampling[key]))
    if "top_k" in sampling:
        writer.add_sampling_top_k(int(sampling["top_k"]))


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name of byte-level BPE
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([int(kind) for kind in vocabulary.kinds])
    writer.add_token_merges(vocabulary.merges)
    adders = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "pad": writer.add_pad_token_id,
        "eot": writer.add_eot_token_id,
    }
    for role, number in vocabulary.ids.items():
        adders[role](number)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(False)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


def _compare(plan: Plan, path: Path) -> int:
    """Opens the file again and compares every tensor, bit by bit, with the checkpoint.

    Raises:
        KormoError: one is missing or differs.
    """
    from gguf import GGUFReader

    written = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    compared = 0
    for tensor in stored_tensors(plan.checkpoint, plan.heads, plan.quantize == "q8_0"):
        original = written.pop(tensor.name, None)
        bits = None if original is None else np.ascontiguousarray(original.data).reshape(-1).view(np.uint8)
        if bits is None or not np.array_equal(bits, np.ascontiguousarray(tensor.data).reshape(-1).view(np.uint8)):
            raise KormoError(
                where=str(path),
                found=f"{tensor.name} {'missing' if original is None else 'with other numbers'}",
                why="the file would be another model than the checkpoint",
                do="check the disk, and report it if it is sound",
            )
        compared += 1
    return compared


def _quantized_by_llama_cpp(source: Path, target: Path) -> None:
    library = _llama_cpp()
    params = library.llama_model_quantize_default_params()
    params.ftype = library.LLAMA_FTYPE_MOSTLY_Q4_K_M
    status = library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if status:
        raise KormoError(
            where=str(target),
            found=f"llama.cpp ended with status {status}",
            why="the quantized file is not whole",
            do="see its messages above; --quantize q8_0 is written without llama.cpp",
        )


def _llama_cpp() -> Any:
    """The module `llama_cpp`.

    Raises:
        KormoError: llama-cpp-python is not installed.
    """
    try:
        return importlib.import_module("llama_cpp")
    except ImportError:
        raise KormoError(
            where="kormo export: --quantize q4_k_m",
            found="no llama-cpp-python",
            why="its quantization is done by llama.cpp itself",
            do="pip install 'kormo-plugins[llama]', or take --quantize q8_0",
        ) from None
