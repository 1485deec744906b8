"""What the model computes, against independent references: Llama, itself without a cache, itself unpacked."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, LlamaForCausalLM
from transformers.models.llama import modeling_llama

from kormo_plugins.architecture.family import KORMO
from kormo_plugins.errors import KormoError


def ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(297, shape, generator=torch.Generator().manual_seed(seed))


def logits(model: Any, **inputs: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(use_cache=False, **inputs).logits


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to 1e-6 of the largest logit, some ten roundings of fp32."""
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_kormo_and_llama_compute_the_same_bits_both_ways(config: Any, model: Any) -> None:
    llama_config, weights = KORMO.to_llama(config, model.state_dict())
    llama = LlamaForCausalLM(llama_config).eval()
    llama.load_state_dict(weights, strict=True)
    assert torch.equal(logits(model, input_ids=ids(2, 40)), logits(llama, input_ids=ids(2, 40)))

    back_config, back = KORMO.from_llama(llama.config, llama.state_dict())
    again = AutoModelForCausalLM.from_config(back_config).eval()
    again.load_state_dict(back, strict=True)
    assert torch.equal(logits(again, input_ids=ids(2, 40)), logits(llama, input_ids=ids(2, 40)))
    assert list(back) == list(model.state_dict())


def test_swapping_the_two_norms_is_noticed(config: Any, model: Any) -> None:
    llama_config, weights = KORMO.to_llama(config, model.state_dict())
    first, second = (f"model.layers.0.{name}_layernorm.weight" for name in ("input", "post_attention"))
    weights[first], weights[second] = weights[second], weights[first]
    llama = LlamaForCausalLM(llama_config).eval()
    llama.load_state_dict(weights, strict=True)
    assert not torch.equal(logits(model, input_ids=ids(2, 40)), logits(llama, input_ids=ids(2, 40)))


def test_renaming_a_layout_that_is_already_there_is_refused(config: Any, model: Any) -> None:
    with pytest.raises(KormoError, match="pre_attention_layernorm"):
        KORMO.from_llama(config, model.state_dict())


