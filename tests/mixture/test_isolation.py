"""Documents of a row do not see each other: packed logits equal those of each document alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.batches.collators import (
    Causal,
    CausalParams,
    CollatorParams,
    DocumentMask,
    DocumentMaskParams,
    Flex,
)
from kormo_plugins.mixture.batches.isolation import check_isolation
from kormo_plugins.mixture.dataset import SampleRows

LENGTH, VOCABULARY = 48, 64


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices: threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def llama(attention: str) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        attn_implementation=attention,
        use_cache=False,
    )
    return LlamaForCausalLM(config).eval()


def random_rows(rng: np.random.Generator, count: int) -> tuple[SampleRows, list[list[tuple[int, int]]]]:
    """Rows of random pieces, some with padding at the end, and (start, end) of the pieces of each."""
    ids = rng.integers(1, VOCABULARY, (count, LENGTH))
    positions, filled, pieces = np.empty_like(ids), np.empty(count, np.int64), []
    for row in range(count):
        cuts = np.unique(rng.integers(1, LENGTH, rng.integers(1, 6)))
        bounds = [0, *cuts.tolist(), LENGTH]
        pieces.append(list(itertools.pairwise(bounds)))
        for start, end in pieces[-1]:
            positions[row, start:end] = np.arange(end - start)
        filled[row] = pieces[-1][-1][0] if rng.random() < 0.5 else LENGTH
    return SampleRows(ids, positions, filled, np.zeros(count, np.int64)), pieces


def logits(model: LlamaForCausalLM, batch: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**{k: v for k, v in batch.items() if k != "labels"}).logits


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_logits_equal_those_of_each_document_alone(attention: str, micro_batch: int) -> None:
    model, collate = llama(attention), DocumentMask(DocumentMaskParams())
    worst = 0.0
    for seed in range(15):  # 15 batches of 1, 2 and 4 rows for each of 2 backends: 210 packed rows
        rows, pieces = random_rows(np.random.default_rng([seed, micro_batch]), micro_batch)
        batch = collate(rows)
        assert "attention_mask" not in batch
        packed = logits(model, batch)
        for row, bounds in enumerate(pieces):
            for start, end in bounds:
                alone = logits(model, {"input_ids": batch["input_ids"][row : row + 1, start:end]})[0]
                worst = max(worst, float((packed[row, start:end] - alone).abs().max()))
    assert worst < 1e-6


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_changing_a_document_changes_no_other_bit(attention: str) -> None:
    model, collate = llama(attention), DocumentMask(DocumentMaskParams())
    rng = np.random.default_rng(5)
    for _ in range(20):
        rows, pieces = random_rows(rng, 2)
        before = logits(model, collate(rows))
        start, end = pieces[0][int(rng.integers(len(pieces[0])))]
        changed = rows.input_ids.copy()
        changed[0, start:end] = rng.integers(1, VOCABULARY, end - start)
        after = logits(model, collate(SampleRows(changed, rows.position_ids, rows.filled, rows.source)))
        same = torch.ones(2, LENGTH, dtype=torch.bool)
        same[0, start:end] = False
        assert torch.equal(before[same], after[same])


def test_without_isolation_documents_do_see_each_other() -> None:
    model = llama("sdpa")
    rows, pieces = random_rows(np.random.default_rng(1), 1)
    causal = logits(model, Causal(CausalParams())(rows))
    start, end = pieces[0][1]
    alone = logits(model, {"input_ids": torch.from_numpy(rows.input_ids[:, start:end])})[0]
    assert (causal[0, start:end] - alone).abs().max() > 1e-3


def test_the_block_mask_is_causal_within_documents() -> None:
    rows, pieces = random_rows(np.random.default_rng(2), 3)
    mask = Flex(CollatorParams())(rows)["attention_mask"]
    index = torch.arange(LENGTH)
    for row, bounds in enumerate(pieces):
        expected = torch.zeros(LENGTH, LENGTH, dtype=torch.bool)
        for start, end in bounds:
            expected[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
        seen = mask.mask_mod(torch.tensor(row), torch.tensor(0), index[:, None], index[None, :])
        assert torch.equal(seen, expected)


@pytest.mark.soak  # compiles the backend: 15 s
def test_flex_attention_gives_the_logits_of_sdpa() -> None:
    model, sdpa = llama("flex_attention"), llama("sdpa")
    rows, _ = random_rows(np.random.default_rng(2), 2)
    flex = Flex(CollatorParams())(rows)
    assert (logits(model, flex) - logits(sdpa, DocumentMask(DocumentMaskParams())(rows))).abs().max() < 1e-6


def test_flash_attention_is_given_the_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' FlashAttention path, with a stand-in for the kernel that attends stretch by stretch."""
    from transformers import modeling_flash_attention_utils as flash

    calls = []

    def varlen(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **given: Any) -> torch.Tensor:
        calls.append(given)
        out = torch.empty_like(q)
        for start, end in zip(given["cu_seqlens_q"][:-1].tolist(), given["cu_seqlens_q"][1:].tolist(), strict=True):
            parts = (x[start:end].transpose(0, 1) for x in (q, k, v))
            out[start:end] = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True).transpose(0, 1)
        return out

    def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **given: Any) -> torch.Tensor:
        calls.append({"dense": True})
        return q

    def arguments(**given: Any) -> dict[str, Any]:
        return {key: given[key] for key in ("max_seqlen_q", "max_seqlen_k") if key in given}

    fake = (dense, varlen, None, None, None)
    monkeypatch.setattr(flash, "lazy_import_flash_attention", lambda *a, **k: (fake, arguments))
    rows, pieces = random_rows(np.random.default_rng(3), 2)
    batch = DocumentMask(DocumentMaskParams(cu_seqlens=True))(rows)
    q, k, v = torch.randn(3, 2, LENGTH, 4, 8)
    names = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
    borders = {name: batch[name] for name in names}
    out = flash._flash_attention_forward(
        q, k, v, None, LENGTH, is_causal=True, position_ids=batch["position_ids"], **borders
    )
    expected = [row * LENGTH + start for row, bounds in enumerate(pieces) for start, _ in bounds] + [2 * LENGTH]
    assert calls[0]["cu_seqlens_q"].tolist() == expected
    assert calls[0]["max_seqlen_q"] == max(e - s for bounds in pieces for s, e in bounds)
    for row, bounds in enumerate(pieces):
        for start, end in bounds:
            parts = (x[row, start:end].transpose(0, 1) for x in (q, k, v))
            alone = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True).transpose(0, 1)
            assert torch.allclose(out[row, start:end], alone, atol=1e-6)
    flash._flash_attention_forward(q, k, v, None, LENGTH, is_causal=True, position_ids=batch["position_ids"])
    assert calls[1] == {"dense": True}, "without borders, a batch of two rows is no longer isolated"


