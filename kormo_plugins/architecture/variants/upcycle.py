"""Sparse upcycling of a dense checkpoint to a mixture of experts (Komatsuzaki et al. 2022, arXiv 2212.05055).

Every expert is initialized with the dense model's MLP, and the router at random. The weights of a token's experts sum
to one, so the initial mixture computes the same as the dense model, up to rounding; the experts diverge in training.
All other weights are bit-identical to the dense model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.architecture import files
from kormo_plugins.architecture.initialization import draw
from kormo_plugins.architecture.variants.params import MoeArchitecture
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    import torch

DENSE = "kormo"
OWN = ("num_local_experts", "num_experts_per_tok", "router_aux_loss_coef")
FREE = (*OWN, "max_position_embeddings", "initializer_range", "vocab_multiple")
"""Keys of the recipe that may differ from the dense model's config."""


def upcycle(checkpoint: Path, out: Path, params: MoeArchitecture, seed: int) -> dict[str, object]:
    """Writes the mixture of experts upcycled from a dense KORMo.

    Args:
        checkpoint: a finished model of the type `kormo`.
        out: an existing folder.
        params: the shape; equal to the dense model's except for the experts.
        seed: of the routers' weights.
    Returns:
        Statistics: `from`, `experts`, `parameters` before and after.
    Raises:
        KormoError: another type or shape.
    """
    config = files.read_json(checkpoint / "config.json")
    _same(config, params, checkpoint)
    names: dict[str, str] = {}
    before = after = 0
    for source in files.weight_files(checkpoint):
        weights = files.read_weights(source)
        made = dict(_expanded(weights, params, seed))
        before += sum(weight.numel() for weight in weights.values())
        after += sum(weight.numel() for weight in made.values())
        files.write_weights(out / source.name, made)
        names |= dict.fromkeys(made, source.name)
    if len(set(names.values())) > 1:
        size = sum(files.tensor_bytes(out / name) for name in set(names.values()))
        files.write_json(out / files.INDEX, {"metadata": {"total_size": size}, "weight_map": names})
    files.copy_tokenizer(checkpoint, out)
    if (checkpoint / "generation_config.json").is_file():
        files.write_json(out / "generation_config.json", files.read_json(checkpoint / "generation_config.json"))
    fields = {
        **{key: value for key, value in config.items() if key not in files.NOTE},
        **{key: getattr(params, key) for key in FREE if key != "vocab_multiple"},
        "model_type": "kormo_moe",
        "architectures": ["KORMoMoeForCausalLM"],
        "router_jitter_noise": 0.0,
    }
    files.write_json(out / "config.json", files.readable_by_all(fields, str(out / "config.json")))
    return {"from": str(checkpoint), "experts": params.num_local_experts, "parameters": {"dense": before, "moe": after}}


def _same(config: Mapping[str, Any], params: MoeArchitecture, checkpoint: Path) -> None:
    """Refuses a model that is not a dense KORMo of this shape; one message lists all differences."""
    where = str(checkpoint / "config.json")
    if config.get("model_type") != DENSE:
        raise KormoError(
            where=where,
            found=f"model_type {config.get('model_type')!r}",
            why="a mixture of experts is upcycled from a dense KORMo",
            do="name the run of a recipe with kormo.architecture: {name: kormo}",
        )
    held = {**config, "rope_theta": (config.get("rope_parameters") or config).get("rope_theta")}
    other = [
        f"{key} {held.get(key)}, not {value}"
        for key, value in params.model_dump(exclude=set(FREE)).items()
        if held.get(key) != value
    ]
    if other:
        raise KormoError(
            where=where,
            found=", ".join(other),
            why="the experts are copies of its MLPs, so the shape is the dense model's",
            do="extend the size file of that run, and add only the experts",
        )


def _expanded(weights: Mapping[str, torch.Tensor], params: MoeArchitecture, seed: int) -> Iterator[tuple[str, Any]]:
    """The weights of a file with each MLP's matrices stacked; those of one layer must be in the same file."""
    import torch

    for name, weight in weights.items():
        layer, _, part = name.partition(".mlp.")
        if not part:
            yield name, weight
        elif part == "down_proj.weight":
            router, hidden = f"{layer}.mlp.gate.weight", params.hidden_size
            shape, std = (params.num_local_experts, hidden), params.initializer_range
            yield router, draw(router, shape, seed=seed, std=std, dtype=weight.dtype)
            yield f"{layer}.mlp.experts.down_proj", weight.expand(params.num_local_experts, -1, -1).contiguous()
        elif part == "gate_proj.weight":
            up = weights.get(f"{layer}.mlp.up_proj.weight")
            if up is None:
                raise KormoError(
                    where=f"the weights of {layer}",
                    found="gate_proj and up_proj in different files",
                    why="they are joined into one matrix of the experts",
                    do="save the checkpoint again with larger files (`kormo export` keeps the division into files)",
                )
            both = torch.cat([weight, up], dim=0)
            yield f"{layer}.mlp.experts.gate_up_proj", both.expand(params.num_local_experts, -1, -1).contiguous()
