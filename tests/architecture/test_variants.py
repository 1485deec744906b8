"""The variants against independent references: transformers' own classes, themselves unpacked, and plain arithmetic."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from kormo_plugins.architecture import files
from kormo_plugins.architecture.checkpoint import write_initial
from kormo_plugins.architecture.variants import experts, future
from kormo_plugins.architecture.variants.configurations import KORMoMoeConfig
from kormo_plugins.errors import KormoError
from kormo_plugins.measures.flops import Shape, model_flops_per_token
from kormo_plugins.plugins.registry import registry

from .tiny_kormo import GENERATION, IDS

OWN: dict[str, dict[str, Any]] = {
    "kormo_qk_norm": {"qk_norm": "head"},
    "kormo_post_norm": {"qk_norm": "projection"},
    "kormo_mix_ln": {"post_norm_layers": 1},
    "kormo_mtp": {"future_tokens": 2, "future_loss_weight": 0.5},
    "kormo_moe": {"num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.01},
}
PLAIN = {
    "kormo_qk_norm": "Qwen3ForCausalLM",
    "kormo_post_norm": "Olmo2ForCausalLM",
    "kormo_mtp": "LlamaForCausalLM",
    "kormo_moe": "MixtralForCausalLM",
}


def written(name: str, values: dict[str, Any], tokenizer: Path, out: Path, shard_bytes: int = 400_000) -> Path:
    """An initial checkpoint in fp32, with norms away from 1 and larger weights than at birth."""
    components = registry()
    params = components.params("architecture", name, {**values, **OWN.get(name, {})})
    family = components.load("architecture", name)
    family.register()
    out.mkdir()
    make = {} if name == "kormo" else {"make_config": family.config}  # type: ignore[attr-defined]
    write_initial(
        out, params, tokenizer=tokenizer, seed=7, dtype="float32", generation=GENERATION, shard_bytes=shard_bytes,
        **make, **IDS,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(7)
    for path in files.weight_files(out):
        weights = files.read_weights(path)
        for weight in weights.values():
            if weight.ndim == 1:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)
            else:
                weight *= 5
        files.write_weights(path, weights)
    return out


@pytest.fixture(params=list(OWN))
def variant(request: pytest.FixtureRequest, values: dict[str, Any], tokenizer: Path, tmp_path: Path) -> Path:
    return written(request.param, values, tokenizer, tmp_path / request.param)


def opened(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(297, shape, generator=torch.Generator().manual_seed(seed))


def logits(model: Any, **inputs: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(use_cache=False, **inputs).logits


LENGTHS = [1, 20, 30, 13]


def packed() -> dict[str, torch.Tensor]:
    """Two rows of four documents; the first token of each is not predicted."""
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None].expand(2, -1)
    batch = ids(2, 64)
    return {"input_ids": batch, "position_ids": positions, "labels": batch.masked_fill(positions == 0, -100)}


def test_the_export_is_the_class_of_transformers_to_the_last_bit(variant: Path, tmp_path: Path) -> None:
    family: Any = registry().load("architecture", variant.name)
    if variant.name not in PLAIN:
        with pytest.raises(KormoError, match="has no Llama form: its first 1 layers"):
            family.export_llama(variant, tmp_path / "export")
        assert not (tmp_path / "export").exists()
        return
    report = family.export_llama(variant, tmp_path / "export")
    plain = opened(tmp_path / "export")
    assert type(plain).__name__ == PLAIN[variant.name] and type(plain).__module__.startswith("transformers.models.")
    assert report["compared"] == 2 * 64 * plain.config.vocab_size
    assert torch.equal(logits(opened(variant), input_ids=ids(2, 40)), logits(plain, input_ids=ids(2, 40)))


def test_packed_documents_are_the_documents_alone(variant: Path) -> None:
    model, batch = opened(variant), packed()
    alone = torch.cat([logits(model, input_ids=part) for part in batch["input_ids"].split(LENGTHS, dim=1)], dim=1)
    together = logits(model, input_ids=batch["input_ids"], position_ids=batch["position_ids"])
    assert (together - alone).abs().max() <= 1e-6 * alone.abs().max()
    with pytest.raises(KormoError, match="use_cache=False"):
        model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=True)


def test_the_training_loss_of_packed_documents_is_that_of_the_documents_alone(variant: Path) -> None:
    """With every term in it; load balancing is a statistic of a batch, so it is taken at weight 0 here."""
    model, batch = opened(variant).train(), packed()
    model.config.router_aux_loss_coef = 0.0
    count = int((batch["labels"][:, 1:] != -100).sum())
    together = model(**batch, num_items_in_batch=count).loss
    parts = [
        model(input_ids=part, labels=part, num_items_in_batch=count).loss
        for part in batch["input_ids"].split(LENGTHS, dim=1)
        if part.shape[1] > 1
    ]
    assert torch.allclose(together, sum(parts), rtol=2e-6)


def test_generation_with_a_cache_is_generation_without(variant: Path) -> None:
    model, options = opened(variant), {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    cached = model.generate(ids(2, 9), use_cache=True, **options)
    assert torch.equal(cached, model.generate(ids(2, 9), use_cache=False, **options))


def test_gradient_checkpointing_gives_the_same_gradients(variant: Path) -> None:
    model, batch = opened(variant), packed()
    other = copy.deepcopy(model)
    other.gradient_checkpointing_enable({"use_reentrant": False})
    for each in (model, other):
        each.train()(**batch, num_items_in_batch=100).loss.backward()
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad), name
        assert one.grad.abs().sum() > 0, name


def test_what_training_saves_is_opened_as_the_same_model(variant: Path, tmp_path: Path) -> None:
    model = opened(variant)
    model.save_pretrained(tmp_path / "saved")
    again = opened(tmp_path / "saved")
    assert type(again) is type(model) and again.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(logits(again, input_ids=ids(2, 40)), logits(model, input_ids=ids(2, 40)))
    fields = files.read_json(tmp_path / "saved" / "config.json")
    for key in OWN[variant.name]:
        files.write_json(tmp_path / "saved" / "config.json", {k: v for k, v in fields.items() if k != key})
        with pytest.raises(KormoError, match=key):
            AutoConfig.from_pretrained(tmp_path / "saved")


def test_parameters_and_flops_are_what_torch_counts(variant: Path) -> None:
    """Every weight, and every matrix product of a forward and backward in training, beside `flops.Shape`."""
    model = opened(variant).train()
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager") if variant.name == "kormo_moe" else None
    shape = Shape.of(model.config.to_dict())
    embedding = shape.vocab_rows * shape.hidden_size
    counted = sum(weight.numel() for weight in model.parameters())
    assert shape.matmul_parameters + shape.norm_parameters + embedding == counted
    batch = ids(2, 48)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=batch, labels=batch).loss.backward()
    rotary = 2 * shape.head_dim // 2 * 48
    expected = model_flops_per_token(shape, 48) * batch.numel()
    assert counter.get_total_flops() - rotary == pytest.approx(expected, rel=1e-12)


def test_mix_ln_is_post_ln_and_then_pre_ln(values: dict[str, Any], tokenizer: Path, tmp_path: Path) -> None:
    """Against a loop over the parts, written from the definition."""
    model = opened(written("kormo_mix_ln", values, tokenizer, tmp_path / "m"))
    body, batch = model.model, ids(2, 16)
    positions = torch.arange(16)[None]
    x = body.embed_tokens(batch)
    rotary = body.rotary_emb(x, position_ids=positions)
    mask = torch.full((16, 16), float("-inf")).triu(1)[None, None]
    for number, layer in enumerate(body.layers):

        def attend(y: torch.Tensor, layer: Any = layer) -> torch.Tensor:
            return layer.self_attn(y, position_embeddings=rotary, attention_mask=mask)[0]

        if number < 1:
            x = layer.post_attention_layernorm(x + attend(x))
            x = layer.post_mlp_layernorm(x + layer.mlp(x))
        else:
            x = x + attend(layer.pre_attention_layernorm(x))
            x = x + layer.mlp(layer.pre_mlp_layernorm(x))
    found, expected = logits(model, input_ids=batch), model.lm_head(body.norm(x))
    assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()


def test_later_labels_stay_in_their_document() -> None:
    batch = packed()
    for distance in (1, 2, 3, 64):
        later = future.later_labels(batch["labels"], batch["position_ids"], distance)
        expected = torch.full_like(later, -100)
        start = 0
        for length in LENGTHS:  # document by document
            for place in range(length - distance):
                expected[:, start + place] = batch["input_ids"][:, start + place + distance]
            start += length
        assert torch.equal(later, expected), distance


def test_later_tokens_are_predicted_by_their_own_layers(
    values: dict[str, Any], tokenizer: Path, tmp_path: Path
) -> None:
    model, batch = opened(written("kormo_mtp", values, tokenizer, tmp_path / "m")).train(), packed()
    outputs = model(**batch, num_items_in_batch=50)
    main = torch.nn.functional.cross_entropy(
        outputs.logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum"
    )
    assert list(outputs["parts"]) == ["loss/future_1", "loss/future_2"]
    terms = sum(outputs["parts"].values())
    assert torch.allclose(outputs.loss, main / 50 + 0.5 * terms)
    # A copy of the last layer predicts with the states of the last layer: the same logits, other labels.
    model.model.future_layers[0].load_state_dict(model.model.layers[-1].state_dict())
    later = future.later_labels(batch["labels"], batch["position_ids"], 2)
    expected = torch.nn.functional.cross_entropy(outputs.logits.flatten(0, 1), later.flatten(), reduction="sum") / 50
    assert torch.allclose(model(**batch, num_items_in_batch=50)["parts"]["loss/future_1"], expected)


def test_the_balance_is_transformers_own_for_one_layer() -> None:
    generator = torch.Generator().manual_seed(1)
    layers = [torch.randn(64, 4, generator=generator) for _ in range(3)]
    counts = torch.rand(64, generator=generator) > 0.3
    each = [load_balancing_loss_func((layer,), 4, 2, counts[None].long()) for layer in layers]
    assert torch.allclose(experts.load_balance(layers, 2, counts), sum(each) / 3)
    even = torch.eye(4).repeat(16, 1) * 1e-3
    assert experts.load_balance([even], 1, torch.ones(64, dtype=torch.bool)).item() == pytest.approx(1.0, abs=1e-3)


def test_experts_multiply_in_the_dtype_of_autocast() -> None:
    """Grouped products know no autocast: without our cast, float32 weights multiply in float32."""
    config = KORMoMoeConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, head_dim=8,
                            num_attention_heads=4, num_local_experts=4, num_experts_per_tok=2)  # fmt: skip
    config._experts_implementation = "grouped_mm"  # transformers' choice, where there is one
    torch.manual_seed(0)
    block = experts.MoeBlock(config)
    for weight in block.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    x = torch.randn(1, 24, 32)
    whole = block(x)
    seen = set()

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "mm" in function.__name__:
                seen.add(args[0].dtype)
            return function(*args, **(kwargs or {}))

    with torch.autocast("cpu", dtype=torch.bfloat16), Products():
        mixed = block(x)
    assert seen == {torch.bfloat16}
    torch.testing.assert_close(mixed.float(), whole, rtol=0.1, atol=0.02)
    mixed.float().square().sum().backward()
    assert all(weight.grad is not None and weight.grad.dtype == torch.float32 for weight in block.experts.parameters())


def test_padding_is_the_last_segment_that_is_not_predicted() -> None:
    batch = packed()
    labels = batch["labels"].clone()
    assert experts.real_tokens(labels, batch["position_ids"]).all()
    labels[1, -13:] = -100
    found = experts.real_tokens(labels, batch["position_ids"]).reshape(2, 64)
    assert found[0].all() and found[1, :-13].all() and not found[1, -13:].any()


def test_accumulation_does_not_change_the_loss_or_its_gradients(
    values: dict[str, Any], tokenizer: Path, tmp_path: Path
) -> None:
    """Two micro-batches of one row each against one of two; unequal in predicted tokens. The balance of a step is the
    mean of its micro-batches', weighted by their tokens."""
    model, batch = opened(written("kormo_moe", values, tokenizer, tmp_path / "m")).train(), packed()
    batch["labels"][1, 1:30] = -100
    count = int((batch["labels"][:, 1:] != -100).sum())
    halves = [model(**{key: value[row : row + 1] for key, value in batch.items()}, num_items_in_batch=count)
              for row in (0, 1)]  # fmt: skip
    weights = [int((batch["labels"][row, 1:] != -100).sum()) / count for row in (0, 1)]
    assert sum(weights) == pytest.approx(1)
    whole = model(**batch, num_items_in_batch=count)
    plain = whole.loss - 0.01 * whole["parts"]["loss/load_balance"]
    parts = [half.loss - 0.01 * half["parts"]["loss/load_balance"] for half in halves]
    assert torch.allclose(sum(parts), plain, rtol=1e-5)
    for half, weight in zip(halves, weights, strict=True):
        assert 2.0 <= half["parts"]["loss/load_balance"] / weight < 4.0  # 2 where all experts are used alike


