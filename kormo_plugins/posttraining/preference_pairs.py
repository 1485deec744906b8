"""Encodes preference pairs as token ids of prompt and answers.

A pair is rendered with the tokenizer's chat template, in the same two parts as in generation:

    prompt     … <|BOT|>user⏎ question <|EOT|>⏎<|BOT|>assistant⏎<think>⏎[⏎</think>⏎]
    answer     [reasoning⏎</think>⏎⏎] answer <|EOT|>⏎

The prompt ends with the generation prompt, with thinking enabled if one of the answers has reasoning. The parts are
encoded separately, so the ids of an answer are those that the model would generate after the prompt; for an answer in
the prompt's mode they equal those of the whole text. An answer without reasoning, when thinking is enabled, begins by
closing the think block.

No token is added: no <|BOS|> at the start, and no second <|EOT|>, which TRL would append to a text that ends with a
newline. An unfinished answer has no <|EOT|>.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kormo_plugins.documents.conversation import tools_of
from kormo_plugins.documents.document import Document
from kormo_plugins.documents.message import JsonValue
from kormo_plugins.documents.preference_pair import Pair, pair_of
from kormo_plugins.errors import KormoError
from kormo_plugins.shards.pairs import TokenPair, Unused, write_pairs
from kormo_plugins.tokenizer.chat.chat_tokenizer import ChatTokenizer, open_chat

END = "<|EOT|>"
Texts = tuple[str, str, str]


def render(chat: ChatTokenizer, pair: Pair, tools: list[dict[str, JsonValue]] | None = None) -> Texts | Unused:
    """Renders prompt, chosen and rejected as text, with the control tokens of `chat`; or returns the reason why the
    template rejects the pair, without an id."""
    from jinja2 import TemplateError

    def rendered(messages: list[Any], generate: bool) -> str:
        """A conversation rendered by the chat template, not tokenized."""
        text = chat.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            tools=tools,  # type: ignore[arg-type]
            add_generation_prompt=generate,
            enable_thinking=pair.thinking,
        )
        return str(text)

    try:
        prompt = rendered(pair.prompt, True)
        wholes = [rendered([*pair.prompt, side], False) for side in (pair.chosen, pair.rejected)]
    except TemplateError as error:
        return Unused("", f"the chat template refuses it: {chat.readable(str(error))}")
    if not all(whole.startswith(prompt) for whole in wholes):
        return Unused("", "the chat template does not continue its own generation prompt")
    chosen, rejected = (whole.removeprefix(prompt) for whole in wholes)
    if pair.unfinished:
        rejected = rejected.removesuffix("\n").removesuffix(chat.stand_in(END))
    return prompt, chosen, rejected


def token_pairs(
    documents: Iterable[Document], chat: ChatTokenizer, length: int, where: str
) -> Iterator[TokenPair | Unused]:
    """Encodes the pairs of documents as token ids.

    Args:
        length: maximum tokens of a prompt with one of its answers; a longer pair is skipped, not truncated, since a
            truncated answer is a different answer.
        where: the source, for messages.
    Raises:
        KormoError: a document that is not a pair.
    """
    for document in documents:
        pair = pair_of(document)
        if pair is None:
            raise KormoError(
                where=where,
                found=f"{document.id}, which is not a preference pair",
                why="a preference run is trained on pairs: prompt, chosen, rejected",
                do="read it with `columns: {pair: {}}`, or put the step preference_pair first and let the reader keep "
                "the columns chosen and rejected",
            )
        texts = render(chat, pair, tools_of(document))
        if isinstance(texts, Unused):
            yield Unused(document.id, texts.reason)
            continue
        prompt, chosen, rejected = (chat.tokenizer.encode(text, add_special_tokens=False) for text in texts)
        if len(prompt) >= length:
            yield Unused(document.id, f"its prompt fills sequence_len ({length:,} tokens)")
        elif len(prompt) + max(len(chosen), len(rejected)) > length:
            yield Unused(document.id, f"longer than sequence_len ({length:,} tokens)")
        else:
            before, better, worse = map(chat.readable, texts)
            yield TokenPair(document.id, (before, better, worse), (prompt, chosen, rejected))


def build_pairs(
    documents: Iterable[Document], tokenizer: Path, out: Path, *, source: str, length: int, tokenizer_hash: str
) -> dict[str, object]:
    """Writes the pairs of one source into the folder `out` (`shards/pairs.py` has the format).

    Args:
        tokenizer: folder with a chat template.
        tokenizer_hash: identity of the tokenizer.
    Returns:
        statistics, as `write_pairs`.
    Raises:
        KormoError: a document that is no pair, a tokenizer without a chat template, or no usable pair at all.
    """
    chat = open_chat(tokenizer)
    where = f"sources.{source}"
    stats = write_pairs(
        token_pairs(documents, chat, length, where),
        out,
        source=source,
        tokenizer=tokenizer_hash,
        largest_id=len(chat.tokenizer) - 1,
    )
    if not stats["pairs"]:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in stats["unused"].items())
        raise KormoError(
            where=where,
            found=f"no usable pair: {reasons or 'there is none'}",
            why=f"the run has nothing to train on; the first rejected pair: {stats['example'] or 'none'}",
            do="raise sequence_len, or correct the source",
        )
    return stats
