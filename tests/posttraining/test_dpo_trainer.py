"""Our trainer of preferences against TRL's own: the same losses, the same weights, one model instead of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.documents.document import Document
from kormo_plugins.documents.preference_pair import pair_of

from .made_pairs import built, chat_tokenizer, dataset, model, pairs

__all__ = ["chat_tokenizer"]

STEPS, BATCH = 3, 4
ARGUMENTS: dict[str, Any] = {
    "max_steps": STEPS, "logging_steps": 1, "report_to": [], "learning_rate": 1e-2, "seed": 1, "use_cpu": True,
    "disable_tqdm": True, "lr_scheduler_type": "constant", "save_strategy": "no", "max_length": 512,
    "remove_unused_columns": False, "weight_decay": 0.1, "gradient_checkpointing": False, "bf16": False,
}  # fmt: skip
WHOLE = tuple(document for document in pairs(40) if not document.meta.get("unfinished"))
"""Pairs that TRL can render too: it knows no answer without an end."""


def _raise(error: BaseException) -> Any:
    raise error


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Path) -> Path:
    return built(tmp_path_factory.mktemp("source"), chat_tokenizer, "a", WHOLE)


def ours(out: Path, tokenizer: Any, source: Path, *, micro: int = 2, ref: Any = None, **arguments: Any) -> Any:
    """A PreferenceTrainer as Axolotl's builder makes it."""
    from axolotl.core.trainers.dpo.args import AxolotlDPOConfig

    from kormo_plugins.posttraining.preference_trainer import PreferenceTrainer
    from kormo_plugins.training.settings import Precision, Settings

    args = AxolotlDPOConfig(
        output_dir=str(out), per_device_train_batch_size=micro, gradient_accumulation_steps=BATCH // micro,
        precompute_ref_log_probs=ref is None, average_tokens_across_devices=True, **{**ARGUMENTS, **arguments},
    )  # fmt: skip
    trainer = PreferenceTrainer(
        model(len(tokenizer)), ref, args=args, processing_class=tokenizer,
        train_dataset=dataset({"a": source}, args.max_steps, BATCH),
    )  # fmt: skip
    compute = "bfloat16" if args.bf16 else "float32"
    settings = Settings(
        output_dir=out, steps=args.max_steps, global_batch=BATCH, sequence_len=512,
        precision=Precision("float32", compute, None, "float32"), record={"weights": "w"},
    )  # fmt: skip
    trainer.configure(settings, lambda *a: None, _raise)
    return trainer