def test_reentrant_checkpointing_of_experts_is_refused(values: dict[str, Any], tokenizer: Path, tmp_path: Path) -> None:
    model = opened(written("kormo_moe", values, tokenizer, tmp_path / "m")).train()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(KormoError, match="use_reentrant: false"):
        model(**packed())


@pytest.mark.parametrize("shard_bytes", [5_000_000_000, 400_000])
def test_an_upcycled_model_is_the_dense_one(
    shard_bytes: int, values: dict[str, Any], tokenizer: Path, tmp_path: Path
) -> None:
    dense = written("kormo", values, tokenizer, tmp_path / "dense", shard_bytes)
    family: Any = registry().load("architecture", "kormo_moe")
    family.register()
    params = registry().params("architecture", "kormo_moe", {**values, **OWN["kormo_moe"]})
    out = tmp_path / "moe"
    out.mkdir()
    report = family.upcycle(dense, out, params, 7)
    mixture, origin = opened(out), opened(dense)
    found, expected = logits(mixture, input_ids=ids(2, 40)), logits(origin, input_ids=ids(2, 40))
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert report["parameters"]["moe"] == sum(weight.numel() for weight in mixture.parameters())
    assert not torch.equal(mixture.model.layers[0].mlp.gate.weight, mixture.model.layers[1].mlp.gate.weight)
    for name, weight in origin.state_dict().items():
        if ".mlp." not in name:
            assert torch.equal(mixture.state_dict()[name], weight), name