def test_generation_with_a_cache_is_generation_without(model: Any) -> None:
    prompt = ids(2, 9)
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    cached = model.generate(prompt, use_cache=True, **options)
    assert torch.equal(cached, model.generate(prompt, use_cache=False, **options))

    tokens = prompt  # and a loop of our own, which shares no code with generate()
    for _ in range(12):
        tokens = torch.cat([tokens, logits(model, input_ids=tokens)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(cached, tokens)


def test_left_padding_does_not_look_like_packed_documents(model: Any) -> None:
    prompt, mask = ids(2, 9), torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = 0
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    padded = model.generate(prompt, attention_mask=mask, **options)
    assert torch.equal(padded[0, 9:], model.generate(prompt[:1, 4:], **options)[0, 5:])


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(model: Any, reentrant: bool) -> None:
    batch = ids(2, 32)
    other = copy.deepcopy(model)
    other.gradient_checkpointing_enable({"use_reentrant": reentrant})
    for each in (model, other):
        each.train()
        each(input_ids=batch, labels=batch).loss.backward()
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad), name
        assert one.grad.abs().sum() > 0, name


def packed() -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Two rows of documents, their positions, and the lengths of the documents in each row."""
    lengths = [1, 20, 30, 13]
    positions = torch.cat([torch.arange(n) for n in lengths])[None].expand(2, -1)
    return ids(2, 64), positions, lengths


def alone(model: Any) -> torch.Tensor:
    """Logits of the documents of `packed()`, each run by itself."""
    batch, _, lengths = packed()
    return torch.cat([logits(model, input_ids=part) for part in batch.split(lengths, dim=1)], dim=1)


@pytest.fixture(params=["eager", "sdpa", "flex_attention"])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """FlexAttention is run as written, not compiled: the mathematics is the same, and it takes no minute."""
    torch.compiler.set_stance("force_eager")
    yield request.param
    torch.compiler.set_stance("default")


def test_packed_documents_are_the_documents_alone(model: Any, implementation: str) -> None:
    expected = alone(model)
    model.set_attn_implementation(implementation)
    batch, positions, _ = packed()
    together = logits(model, input_ids=batch, position_ids=positions)
    assert_near(together, expected)


def test_attention_implementations_agree(model: Any, implementation: str) -> None:
    expected = logits(model, input_ids=ids(2, 64))
    model.set_attn_implementation(implementation)
    assert_near(logits(model, input_ids=ids(2, 64)), expected)


@pytest.mark.soak
def test_compiled_flex_attention_agrees(model: Any) -> None:
    expected = alone(model)
    model.set_attn_implementation("flex_attention")
    batch, positions, _ = packed()
    together = logits(model, input_ids=batch, position_ids=positions)
    assert_near(together, expected)


def test_an_all_ones_mask_makes_packed_documents_see_each_other(model: Any) -> None:
    """A trap of transformers 5, avoided by collators that send no mask: here so that a change is noticed."""
    batch, positions, _ = packed()
    masked = logits(model, input_ids=batch, position_ids=positions, attention_mask=torch.ones_like(batch))
    assert (masked - alone(model)).abs().max() > 0.01


def test_restarting_positions_with_a_cache_are_refused(model: Any) -> None:
    batch, positions, _ = packed()
    for asked in (True, None):  # None: config.use_cache is true
        with pytest.raises(KormoError, match="use_cache=False"):
            model(input_ids=batch, position_ids=positions, use_cache=asked)
    model.train()
    with pytest.raises(KormoError, match="use_cache=False"):
        model(input_ids=batch, position_ids=positions, use_cache=True)
    ones = torch.ones_like(batch)
    with pytest.raises(KormoError, match="use_cache=False"):
        model(input_ids=batch, position_ids=positions, attention_mask=ones, use_cache=True)
    model(input_ids=batch, position_ids=torch.arange(64)[None], use_cache=True)  # one document each


def test_a_cache_that_is_passed_in_counts_as_asked_for(model: Any) -> None:
    batch, positions, _ = packed()
    cache = model(input_ids=batch[:, :4], use_cache=True).past_key_values
    with pytest.raises(KormoError, match="use_cache=False"):
        model(input_ids=batch, position_ids=positions, past_key_values=cache, use_cache=False)


def test_training_makes_no_cache_unless_told_to(model: Any) -> None:
    batch, positions, _ = packed()
    assert model(input_ids=batch).past_key_values is not None
    model.train()
    assert model(input_ids=batch).past_key_values is None
    assert model(input_ids=batch, use_cache=True).past_key_values is not None
    together = model(input_ids=batch, position_ids=positions).logits
    expected = alone(model)
    assert_near(together, expected)


def test_hidden_states_and_attentions_can_be_asked_for(model: Any) -> None:
    model.set_attn_implementation("eager")
    out = model(input_ids=ids(1, 8), output_hidden_states=True, output_attentions=True, use_cache=False)
    assert [tuple(states.shape) for states in out.hidden_states] == [(1, 8, 64)] * 4
    assert [tuple(weights.shape) for weights in out.attentions] == [(1, 8, 8, 8)] * 3


def test_rmsnorm_orders_are_equal_in_fp32_and_one_rounding_apart_in_bf16() -> None:
    """The published code multiplies by the weight before it casts back; ours, as Llama's, after."""
    generator = torch.Generator().manual_seed(0)
    states, weight = torch.randn(64, 256, generator=generator), 1 + torch.randn(256, generator=generator)
    for dtype, largest in ((torch.float32, 0.0), (torch.bfloat16, 2.0**-7)):
        norm = modeling_llama.LlamaRMSNorm(256, eps=1e-5).to(dtype)
        norm.weight.data.copy_(weight)
        wide = states.to(dtype).float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)
        published = (norm.weight.float() * scaled).to(dtype)
        difference = (norm(states.to(dtype)) - published).float().abs() / published.float().abs()
        assert difference.nan_to_num().max() <= largest


