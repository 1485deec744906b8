"""The shape of the model that a recipe trains, determined before anything is built.

It comes from `kormo.architecture` and the tokenizer's recipe, or from the model that the recipe continues: the previous
run if it is finished, otherwise the recipe that will train it (the one beside this recipe whose `output_dir` is this
one's `kormo.from_run`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.measures.flops import Shape
from kormo_plugins.recipe.checked import CheckedRecipe, check_recipe
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.tokenizer.layout import ADDED_TOKENS

IN_CONFIG = {"experts": "num_local_experts", "experts_per_token": "num_experts_per_tok"}
"""Field of `Shape` -> its name in config.json, where they differ."""


@dataclass(frozen=True)
class Model:
    """A decoder's shape, and whether its output layer and input embedding are tied."""

    shape: Shape
    tied: bool

    @property
    def parameters(self) -> int:
        """Number of all parameters: matrices, embeddings and norms."""
        shape = self.shape
        embedding = 0 if self.tied else shape.vocab_rows * shape.hidden_size
        return shape.matmul_parameters + embedding + shape.norm_parameters

    @property
    def active(self) -> int:
        """Number of parameters that a token uses: without the experts that it is not routed to."""
        shape = self.shape
        idle = shape.experts - shape.experts_per_token
        return self.parameters - shape.layers * idle * 3 * shape.hidden_size * shape.intermediate_size


def model_of(recipe: CheckedRecipe) -> Model:
    """The model that the recipe trains.

    Raises:
        KormoError: its sizes or its vocabulary are not known yet; the message says what is missing.
    """
    choice = recipe.block.architecture
    if choice is None:
        config = _config_before(recipe)
        return _model(config, int(config["vocab_size"]), recipe.resolved.where("kormo.architecture"))
    params = recipe.registry.params("architecture", choice.name, choice.values)
    values = params.model_dump() if params is not None else {}
    if recipe.block.tokenizer is None:
        ids = int(_config_before(recipe)["vocab_size"])
    else:
        ids = vocabulary(recipe)
    multiple = int(values.get("vocab_multiple") or 1)
    return _model(values, -(-ids // multiple) * multiple, recipe.resolved.where("kormo.architecture"))


def _model(values: Mapping[str, object], rows: int, where: str) -> Model:
    try:
        return Model(Shape.of(values, rows), bool(values.get("tie_word_embeddings")))
    except (KeyError, TypeError) as error:
        raise KormoError(
            where=where,
            found=in_words(error),
            why="memory and FLOPs are counted from the sizes of a Llama-like decoder",
            do="use the parameter names of kormo: hidden_size, intermediate_size, num_hidden_layers, "
            "num_attention_heads",
        ) from None


def vocabulary(recipe: CheckedRecipe) -> int:
    """Number of ids of the recipe's own tokenizer, including added tokens.

    Raises:
        KormoError: the tokenizer of the hub is not downloaded yet, or the folder has no tokenizer.json.
    """
    choice = recipe.block.tokenizer
    assert choice is not None
    where = recipe.resolved.where("kormo.tokenizer")
    if choice.train is not None:
        values = dict(choice.train)
        name = str(values.pop("name"))
        params = recipe.registry.params("tokenizer", name, values, where)
        size = getattr(params, "vocab_size", None)
        if size is None:
            raise KormoError(
                where=where, found=name, why="its parameters have no vocab_size", do="build it, and name it as path"
            )
        return int(size) + ADDED_TOKENS
    if choice.path is not None:
        return _ids(choice.path, where)
    for manifest in recipe.block.workspace.glob("tokenizer-*/manifest.json"):
        inputs = _json(manifest).get("inputs", {})
        if (inputs.get("hub"), inputs.get("revision")) == (choice.hub, choice.revision):
            return _ids(manifest.parent, where)
    raise KormoError(
        where=where,
        found=f"hub: {choice.hub}",
        why="its vocabulary size is not known before it is downloaded",
        do=f"run `axolotl preprocess {recipe.path}`",
    )


def _ids(folder: Path, where: str) -> int:
    tokenizer = _json(folder / "tokenizer.json")
    added = [token["id"] for token in tokenizer.get("added_tokens", ())]
    words = (tokenizer.get("model") or {}).get("vocab") or {}
    if not words:
        raise KormoError(
            where=where,
            found=str(folder),
            why="there is no tokenizer.json with a vocabulary in it",
            do="correct the path",
        )
    return 1 + max(map(int, [*(words.values() if isinstance(words, dict) else range(len(words))), *added]))


def _config_before(recipe: CheckedRecipe) -> dict[str, Any]:
    """The sizes of the model that the recipe continues, as in a config.json."""
    folder = recipe.block.from_run or Path(str(recipe.get("base_model")))
    where = recipe.resolved.where("kormo.from_run" if recipe.block.from_run else "base_model")
    config = _json(folder / "config.json")
    if config.get("vocab_size"):
        return config
    before = recipe_of(folder, recipe.path)
    if before is None:
        raise KormoError(
            where=where,
            found=str(folder),
            why="there is no such model yet, and no recipe in this folder has it as its output_dir",
            do="train the stage before, or copy its recipe beside this one",
        )
    model = model_of(before)
    shape = model.shape
    sizes = {key: getattr(shape, key) for key in Shape.__slots__ if key not in ("vocab_rows", *IN_CONFIG)}
    own = {name: getattr(shape, key) for key, name in IN_CONFIG.items()}
    return {**sizes, **own, "vocab_size": shape.vocab_rows, "tie_word_embeddings": model.tied}


def recipe_of(output_dir: Path, beside: Path) -> CheckedRecipe | None:
    """The recipe in the folder of `beside` whose `output_dir` this is; None if there is none."""
    output_dir_line = re.compile(rf"^output_dir:\s*['\"]?{re.escape(str(output_dir))}['\"]?\s*(#.*)?$", re.M)
    for path in sorted(beside.parent.glob("*.yml")):
        if path == beside or not output_dir_line.search(path.read_text(encoding="utf-8", errors="replace")):
            continue
        if str(resolve(path).get("output_dir")) == str(output_dir):
            return check_recipe(path)
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
