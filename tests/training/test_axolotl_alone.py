"""What Axolotl does that we do otherwise, as `docs/compatibility.md` has it: asked of the one that is installed.

When one of these fails, Axolotl has put something right: the table there, and perhaps our own part, can be shorter.
The loss is in `test_loss.py`.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from axolotl.utils.dict import DictDefault


def test_only_the_first_pretraining_dataset_is_used() -> None:
    from axolotl.utils.data.sft import _extract_pretraining_config

    found = _extract_pretraining_config(DictDefault(pretraining_dataset=[{"path": "first"}, {"path": "second"}]))
    assert found["path"] == "first" and "second" not in str(found)


def test_the_tail_of_a_long_document_is_dropped() -> None:
    """Of 100 tokens, a row of 32 keeps 30; there is no second row."""
    from axolotl.utils.data.streaming import encode_streaming
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[PAD]": 0, "[EOS]": 1, "[UNK]": 2} | {f"w{place}": 3 + place for place in range(100)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]")
    text = " ".join(f"w{place}" for place in range(100))
    rows = encode_streaming({"text": [text]}, tokenizer, max_tokens=32)["input_ids"]
    assert [[int(token) for token in row if token > 1] for row in rows] == [[3 + place for place in range(30)]]


def test_a_weight_is_a_share_of_the_rows_drawn_once_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.19 reads none. It repeats no rows, counts no tokens, and the share never changes."""
    from axolotl.utils.data import sft
    from datasets import Dataset

    rows = Dataset.from_dict({"text": [f"row {number}" for number in range(10)]})
    monkeypatch.setattr(sft, "load_dataset_with_config", lambda *args, **more: rows)
    monkeypatch.setattr(sft, "get_dataset_wrapper", lambda *, dataset, **more: (dataset, None))

    def taken(weight: float) -> list[str]:
        config = DictDefault(path="x", type="completion", weight=weight)
        loaded, _ = sft._load_and_process_single_dataset(
            dataset_config=config, cfg=DictDefault(), tokenizer=SimpleNamespace(), split="train", seed=0
        )
        return list(loaded["text"])

    weighs = "dataset_config.weight" in inspect.getsource(sft._load_and_process_single_dataset)
    assert len(taken(0.3)) == (3 if weighs else 10)
    assert taken(0.3) == taken(0.3) and len(taken(2.0)) == 10


def test_the_highest_checkpoint_is_resumed_whole_or_not(tmp_path: Path) -> None:
    from axolotl.utils.train import determine_last_checkpoint

    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-8").mkdir()  # a kill while it was written: nothing is in it
    cfg = DictDefault(output_dir=str(tmp_path), auto_resume_from_checkpoints=True)
    assert determine_last_checkpoint(cfg) == str(tmp_path / "checkpoint-8")


@pytest.mark.parametrize(("rows", "seen"), [(1, True), (2, False)])
def test_borders_of_documents_are_seen_in_a_batch_of_one_row_only(rows: int, seen: bool) -> None:
    """What FlashAttention of transformers asks before it keeps documents apart; of two rows each is one document."""
    from transformers.modeling_flash_attention_utils import _is_packed_sequence

    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2]]).repeat(rows, 1)
    assert bool(_is_packed_sequence(positions, batch_size=rows)) == seen
