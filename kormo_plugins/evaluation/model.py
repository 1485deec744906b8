"""The harness's own model of transformers, with a record of which answers ended by themselves.

The harness cuts an answer at its stop words and drops special tokens, so whether the model wrote its end token is no
longer to be seen. Here every generated row is looked at before that. Nothing else differs: scores are the harness's.

Imported when a model is loaded; it imports torch.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from kormo_plugins.evaluation.plan import render


class Model(HFLM):
    """`HFLM` that knows how its answers ended, and asks a chat model as it was trained to be asked."""

    def __init__(self, path: Path, *, batch_size: int, device: str, dtype: str = "auto") -> None:
        super().__init__(
            pretrained=str(path), batch_size=batch_size, device=device, dtype=dtype, trust_remote_code=False
        )
        self._ended: dict[tuple[int, ...], bool] = {}

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
        """As in the harness; its bar is shown to people only."""
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm or not sys.stderr.isatty())

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
        """As in the harness; its bar is shown to people only."""
        return super().generate_until(requests, disable_tqdm=disable_tqdm or not sys.stderr.isatty())

    def speak(self, chat: bool) -> None:
        """Whether the next prompts come from the chat template, before which there is no `<|BOS|>`."""
        self.add_bos_token = False if chat else None

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer: those of the generation configuration, and the tokenizer's."""
        configured = self.model.generation_config.eos_token_id
        several = configured if isinstance(configured, list) else [configured]
        return frozenset(one for one in [*several, self.tokenizer.eos_token_id] if one is not None)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation through the chat template, thinking switched off: no answer begins with reasoning."""
        return partial(render, self.tokenizer)(chat_history, add_generation_prompt)

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:
        rows = super()._model_generate(context, max_length, stop, **settings)
        mask = settings.get("attention_mask")
        ends = torch.tensor(sorted(self.ends), device=rows.device)
        ended = torch.isin(rows[:, context.shape[1] :], ends).any(dim=1).tolist()
        for number, row in enumerate(context):
            key = row if mask is None else row[mask[number].bool()]
            self._ended[tuple(key.tolist())] = ended[number]
        return rows

    def ended(self, prompt: str, new: int) -> bool:
        """Whether the answer to a prompt, generated before, contains an end token.

        Args:
            new: tokens that the answer could have; a prompt that left no room for them lost its beginning.
        """
        ids, mask = self.tok_batch_encode([prompt])
        return self._ended[tuple(ids[0][mask[0].bool()].tolist()[-(self.max_length - new) :])]


def default_device() -> str:
    """The accelerator, where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
