"""Prompts a finished model: a chat model through its template, a base model with the beginning of a text.

    speaker = open_speaker(Path("outputs/sft"))
    for piece in speaker.say([{"role": "user", "content": "안녕하세요!"}], Wish(thinking=False)):
        print(piece, end="")

Sampling follows the checkpoint's generation settings.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from kormo_plugins.architecture.files import read_json
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.plugins.registry import registry
from kormo_plugins.store.complete import check_marked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TextIteratorStreamer

Turn = dict[str, str]
"""`{role, content}`, as a chat template takes it."""

TURN_END = "<|EOT|>"


@dataclass(frozen=True)
class Wish:
    """Options of an answer.

    Args:
        thinking: whether a chat model reasons first.
        max_new_tokens: maximum length of the answer, in tokens.
    """

    thinking: bool = False
    max_new_tokens: int = 256


@dataclass(frozen=True)
class Speaker:
    """An opened model.

    Args:
        name: name of its folder.
        is_chat: whether its end token ends a turn; otherwise it continues texts.
        context: maximum length of prompt and answer together, in tokens.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    is_chat: bool
    context: int

    def prompt(self, turns: Sequence[Turn], wish: Wish) -> list[int]:
        """Token ids of the prompt.

        Raises:
            KormoError: the template refuses a turn, or there is no room for an answer.
        """
        ids = self._conversation(turns, wish.thinking) if self.is_chat else self._beginning(turns[-1]["content"])
        if len(ids) + wish.max_new_tokens > self.context:
            raise KormoError(
                where=f"the conversation with {self.name}",
                found=f"{len(ids):,} tokens, and {wish.max_new_tokens:,} for the answer",
                why=f"the model's context is {self.context:,} tokens",
                do="start a new conversation, or allow a shorter answer (--max-new-tokens)",
            )
        return ids

    def say(self, turns: Sequence[Turn], wish: Wish) -> Iterator[str]:
        """Yields pieces of the answer as they are generated.

        Raises:
            KormoError: see `prompt`.
        """
        import torch
        from transformers import TextIteratorStreamer

        ids = torch.tensor([self.prompt(turns, wish)], device=self.model.device)
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        worker = threading.Thread(target=self._generate, args=(ids, wish.max_new_tokens, streamer), daemon=True)
        worker.start()
        yield from cast(Iterator[str], streamer)
        worker.join()

    def _generate(self, ids: object, new: int, streamer: TextIteratorStreamer) -> None:
        import torch

        try:
            with torch.inference_mode():
                self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, streamer=streamer)  # type: ignore[operator,arg-type]
        finally:
            streamer.end()  # the reader waits for it, even after an error

    def _conversation(self, turns: Sequence[Turn], thinking: bool) -> list[int]:
        from jinja2 import TemplateError

        try:
            ids = self.tokenizer.apply_chat_template(
                list(turns), add_generation_prompt=True, enable_thinking=thinking, return_dict=False
            )
        except TemplateError as error:
            raise KormoError(
                where=f"the conversation with {self.name}",
                found=in_words(error),
                why="the model's chat template refuses it",
                do="change the message",
            ) from None
        return list(cast(list[int], ids))

    def _beginning(self, text: str) -> list[int]:
        """A text as in training: with the start token first, if the tokenizer has one."""
        start = self.tokenizer.bos_token_id
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return [*([start] if isinstance(start, int) else []), *ids]


def open_speaker(folder: Path, modules: Sequence[str] = ()) -> Speaker:
    """Opens a run, a checkpoint or an export.

    Args:
        modules: plugins that provide the model's architecture.
    Raises:
        KormoError: there is no checkpoint, it is incomplete, or its architecture is unknown.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = read_json(folder / "config.json")
    check_marked(folder)
    components = registry(tuple(modules))
    for name in components.names("architecture"):
        components.load("architecture", name).register()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(folder).eval().to(device)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, SafetensorError) as error:
        raise KormoError(
            where=str(folder),
            found=in_words(error),
            why=f"transformers cannot open this model of type {config.get('model_type')!r}",
            do="name the folder of a finished run, a checkpoint or an export, and its plugins with --plugin",
        ) from None
    is_chat = tokenizer.chat_template is not None and tokenizer.eos_token == TURN_END
    return Speaker(folder.name, model, tokenizer, is_chat, int(config.get("max_position_embeddings", 4096)))
