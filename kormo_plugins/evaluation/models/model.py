"""The harness's own model of transformers, with a record of which answers ended by themselves.

The harness cuts an answer at its stop words and drops special tokens, so whether the model wrote its end token is no
longer to be seen. Here every generated row is looked at before that. Answers are written by `generation/decode.py`, in
batches by length that rows leave when they end, where a request's settings allow it; otherwise, as in the harness.
Nothing else differs: scores are the harness's.

Imported when a model is loaded; it imports torch.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.evaluation.generation.decode import Decoder
from kormo_plugins.evaluation.harness import AnswerSettings, Request
from kormo_plugins.evaluation.plan import render


class Model(HFLM):
    """`HFLM` that knows how its answers ended, and asks a chat model as it was trained to be asked."""

    def __init__(self, path: Path, *, batch_size: int | None, device: str, dtype: str = "auto") -> None:
        super().__init__(
            pretrained=str(path),
            batch_size=batch_size or (8 if device != "cpu" else 32),
            device=device,
            dtype=dtype,
            trust_remote_code=False,
        )
        self._rows = batch_size
        self._ended: dict[tuple[int, ...], bool] = {}

    def loglikelihood(self, requests: object, disable_tqdm: bool = False) -> object:
        """As in the harness; its bar is shown to people only."""
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm or not sys.stderr.isatty())

    def generate_until(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[str]:
        """The texts that follow the requests' prompts, in their order, as the harness would have written them."""
        groups: dict[str, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            groups[repr(sorted(request.args[1].items()))].append(place)
        texts: dict[int, str] = {}
        for places in groups.values():
            settings = normalize_gen_kwargs(requests[places[0]].args[1], self.max_gen_toks)
            chosen = [requests[place] for place in places]
            if self._ours(settings):
                written = self._write([one.args[0] for one in chosen], settings)
                for one, text in zip(chosen, written, strict=True):
                    self.cache_hook.add_partial("generate_until", one.args, text)
            else:
                quiet = disable_tqdm or not sys.stderr.isatty()
                written = super().generate_until(chosen, disable_tqdm=quiet)
            texts.update(zip(places, written, strict=True))
        return [texts[place] for place in range(len(requests))]

    def _ours(self, settings: AnswerSettings) -> bool:
        """Whether the decoder knows everything that is asked for: greedy, or sampled by temperature and top-p."""
        known = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
        configured = self.model.generation_config.to_diff_dict()
        shaping = {"repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens", "bad_words_ids",
                   "num_beams", "encoder_repetition_penalty", "suppress_tokens", "forced_eos_token_id", "min_p",
                   "typical_p", "guidance_scale", "sequence_bias", "penalty_alpha"}  # fmt: skip
        sampled = bool(settings.get("do_sample"))
        drawn = {"top_k", "temperature", "top_p"} if sampled else set()
        drawn -= {"temperature", "top_p"} & set(settings)
        return self.backend == "causal" and set(settings) <= known and not (shaping | drawn) & set(configured)

    def _write(self, prompts: list[str], settings: AnswerSettings) -> list[str]:
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        until = handle_stop_sequences(settings["until"], eos=eos)
        new = int(settings["max_gen_toks"])
        sampled = bool(settings.get("do_sample"))
        sampling = Sampling(
            max_tokens=new,
            temperature=float(settings["temperature"]) if sampled else 0.0,
            top_p=float(settings.get("top_p", 1.0)) if sampled else 1.0,
            stop=tuple(one for one in until if one and one != eos),
        )
        encoded, mask = self.tok_batch_encode(prompts, left_truncate_len=self.max_length - new)
        ids = [row[kept.bool()].tolist() for row, kept in zip(encoded, mask, strict=True)]
        decode = partial(self.tokenizer.decode, skip_special_tokens=True)
        decoder = Decoder(self.model, decode, self.ends, int(self.tokenizer.pad_token_id or 0))
        texts = [""] * len(prompts)
        for place, written in decoder.write(ids, sampling, self._rows):
            self._ended[tuple(ids[place])] = written.ended
            texts[place] = postprocess_generated_text(self.tok_decode(written.ids), until, None)
        return texts

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

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **settings: object
    ) -> torch.Tensor:
        rows: torch.Tensor = super()._model_generate(context, max_length, stop, **settings)
        mask = settings.get("attention_mask")
        ends = torch.tensor(sorted(self.ends), device=rows.device)
        ended = torch.isin(rows[:, context.shape[1] :], ends).any(dim=1).tolist()
        for number, row in enumerate(context):
            key = row[mask[number].bool()] if isinstance(mask, torch.Tensor) else row
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
