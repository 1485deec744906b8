"""Pairs without padding: TRL's loss, its gradients and its metrics, from fewer tokens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from kormo_plugins.posttraining.packed_pairs import packed, places
from kormo_plugins.recipe.checks.preference_rules import preference_runs
from kormo_plugins.recipe.files.resolve import resolve

from .made_pairs import built, chat_tokenizer
from .test_dpo_trainer import WHOLE, ours

__all__ = ["chat_tokenizer"]


def test_texts_share_rows_and_none_is_cut() -> None:
    lengths = [7, 3, 12, 5, 4, 12, 1]
    where = places(lengths, 12)
    taken = {(row, start + i) for (row, start), n in zip(where, lengths, strict=True) for i in range(n)}
    assert len(taken) == sum(lengths) and max(place for _, place in taken) < 12
    assert 1 + max(row for row, _ in where) == 4, "44 tokens need four rows of 12"
    assert places(lengths, sum(lengths)) and {row for row, _ in places(lengths, sum(lengths))} == {0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Path) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("packed")
    trainer = ours(folder, AutoTokenizer.from_pretrained(chat_tokenizer), built(folder, chat_tokenizer, "a", WHOLE))
    trainer.kormo = dataclasses.replace(trainer.kormo, pack_pairs=True)
    return trainer


def skewed(trainer: Any, count: int = 6) -> dict[str, torch.Tensor]:
    """A batch whose first pair is much longer than the others, one of which has an answer of one token."""
    samples = [trainer.train_dataset[i] for i in range(count)]
    samples[0]["prompt_ids"] = samples[0]["prompt_ids"] * 5
    samples[1]["chosen_ids"] = samples[1]["chosen_ids"][:1]
    for index, sample in enumerate(samples):
        sample["ref_chosen_logps"], sample["ref_rejected_logps"] = -30.0 - index, -31.0 + index
    batch: dict[str, torch.Tensor] = trainer.data_collator(samples)
    return batch


@pytest.mark.parametrize("one_row", [False, True])
@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo", "sigmoid_norm", "apo_zero", "sft"])
def test_loss_gradients_and_metrics_are_trls(
    trained: Any, loss_type: str, one_row: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import DPOTrainer

    monkeypatch.setattr(trained, "loss_types", [loss_type])
    monkeypatch.setattr(trained, "_one_row", lambda: one_row)
    batch, model = skewed(trained), trained.model.train()
    found = []
    for compute in (DPOTrainer._compute_loss, type(trained)._compute_loss):
        model.zero_grad()
        trained._metrics["train"].clear()
        loss = compute(trained, model, batch, False)
        loss.backward()
        grads = torch.cat([p.grad.flatten() for p in model.parameters()])
        metrics = {key: values[-1] for key, values in trained._metrics["train"].items() if key != "num_tokens"}
        found.append((loss.item(), grads, metrics))
    (theirs, their_grads, their_metrics), (mine, my_grads, my_metrics) = found
    assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    assert float((my_grads - their_grads).norm() / their_grads.norm()) < 1e-5
    assert my_metrics == pytest.approx(their_metrics, rel=1e-4, abs=1e-5)


def test_the_reference_is_the_same_and_fewer_tokens_are_computed(trained: Any) -> None:
    from trl import DPOTrainer

    batch = skewed(trained)
    theirs = DPOTrainer.compute_ref_log_probs(trained, trained.model, batch)
    for one, other in zip(trained.compute_ref_log_probs(trained.model, batch), theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    pairs = packed(batch, one_row=False)
    assert pairs.inputs["input_ids"].numel() < 0.5 * batch["input_ids"].numel()
    assert packed(batch, one_row=True).inputs["input_ids"].numel() == int(batch["attention_mask"].sum())
    row = packed(batch, one_row=True).inputs
    assert len(row["logits_to_keep"]) == int(batch["completion_mask"].sum())
    starts = torch.nonzero(row["position_ids"][0] == 0).flatten().tolist()
    assert row["cu_seq_lens_q"].tolist() == [*starts, row["input_ids"].numel()]
    assert row["max_length_q"] == int(row["cu_seq_lens_q"].diff().max())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rl": None}, "only a preference run"),
        ({"precompute_ref_log_probs": False}, "not passed to a second model"),
        ({"dpo_use_liger_kernel": True}, "the fused loss supports padded pairs"),
        ({"attn_implementation": "xformers"}, "separate the texts in a row"),
    ],
)
def test_what_cannot_be_packed_is_refused(values: dict[str, Any], says: str, tmp_path: Path) -> None:
    """Beside a preference recipe that is sound, each of these alone."""
    sound = tmp_path / "sound.yml"
    sound.write_text(f"extends: {Path('recipes/dpo.yml').resolve()}\nplugins: [kormo_plugins.KormoPlugin]\n")
    assert not [*preference_runs(resolve(sound, {}))]
    faults = [fault.render() for fault in preference_runs(resolve(sound, values))]
    assert len([fault for fault in faults if says in fault]) == 1, faults
