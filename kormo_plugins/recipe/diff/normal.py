"""A recipe in normal form: one nested mapping, equal for any two recipes with the same meaning.

Defaults are filled in, components have all their parameters, numbers are numbers, weights are shares of the whole, and
a length in tokens or in steps is the same length. Whatever still differs is a real difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kormo_plugins.mixture.sampling.weights import leaves
from kormo_plugins.plugins.choice import Choice
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.files.paths import from_here
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.recipe.schema.axolotl import axolotl_keys
from kormo_plugins.recipe.schema.axolotl_plugins import is_ours
from kormo_plugins.recipe.schema.dataset import DataRecipe

LENGTH = ("kormo.tokens", "max_steps")
"""The two keys for the length of a run."""


def normal(recipe: Recipe) -> dict[str, object]:
    """The whole recipe in normal form."""
    values = {key: value for key, value in from_here(recipe.resolved).items() if key != "kormo"}
    names = [name for name in values.get("plugins") or [] if isinstance(name, str)]
    schema = axolotl_keys(names).schema["properties"]
    written = {key: _number(value, schema.get(key, {})) for key, value in values.items()}
    defaults = {key: entry["default"] for key, entry in schema.items() if "default" in entry}
    full = {**defaults, **{key: value for key, value in written.items() if value is not None}}
    full["plugins"] = sorted({"kormo" if is_ours(name) else name for name in names})
    return {**full, "kormo": _block(recipe)}


def _number(value: object, entry: Mapping[str, Any]) -> object:
    """Converts `"3e-4"` to a number if the schema expects one."""
    kinds = {part.get("type") for part in entry.get("anyOf", [entry])}
    if isinstance(value, str) and kinds & {"number", "integer"} and "string" not in kinds:
        return float(value)
    return value


def _block(recipe: Recipe) -> dict[str, object]:
    block, components = recipe.block, recipe.registry
    values = block.model_dump(mode="json")
    for key, kind in (("architecture", "architecture"), ("collator", "collator"), ("objective", "objective")):
        if getattr(block, key) is not None:
            values[key] = chosen(components, kind, getattr(block, key))
    for key, kind in (("kernels", "kernel"), ("callbacks", "run_callback")):
        values[key] = [chosen(components, kind, choice) for choice in getattr(block, key)]
    if block.tokenizer is not None and block.tokenizer.train is not None:
        values["tokenizer"]["train"] = chosen(components, "tokenizer", block.tokenizer.train)
    values["data"] = None if recipe.data is None else data(recipe.data, components)
    return values


def chosen(components: Registry, kind: str, choice: Choice | Mapping[str, object]) -> dict[str, object]:
    """A component with all parameters, including defaults."""
    values = dict(choice) if isinstance(choice, Mapping) else {"name": choice.name, **choice.values}
    name = str(values.pop("name"))
    params = components.params(kind, name, values)
    return {"name": name, **(params.model_dump(mode="json") if params is not None else {})}


def data(recipe: DataRecipe, components: Registry) -> dict[str, object]:
    """A dataset recipe with all components in full, and weights as shares."""
    corpus = recipe.corpus
    values = corpus.model_dump(mode="json")
    for name, source in corpus.sources.items():
        for role in ("reader", "generator"):
            if getattr(source, role) is not None:
                values["sources"][name][role] = chosen(components, role, getattr(source, role).model_dump())
        steps = [chosen(components, "corpus_step", step.model_dump()) for step in corpus.steps_of(source)]
        values["sources"][name]["steps"] = steps
    values.pop("steps")  # now part of each source
    values["packing"] = chosen(components, "packing", recipe.mixture.packing)
    values["mixture"] = chosen(components, "mixing", recipe.mixture.mixture)
    written = {key: value for key, value in recipe.mixture.mixture.items() if key != "name"}
    params = components.params("mixing", values["mixture"]["name"], written)
    later = zip(getattr(params, "stages", ()), values["mixture"].get("stages", ()), strict=True)
    for part, mixture in [(params, values["mixture"]), *later]:
        if getattr(part, "weights", None) is not None and _is_tree(part.weights):
            mixture["weights"] = {name: round(share, 12) for name, share in leaves(part.weights, "weights").items()}
    return values


def _is_tree(weights: object) -> bool:
    return isinstance(weights, Mapping) and all(
        isinstance(w, (int, float)) or hasattr(w, "of") for w in weights.values()
    )
