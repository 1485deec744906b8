"""The loss of a packed step of fine-tuning is the mean over its trained tokens, as if each conversation stood alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.documents.conversation import messages_of
from kormo_plugins.documents.document import Document
from kormo_plugins.mixture.batches.collators import document_mask
from kormo_plugins.mixture.params import DocumentMaskParams
from kormo_plugins.tokenizer.layout import read_layout
from tests.tokenizer.conftest import chat_folder, folder, params  # noqa: F401

from .test_sft_mask import conversation, packed


def alone(model: Any, tokenizer: Any, documents: list[Document]) -> float:
    """Mean loss over trained tokens, one conversation at a time, with nothing of ours but the messages."""
    import torch

    total, count = 0.0, 0
    for document in documents:
        both = tokenizer.apply_chat_template(
            messages_of(document), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = torch.tensor(both["input_ids"]), torch.tensor(both["assistant_masks"])[1:] == 1
        with torch.no_grad():
            logits = model(ids[None]).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        total, count = total + float(losses[mask].sum()), count + int(mask.sum())
    return total / count


def test_the_trainers_loss_is_that_of_conversations_alone(
    chat_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    from axolotl.core.training_args import AxolotlTrainingArguments
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from kormo_plugins.training.objective import next_token
    from kormo_plugins.training.settings import Precision, Settings
    from kormo_plugins.training.trainer import KormoTrainer

    documents = [conversation(number) for number in range(12)]
    data = packed(tmp_path, chat_folder, {"chat": documents}, row=512)
    rows = data.rows["chat"].rows
    config = LlamaConfig(
        vocab_size=read_layout(chat_folder).size, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512, use_cache=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    expected = alone(model, AutoTokenizer.from_pretrained(chat_folder), documents)
    arguments = AxolotlTrainingArguments(
        output_dir=str(tmp_path / "out"), per_device_train_batch_size=2, gradient_accumulation_steps=rows // 2,
        max_steps=1, logging_steps=1, report_to=[], save_strategy="no", learning_rate=1e-3, use_cpu=True,
        disable_tqdm=True, average_tokens_across_devices=True, curriculum_sampling=True,
        remove_unused_columns=False,
    )  # fmt: skip
    trainer = KormoTrainer(
        model=model, args=arguments, train_dataset=data, data_collator=document_mask(DocumentMaskParams())
    )
    settings = Settings(
        output_dir=tmp_path / "out", steps=1, global_batch=rows, sequence_len=512,
        precision=Precision("float32", "float32", None, "float32"),
    )  # fmt: skip

    def stop(error: BaseException) -> Any:
        raise error

    trainer.configure(settings, next_token, stop)
    trainer.train()
    drawn = {data.rows["chat"].shards.name(n) for i in range(rows) for n, _, _ in data.sample(i).documents}
    assert rows % 2 == 0 and drawn == {document.id for document in documents}, "one step is all conversations, once"
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-5)
