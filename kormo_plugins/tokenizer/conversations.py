"""Conversations to ids and training mask, a batch at a time: what the shards of a chat source are made with.

Ids and mask are those of `apply_chat_template(…, return_assistant_tokens_mask=True)` and nothing else, so that what is
trained is what the template, which is saved with the model, will ask of it. A last turn with reasoning is rendered with
thinking on; one without has the empty block that a prompt with thinking off ends with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.documents.conversation import messages_of
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.tokenizer.encode import check_encodable
from kormo_plugins.tokenizer.layout import read_layout, tokenizer_hash


@dataclass(frozen=True)
class ChatEncoder:
    """Encodes conversations with the tokenizer and chat template in a folder; can be sent to another process.

    Args:
        folder: of a tokenizer with KORMo's tokens and a chat template.
    """

    folder: Path

    @property
    def identity(self) -> str:
        """Changes with the tokenizer and with the template."""
        return identity([tokenizer_hash(self.folder), _open(self.folder).chat_template])

    def __call__(
        self, documents: Sequence[Document]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint8]]:
        """Conversations end to end, without a token in front or behind.

        Returns:
            ids and training mask (1: predicted), both of shape [sum(lengths)], and tokens of each, shape [documents].
        Raises:
            KormoError: a document without messages, one that the template refuses or of which it marks nothing as the
                assistant's, or a character that the vocabulary cannot spell.
        """
        from jinja2 import TemplateError

        tokenizer, missing = _open(self.folder), read_layout(self.folder).missing_bytes
        for document in documents:
            if messages_of(document) is None:
                raise _mixed(document)
            check_encodable(document.text, missing, f"document {document.id}")
        try:
            both: Any = tokenizer.apply_chat_template(
                [messages_of(document) for document in documents],
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except TemplateError as error:
            raise KormoError(
                where=f"conversations from {documents[0].id} to {documents[-1].id}",
                found=str(error),
                why=f"the chat template of {self.folder} refuses one of them",
                do="correct the conversations or the template",
            ) from None
        lengths = np.array([len(ids) for ids in both["input_ids"]], np.int64)
        trained = [np.array(mask, np.uint8) for mask in both["assistant_masks"]]
        for document, mask in zip(documents, trained, strict=True):
            if not mask.any():
                raise KormoError(
                    where=f"document {document.id}",
                    found="no token that is trained",
                    why=f"the chat template of {self.folder} marks nothing as the assistant's",
                    do="put the assistant's part of the template between {% generation %} and {% endgeneration %}",
                )
        ids = np.concatenate([np.array(ids, np.uint32) for ids in both["input_ids"]])
        return ids, lengths, np.concatenate(trained)


@lru_cache(maxsize=2)
def _open(folder: Path) -> Any:
    """The tokenizer in a folder.

    Raises:
        KormoError: it has no tokens for turns, or no chat template.
    """
    from transformers import AutoTokenizer

    fix = "start from a model whose tokenizer has KORMo's tokens (`kormo tokenizer train`), or swap its vocabulary"
    try:
        read_layout(folder)
    except KormoError as error:
        raise KormoError(
            where=str(folder), found=error.found, why=f"conversations cannot be written with it: {error.why}", do=fix
        ) from None
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise KormoError(
            where=str(folder), found="a tokenizer without chat_template.jinja", why="it cannot write turns", do=fix
        )
    return tokenizer


def _mixed(document: Document) -> KormoError:
    return KormoError(
        where=f"document {document.id}",
        found="a text among conversations",
        why="a source is of texts or of conversations: of a text every token is trained, of a conversation the answers",
        do="make two sources of it",
    )
