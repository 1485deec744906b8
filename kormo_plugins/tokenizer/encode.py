"""Encoding that refuses text it cannot represent.

A byte-level BPE whose alphabet lacks a byte (the published tokenizer has 241 of 256) silently drops that byte, and a
lone surrogate has no UTF-8 encoding. Both are errors here: a text is encoded completely or refused.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def utf8(text: str, where: str) -> bytes:
    """The UTF-8 of a text.

    Raises:
        KormoError: it has a lone surrogate, which cannot be encoded.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise KormoError(
            where=where,
            found=f"the lone surrogate U+{ord(text[error.start]):04X} at character {error.start:,}",
            why="half of a surrogate pair cannot be encoded in UTF-8",
            do="repair the source (it was cut or decoded wrongly), or reject the document",
        ) from None


def check_encodable(text: str, missing_bytes: bytes, where: str = "text") -> None:
    """Refuses a text that a tokenizer could not encode completely.

    Args:
        missing_bytes: `read_layout(folder).missing_bytes`; empty for a tokenizer with all 256.
        where: names the document in the error message.
    Raises:
        KormoError: a character has a byte without a token, or is a lone surrogate.
    """
    utf8(text, where)
    if not missing_bytes:
        return
    for form in (text, unicodedata.normalize("NFC", text)):  # published tokenizers may or may not normalize
        data = form.encode()
        if len(data.translate(None, missing_bytes)) == len(data):
            continue
        character = next(c for c in form if set(c.encode()) & set(missing_bytes))
        lost = min(set(character.encode()) & set(missing_bytes))
        raise KormoError(
            where=where,
            found=f"the character {character!r} (U+{ord(character):04X})",
            why=f"the tokenizer has no token for its byte 0x{lost:02X}, and would silently drop it",
            do="remove the character, or use a tokenizer with all 256 bytes in its alphabet",
        )


def encode_strict(tokenizer: Tokenizer, text: str, missing_bytes: bytes, where: str = "text") -> list[int]:
    """The ids of a document's text, without `<|BOS|>`.

    Text never becomes a control token: `<|EOS|>` in a document is seven characters. Newline runs and the tags of
    thought and tools are encoded as their tokens.

    Raises:
        KormoError: see `check_encodable`.
    """
    check_encodable(text, missing_bytes, where)
    before: Any = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)
    finally:
        tokenizer.encode_special_tokens = before