def test_parts_are_looked_up_when_a_model_is_built(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused kernels replace these names in transformers; each layer is built once, of what is there then."""
    built: list[str] = []

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: built.append(name) or original(*args, **kwargs)

    for name in ("LlamaRMSNorm", "LlamaMLP", "LlamaAttention"):
        monkeypatch.setattr(modeling_llama, name, counted(name, getattr(modeling_llama, name)))
    monkeypatch.setattr(modeling_llama, "LlamaDecoderLayer", None)
    AutoModelForCausalLM.from_config(config)
    assert Counter(built) == {"LlamaRMSNorm": 7, "LlamaMLP": 3, "LlamaAttention": 3}


def test_forward_of_the_causal_model_is_inherited(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "forward", lambda self, **kwargs: "fused")
    assert model(input_ids=ids(1, 4)) == "fused"


def test_pad_and_end_rows_of_the_embedding_are_trained(params: Any) -> None:
    config = KORMO.config(params, vocab_size=300, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    model = KORMO.initial(config, seed=0, dtype="float32")
    batch = torch.ones(1, 8, dtype=torch.long)
    model(input_ids=batch, labels=batch).loss.backward()
    assert model.model.embed_tokens.weight.grad[1].abs().sum() > 0
    assert model.model.embed_tokens.weight[1].abs().sum() > 0


def test_registering_twice_changes_nothing() -> None:
    import transformers
    from axolotl.model_support import Unsupported, get_model_support, resolve_model_support

    from kormo_plugins.architecture.modeling import KORMoConfig, KORMoForCausalLM, KORMoModel

    KORMO.register()
    support = get_model_support("kormo")
    KORMO.register()
    assert support is not None and get_model_support("kormo") is support
    assert isinstance(resolve_model_support(support).capabilities["lora_kernels"], Unsupported)
    assert AutoConfig.for_model("kormo").__class__ is KORMoConfig
    assert AutoModel._model_mapping[KORMoConfig] is KORMoModel
    assert AutoModelForCausalLM._model_mapping[KORMoConfig] is KORMoForCausalLM
    assert transformers.KORMoForCausalLM is KORMoForCausalLM


def test_first_weights_depend_on_seed_and_name_alone(config: Any, params: Any) -> None:
    state = torch.get_rng_state()
    first = KORMO.initial(config, seed=1, dtype="float32").state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    deeper = KORMO.config(
        params.model_copy(update={"num_hidden_layers": 5}),
        vocab_size=300, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    again = KORMO.initial(deeper, seed=1, dtype="float32").state_dict()
    other = KORMO.initial(config, seed=2, dtype="float32").state_dict()
    rounded = KORMO.initial(config, seed=1, dtype="bfloat16").state_dict()
    for name, weight in first.items():
        assert torch.equal(weight, again[name]), name
        assert torch.equal(weight.bfloat16(), rounded[name]), name
        assert torch.equal(weight, other[name]) == name.endswith("norm.weight"), name


def test_first_weights_have_the_published_distribution(params: Any) -> None:
    config = KORMO.config(params, vocab_size=30_000, bos_token_id=0, eos_token_id=1, pad_token_id=2)
    model = KORMO.initial(config, seed=0, dtype="float32")
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            assert torch.equal(weight, torch.ones_like(weight)), name
            continue
        standard_error = 0.02 / weight.numel() ** 0.5
        assert abs(weight.mean().item()) < 5 * standard_error, name
        assert abs(weight.std().item() - 0.02) < 5 * standard_error, name
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert model.model.rotary_emb.inv_freq[-1].item() == pytest.approx(500_000 ** (-14 / 16))


def test_an_id_that_the_tokenizer_does_not_have_is_refused(params: Any) -> None:
    with pytest.raises(KormoError, match="0 to 299"):
        KORMO.config(params, vocab_size=300, bos_token_id=0, eos_token_id=[1, 300], pad_token_id=2)
    with pytest.raises(KormoError, match="float64"):
        config = KORMO.config(params, vocab_size=300, bos_token_id=0, eos_token_id=1, pad_token_id=2)
        KORMO.initial(config, seed=0, dtype="float64")
