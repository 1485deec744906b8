"""Encodes conversations to ids and loss mask in batches, for the shards of a chat source.

Ids and mask equal those of `apply_chat_template(…, return_assistant_tokens_mask=True)`, so that training matches the
template saved with the model, with two differences: message text that spells a control token stays text
(`chat_tokenizer`), and an answer of `weight` 0 is excluded from the loss. A last turn with reasoning is rendered with
thinking on; one without has the empty block that ends a prompt with thinking off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.documents.conversation import messages_of, tools_of
from kormo_plugins.documents.document import Document
from kormo_plugins.documents.message import RESERVED, Message
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.tokenizer.chat.chat_tokenizer import ChatTokenizer, open_chat
from kormo_plugins.tokenizer.encode import check_encodable
from kormo_plugins.tokenizer.layout import tokenizer_hash


@dataclass(frozen=True)
class ChatEncoder:
    """Encodes conversations with the tokenizer and chat template of a folder; picklable.

    Args:
        folder: folder of a tokenizer with KORMo's tokens and a chat template.
    """

    folder: Path

    @property
    def identity(self) -> str:
        """Changes when the tokenizer or the template changes."""
        return identity([tokenizer_hash(self.folder), open_chat(self.folder).template])

    def __call__(
        self, documents: Sequence[Document]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint8]]:
        """Encodes conversations end to end, without tokens added at the start or end.

        Returns:
            ids and loss mask (1: predicted), both of shape [sum(lengths)], and token counts, shape [documents].
        Raises:
            KormoError: a document has no messages, the template refuses it or marks nothing as the assistant's, or a
                character cannot be encoded with the vocabulary.
        """
        chat = open_chat(self.folder)
        messages = [self._checked(document, chat) for document in documents]
        ids: list[NDArray[np.uint32]] = []
        masks: list[NDArray[np.uint8]] = []
        for batch in _by_tools(documents):
            encoded = self._applied([documents[place] for place in batch], [messages[place] for place in batch], chat)
            ids += [np.array(row, np.uint32) for row in encoded["input_ids"]]
            masks += [np.array(row, np.uint8) for row in encoded["assistant_masks"]]
        for document, turns, mask in zip(documents, messages, masks, strict=True):
            self._weigh(document, turns, mask)
        return np.concatenate(ids), np.array([len(row) for row in ids], np.int64), np.concatenate(masks)

    def _checked(self, document: Document, chat: ChatTokenizer) -> list[Message]:
        messages = messages_of(document)
        if messages is None:
            raise _mixed(document)
        check_encodable(document.text, chat.missing_bytes, f"document {document.id}")
        if RESERVED in document.text:
            raise KormoError(
                where=f"document {document.id}",
                found="the noncharacter U+10FFFE",
                why="it is reserved for the names of turn tokens while a conversation is encoded",
                do="remove the character",
            )
        return messages

    def _applied(self, documents: Sequence[Document], messages: list[list[Message]], chat: ChatTokenizer) -> Any:
        from jinja2 import TemplateError

        try:
            return chat.tokenizer.apply_chat_template(
                messages,  # type: ignore[arg-type]
                tools=tools_of(documents[0]),  # type: ignore[arg-type]
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except TemplateError as error:
            raise KormoError(
                where=f"conversations from {documents[0].id} to {documents[-1].id}",
                found=chat.readable(str(error)),
                why=f"the chat template of {self.folder} refuses one of them",
                do="correct the conversations or the template",
            ) from None

    def _weigh(self, document: Document, messages: Sequence[Message], mask: NDArray[np.uint8]) -> None:
        """Clears the mask of answers of weight 0.

        Raises:
            KormoError: nothing is trained, or the template does not mark each answer as exactly one run.
        """
        weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
        runs = np.flatnonzero(np.diff(mask, prepend=0, append=0)).reshape(-1, 2)
        if not all(weights) and len(runs) != len(weights):
            raise KormoError(
                where=f"document {document.id}",
                found=f"{len(weights)} answers, but {len(runs)} trained spans",
                why=f"the chat template of {self.folder} does not mark each answer as one span, so weights cannot be "
                "assigned to answers",
                do="put each answer between {% generation %} and {% endgeneration %}, or remove the weights",
            )
        for (start, end), weight in zip(runs, weights, strict=False):
            if not weight:
                mask[start:end] = 0
        if not mask.any():
            raise KormoError(
                where=f"document {document.id}",
                found="no trained token",
                why=f"the chat template of {self.folder} marks no text as the assistant's",
                do="put the assistant's part of the template between {% generation %} and {% endgeneration %}",
            )


def _by_tools(documents: Sequence[Document]) -> list[list[int]]:
    """Groups of document indices that are rendered together: adjacent ones without tools; each with tools alone."""
    batches: list[list[int]] = []
    for place, document in enumerate(documents):
        alone = tools_of(document) is not None
        if batches and not alone and tools_of(documents[batches[-1][0]]) is None:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def _mixed(document: Document) -> KormoError:
    return KormoError(
        where=f"document {document.id}",
        found="a plain text in a source of conversations",
        why="a source holds one kind: texts train on every token, conversations only on the answers",
        do="split it into two sources",
    )
