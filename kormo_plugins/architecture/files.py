"""Files of a checkpoint folder: sharded safetensors, JSON configs, and the tokenizer.

Every file is written under a temporary name and then renamed, so that a killed process leaves no partial file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store import json_file
from kormo_plugins.store.atomic import replace
from kormo_plugins.store.json_file import read_object
from kormo_plugins.store.model_json import readable_config, readable_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

MakeAll = Callable[[Callable[[str], "torch.Tensor"], Iterable[tuple[str, int]]], "dict[str, torch.Tensor]"]

TOKENIZER_SETTINGS = "tokenizer_config.json"
NOTE = {
    "how_to_open": "model_type kormo needs the package kormo-plugins; a finished run has the same model as a plain "
    "Llama in its folder export/, and `kormo export FOLDER --to llama OUT` converts any checkpoint"
}
"""Note in every config.json of the type `kormo`, for users who open the folder without this package."""

VARIANT_NOTE = {
    "how_to_open": "this model_type needs the package kormo-plugins; if transformers has a class that computes the "
    "same, a finished run has the model in its folder export/"
}
"""The same note for the variants (`variants/`)."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
"""Maximum size of a weight file unless one tensor is larger, as in the published checkpoint."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file of a checkpoint.

    Raises:
        KormoError: the file does not exist, or is not a JSON object.
    """
    missing = "a checkpoint folder has one", "name the folder of a finished checkpoint"
    return read_object(path, missing=missing, fix="write the checkpoint again")


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Writes a JSON object as transformers does (indented, sorted), atomically."""
    json_file.write_json(path, value, sort_keys=True)


def readable_by_all(fields: Mapping[str, object], where: str) -> dict[str, object]:
    """The content of a config.json, with the keys of both transformers 4 and 5, and a note for people.

    Raises:
        KormoError: two different RoPE bases.
    """
    kind = str(fields.get("model_type"))
    note = NOTE if kind == "kormo" else VARIANT_NOTE if kind.startswith("kormo_") else {}
    return {**readable_config(fields, where), **note}


def config_json(config: PretrainedConfig) -> dict[str, object]:
    """The content of config.json as transformers writes it, without the path that it was read from."""
    fields: dict[str, object] = json.loads(config.to_json_string())
    fields.pop("_name_or_path", None)
    return fields


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in order.

    Raises:
        KormoError: there are none (pickled weights are never opened), one is missing, or the index names a
            file outside the folder.
    """
    index = folder / INDEX
    if not index.exists():
        if (folder / WEIGHTS).exists():
            return [folder / WEIGHTS]
        pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        raise KormoError(
            where=str(folder),
            found=pickled or "no weights",
            why="weights are read from safetensors files only",
            do="convert them with transformers" if pickled else "name the folder of a finished checkpoint",
        )
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    if not names:
        raise KormoError(
            where=str(index),
            found="no weight_map",
            why="it maps each weight to its file",
            do="copy the checkpoint again",
        )
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise KormoError(
                where=str(index),
                found=f"the file {name!r}",
                why="it is not in the checkpoint's folder",
                do="copy the whole checkpoint",
            )
    return [folder / name for name in names]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of one weight file, on the CPU.

    Raises:
        KormoError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise KormoError(
            where=str(path), found=in_words(error), why="the file is damaged or cut short", do="copy it again"
        ) from None


def tensor_bytes(path: Path) -> int:
    """Bytes of the tensors in a safetensors file, without its header: its part of the index's `total_size`."""
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    return path.stat().st_size - 8 - header


def write_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Writes one safetensors file atomically."""
    from safetensors.torch import save_file

    # transformers refuses a file without its format in the metadata
    replace(path, lambda temporary: save_file(dict(weights), temporary, metadata={"format": "pt"}))


def write_sharded(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    make: Callable[[str], torch.Tensor],
    itemsize: int,
    shard_bytes: int = SHARD_BYTES,
    make_all: MakeAll | None = None,
) -> list[Path]:
    """Writes weights with one shard in memory at a time.

    Args:
        folder: target folder.
        shapes: name -> shape of each weight, in the order of writing.
        make: returns the weight of a name.
        itemsize: bytes per element.
        shard_bytes: maximum size of a file.
        make_all: calls `make` for the weights of a file (name -> number of values), several in parallel.
    Returns:
        The files, without the index.
    """

    def weights(names: list[str]) -> dict[str, torch.Tensor]:
        """Name -> tensor, for the weights of one file."""
        if make_all is None:
            return {name: make(name) for name in names}
        return make_all(make, [(name, _product(shapes[name])) for name in names])

    sizes = {name: _product(shape) * itemsize for name, shape in shapes.items()}
    shards = list(_shards(sizes, shard_bytes))
    if len(shards) == 1:
        write_weights(folder / WEIGHTS, weights(shards[0]))
        return [folder / WEIGHTS]
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_weights(folder / file, weights(names))
        weight_map.update(dict.fromkeys(names, file))
    # The index is written last: a folder with an index has all of its shards.
    write_json(folder / INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map})
    return [folder / file for file in dict.fromkeys(weight_map.values())]


def _shards(sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    shard: list[str] = []
    filled = 0
    for name, size in sizes.items():
        if shard and filled + size > limit:
            yield shard
            shard, filled = [], 0
        shard.append(name)
        filled += size
    yield shard


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def copy_tokenizer(source: Path, out: Path) -> list[str]:
    """Copies the tokenizer's files, with settings that transformers 4 also reads; returns their names.

    Raises:
        KormoError: no tokenizer in `source`.
    """
    names = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not {"tokenizer.json", "tokenizer.model"} & set(names):
        raise KormoError(
            where=str(source),
            found="no tokenizer.json",
            why="a model without its tokenizer cannot be used",
            do="name a folder that AutoTokenizer.save_pretrained wrote",
        )
    for name in names:
        replace(out / name, partial(shutil.copyfile, source / name))
    if TOKENIZER_SETTINGS in names:
        write_json(out / TOKENIZER_SETTINGS, readable_tokenizer(read_json(source / TOKENIZER_SETTINGS)))
    return names


def tokenizer_length(folder: Path) -> int:
    """The number of embedding rows that the tokenizer requires: its largest id plus one."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise KormoError(
            where=str(path),
            found="no such file",
            why="the model's vocabulary size comes from the tokenizer",
            do="name a tokenizer's folder",
        )
    return max(Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True).values()) + 1
