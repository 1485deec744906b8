"""A recipe in normal form: one nested mapping, the same for any two recipes that say the same thing.

Defaults are written out, components with all their parameters, numbers as numbers, weights as shares of the whole,
and a length said in tokens or in steps is one length. What is left to differ, differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kormo_plugins.mixture.sampling.weights import leaves
from kormo_plugins.plugins.choice import Choice
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.files.paths import from_here
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.recipe.schema.axolotl import axolotl_keys, is_ours
from kormo_plugins.recipe.schema.dataset import DataRecipe

LENGTH = ("kormo.tokens", "max_steps")
"""Two ways to say how long a run is."""


def normal(recipe: Recipe) -> dict[str, object]:
    """All that the recipe says, in full."""
    values = {key: value for key, value in from_here(recipe.resolved).items() if key != "kormo"}
    names = [name for name in values.get("plugins") or [] if isinstance(name, str)]
    schema = axolotl_keys(names).schema["properties"]
    written = {key: _number(value, schema.get(key, {})) for key, value in values.items()}
    defaults = {key: entry["default"] for key, entry in schema.items() if "default" in entry}
    full = {**defaults, **{key: value for key, value in written.items() if value is not None}}
    full["plugins"] = sorted({"kormo" if is_ours(name) else name for name in names})
    return {**full, "kormo": _block(recipe)}


def _number(value: object, entry: Mapping[str, Any]) -> object:
    """`"3e-4"` as a number where the schema wants one."""
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
    """A component with every parameter, defaults included."""
    values = dict(choice) if isinstance(choice, Mapping) else {"name": choice.name, **choice.values}
    name = str(values.pop("name"))
    params = components.params(kind, name, values)
    return {"name": name, **(params.model_dump(mode="json") if params is not None else {})}


def data(recipe: DataRecipe, components: Registry) -> dict[str, object]:
    """A dataset recipe with every component in full, and weights as shares."""
    corpus = recipe.corpus
    values = corpus.model_dump(mode="json")
    for name, source in corpus.sources.items():
        for role in ("reader", "generator"):
            if getattr(source, role) is not None:
                values["sources"][name][role] = chosen(components, role, getattr(source, role).model_dump())
        steps = [chosen(components, "corpus_step", step.model_dump()) for step in corpus.steps_of(source)]
        values["sources"][name]["steps"] = steps
    values.pop("steps")  # they are with each source now
    values["packing"] = chosen(components, "packing", recipe.mixture.packing)
    values["mixture"] = chosen(components, "mixing", recipe.mixture.mixture)
    written = {key: value for key, value in recipe.mixture.mixture.items() if key != "name"}
    params = components.params("mixing", values["mixture"]["name"], written)
    later = zip(getattr(params, "stages", ()), values["mixture"].get("stages", ()), strict=True)
    for part, told in [(params, values["mixture"]), *later]:
        if getattr(part, "weights", None) is not None and _is_tree(part.weights):
            told["weights"] = {name: round(share, 12) for name, share in leaves(part.weights, "weights").items()}
    return values


def _is_tree(weights: object) -> bool:
    return isinstance(weights, Mapping) and all(
        isinstance(w, (int, float)) or hasattr(w, "of") for w in weights.values()
    )