@pytest.mark.parametrize(
    ("collator", "params", "attention", "micro_batch", "refused"),
    [
        ("document_mask", DocumentMaskParams(), "sdpa", 4, False),
        ("document_mask", DocumentMaskParams(), "flash_attention_2", 1, False),
        ("document_mask", DocumentMaskParams(), "flash_attention_2", 2, True),
        ("document_mask", DocumentMaskParams(cu_seqlens=True), "flash_attention_3", 2, False),
        ("document_mask", DocumentMaskParams(), "sage", 1, True),
        ("flex", CollatorParams(), "sdpa", 1, True),
        ("flex", CollatorParams(), "flex_attention", 1, False),
        ("causal", CausalParams(), "flash_attention_2", 8, False),
    ],
)
def test_a_backend_that_cannot_isolate_is_refused(
    collator: str, params: Any, attention: str, micro_batch: int, refused: bool
) -> None:
    if not refused:
        return check_isolation(collator, params, attention, micro_batch=micro_batch)
    with pytest.raises(KormoError, match="attn_implementation"):
        check_isolation(collator, params, attention, micro_batch=micro_batch)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, None),
        ({"collator": "causal", "params": CausalParams()}, None),
        ({"packing": "best_fit"}, "packing best_fit"),
        ({"packing": "concat", "collator": "causal", "params": CausalParams()}, "packing concat"),
        ({"params": DocumentMaskParams(cu_seqlens=True)}, "cu_seqlens"),
        ({"collator": "flex", "params": CollatorParams()}, "flex"),
        ({"attention": "sdpa"}, "sdpa"),
        ({"row_length": 129}, "129"),
    ],
)
def test_several_devices_share_a_row_only_if_it_is_one_document(change: dict[str, Any], named: str | None) -> None:
    given: dict[str, Any] = {
        "collator": "document_mask", "params": DocumentMaskParams(), "attention": "flash_attention_2",
        "micro_batch": 1, "context_parallel": 2, "packing": "pad", "row_length": 128, **change,
    }  # fmt: skip
    if named is None:
        return check_isolation(**given)
    with pytest.raises(KormoError) as error:
        check_isolation(**given)
    assert named in error.value.found


def expected_labels(rows: SampleRows, predict_first: bool, ignore: tuple[int, ...]) -> np.ndarray:
    labels = rows.input_ids.copy()
    for row in range(len(rows)):
        for place in range(LENGTH):
            first = rows.position_ids[row, place] == 0 and not predict_first
            if place >= rows.filled[row] or first or labels[row, place] in ignore:
                labels[row, place] = -100
    return labels


@pytest.mark.parametrize("predict_first", [False, True])
@pytest.mark.parametrize("ignore", [(), (3, 9)])
def test_labels(predict_first: bool, ignore: tuple[int, ...]) -> None:
    rows, _ = random_rows(np.random.default_rng(4), 5)
    rows.input_ids[0, [0, rows.filled[0] - 1]] = 3  # at both ends of a row
    collate = DocumentMask(DocumentMaskParams(predict_first=predict_first, ignore_tokens=ignore, sources=True))
    batch = collate(rows)
    assert (batch["labels"].numpy() == expected_labels(rows, predict_first, ignore)).all()
    assert batch["sources"].tolist() == [0] * 5
    one_by_one = collate(list(rows))
    assert all(torch.equal(one_by_one[key], batch[key]) for key in batch)
    stripped = [{k: row[k] for k in ("input_ids", "labels", "position_ids")} for row in rows]
    assert torch.equal(collate(stripped)["labels"], batch["labels"])


def test_labels_of_causal_rows_cross_documents() -> None:
    rows, _ = random_rows(np.random.default_rng(4), 5)
    batch = Causal(CausalParams())(rows)
    assert (batch["labels"].numpy() == expected_labels(rows, True, ())).all()
    assert batch["position_ids"].tolist() == [list(range(LENGTH))] * 5