def losses(trainer: Any) -> list[float]:
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def theirs(out: Path, tokenizer: Any, order: list[Document], **arguments: Any) -> Any:
    """TRL's DPOTrainer on the same pairs as messages, with a second model as reference."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import DPOConfig, DPOTrainer

    class Sequential(DPOTrainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    rows = [_row(document) for document in order]
    args = DPOConfig(
        output_dir=str(out), per_device_train_batch_size=BATCH, gradient_accumulation_steps=1,
        **{**ARGUMENTS, **arguments},
    )  # fmt: skip
    return Sequential(
        model(len(tokenizer)), model(len(tokenizer)), args=args, processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
    )  # fmt: skip


def _row(document: Document) -> dict[str, Any]:
    pair = pair_of(document)
    assert pair is not None
    return {"prompt": pair.prompt, "chosen": [pair.chosen], "rejected": [pair.rejected],
            "chat_template_kwargs": {"enable_thinking": pair.thinking}}  # fmt: skip


@pytest.mark.parametrize("loss_type", ["sigmoid", "sigmoid_norm", "apo_zero"])
def test_losses_and_weights_are_those_of_trl(
    tmp_path: Path, chat_tokenizer: Path, source: Path, loss_type: str
) -> None:
    """Ids from our files, the reference computed beforehand, two micro-batches: against TRL's own way with none."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer)
    mine = ours(tmp_path / "ours", tokenizer, source, loss_type=[loss_type])
    mine.train()
    order = [WHOLE[mine.train_dataset.number(index)] for index in range(STEPS * BATCH)]
    decay = mine.kormo.decay
    assert decay.embeddings is False
    other = theirs(tmp_path / "theirs", tokenizer, order, loss_type=[loss_type])
    other.get_decay_parameter_names = mine.get_decay_parameter_names  # weight decay is compared elsewhere
    other.train()
    for index in range(STEPS * BATCH):
        for key in ("prompt_ids", "chosen_ids", "rejected_ids"):
            assert other.train_dataset[index][key] == mine.train_dataset[index][key]
    assert losses(mine) == pytest.approx(losses(other), abs=1e-6)
    assert len(set(losses(mine))) == STEPS, "nothing was learned"
    for (name, a), (_, b) in zip(mine.model.named_parameters(), other.model.named_parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 2e-5, name


def test_the_reference_computed_once_is_the_one_computed_always(
    tmp_path: Path, chat_tokenizer: Path, source: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer)
    once = ours(tmp_path / "once", tokenizer, source)
    always = ours(tmp_path / "always", tokenizer, source, ref=model(len(tokenizer)))
    assert once.ref_model is None and always.ref_model is not None
    once.train()
    always.train()
    assert losses(once) == pytest.approx(losses(always), abs=1e-6)


def test_what_was_computed_is_kept_and_not_computed_from_a_trained_model(
    tmp_path: Path, chat_tokenizer: Path, source: Path
) -> None:
    """A run that goes on, or is made longer, finds the reference of its first model; only new pairs are computed."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer)
    first = ours(tmp_path, tokenizer, source)
    first.train()
    (file,) = tmp_path.glob("reference_logps-*.npy")
    kept = np.load(file, allow_pickle=False)
    seen = {first.train_dataset.number(index) for index in range(STEPS * BATCH)}
    assert set(np.flatnonzero(~np.isnan(kept).any(axis=1)).tolist()) == seen
    again = ours(tmp_path, tokenizer, source)
    again.compute_ref_log_probs = lambda *a: _raise(AssertionError("computed again"))
    assert (again._reference(again.train_dataset)[sorted(seen)] == kept[sorted(seen)]).all()
    longer = ours(tmp_path, tokenizer, source, max_steps=STEPS + 2)
    asked: list[int] = []
    inner = longer._logps
    longer._logps = lambda data, numbers: (asked.extend(numbers), inner(data, numbers))[1]
    values = longer._reference(longer.train_dataset)
    assert asked and not set(asked) & seen
    assert (values[sorted(seen)] == kept[sorted(seen)]).all()


def test_before_the_first_step_model_and_reference_agree_under_autocast(
    tmp_path: Path, chat_tokenizer: Path, source: Path
) -> None:
    """With bfloat16 products and float32 weights too: a reference computed without autocast would differ."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer)
    trainer = ours(tmp_path, tokenizer, source, bf16=True, micro=4, max_steps=1, precompute_ref_batch_size=4)
    trainer.train()
    (line,) = [line for line in trainer.state.log_history if "loss" in line]
    assert line["loss"] == pytest.approx(np.log(2), abs=1e-5), line
    assert abs(line["rewards/margins"]) < 1e-5


def test_log_probabilities_of_a_bfloat16_model_are_not_rounded(
    tmp_path: Path, chat_tokenizer: Path, source: Path
) -> None:
    """As under DeepSpeed, where no autocast hands back float32: the sums, of some hundreds, keep their fractions."""
    import torch
    from transformers import AutoTokenizer

    trainer = ours(tmp_path, AutoTokenizer.from_pretrained(chat_tokenizer), source, micro=4, max_steps=1)
    trainer.model.to(torch.bfloat16)
    expected = []
    for sample in trainer.train_dataset:
        ids = torch.tensor([sample["prompt_ids"] + sample["rejected_ids"]])
        with torch.no_grad():
            logits = trainer.model(ids).logits.double().log_softmax(-1)
        kept = logits[0, :-1].gather(1, ids[0, 1:, None])[len(sample["prompt_ids"]) - 1 :]
        expected.append(float(kept.sum()))
    trainer.train()
    (line,) = [line for line in trainer.state.log_history if "loss" in line]
    assert line["logps/rejected"] == pytest.approx(np.mean(expected), abs=0.1)
    (file,) = tmp_path.glob("reference_logps-*.npy")
    kept = np.load(file, allow_pickle=False)[[trainer.train_dataset.number(i) for i in range(4)], 1]
    assert kept == pytest.approx(np.array(expected), abs=0.2)


def test_decay_reaches_what_the_recipe_says(tmp_path: Path, chat_tokenizer: Path, source: Path) -> None:
    from transformers import AutoTokenizer

    trainer = ours(tmp_path, AutoTokenizer.from_pretrained(chat_tokenizer), source)
    names = trainer.get_decay_parameter_names(trainer.model)
    assert "lm_head.weight" in names and not any("embed" in name or "norm" in name for name in names)
    trainer.create_optimizer()
    decayed = {id(p) for group in trainer.optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(p) for name, p in trainer.model.named_parameters() if name in names}


def test_axolotl_loads_no_second_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook is where we patch it, and is left alone where the reference is needed during training."""
    import axolotl.train as module
    from axolotl.utils.dict import DictDefault

    from kormo_plugins.training.compat.upstream import no_second_model

    def load(cfg: Any, *args: Any) -> str:
        return "a second model"

    monkeypatch.setattr(module, "setup_reference_model", load)
    no_second_model()
    no_second_model()
    assert module.setup_reference_model(DictDefault(precompute_ref_log_probs=True), None, None) is None
    assert module.setup_reference_model(DictDefault(), None, None) == "a second model"