def test_another_shape_is_not_upcycled(values: dict[str, Any], tokenizer: Path, tmp_path: Path) -> None:
    dense = written("kormo", values, tokenizer, tmp_path / "dense")
    family: Any = registry().load("architecture", "kormo_moe")
    wrong = {**values, **OWN["kormo_moe"], "intermediate_size": 96, "rope_theta": 10000.0}
    params = registry().params("architecture", "kormo_moe", wrong)
    with pytest.raises(KormoError, match=r"intermediate_size 160, not 96, rope_theta 500000.0, not 10000.0"):
        family.upcycle(dense, tmp_path / "moe", params, 7)
    shutil.rmtree(dense)
    other = written("kormo_mix_ln", values, tokenizer, tmp_path / "other")
    with pytest.raises(KormoError, match="model_type 'kormo_mix_ln'"):
        family.upcycle(other, tmp_path / "moe", params, 7)


@pytest.mark.parametrize(
    ("name", "wrong", "why"),
    [
        ("kormo_qk_norm", {"qk_norm": "none"}, "qk_norm"),
        ("kormo_mix_ln", {"post_norm_layers": 4}, "there are 3 layers"),
        ("kormo_mtp", {"num_hidden_layers": 1}, "2 or more"),
        ("kormo_moe", {"num_experts_per_tok": 5}, "there are 4 experts"),
    ],
)
def test_shapes_that_cannot_be_are_refused(name: str, wrong: dict[str, Any], why: str, values: dict[str, Any]) -> None:
    with pytest.raises(KormoError, match=why):
        registry().params("architecture", name, {**values, **OWN[name], **wrong})
