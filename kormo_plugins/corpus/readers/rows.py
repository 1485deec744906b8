"""Helpers for all row readers: a row becomes a document, or a reject that identifies the row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from kormo_plugins.corpus.readers.mapping.columns import Columns, own_id, to_document
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document, Reject


def rejected(place: str, reason: str, text: str = "", name: str = "") -> Rejected:
    """A reject for an input that never became a document.

    Args:
        place: file and line, or row number.
        name: the row's own id, if it has one; `place` is then kept in `meta`.
    """
    return Rejected(Document(id=name or place, text=text, meta={"place": place} if name else {}), reason)


def from_row(
    row: object, columns: Columns, place: str, raw: Callable[[], str], *, strange: bool = False
) -> Document | Rejected:
    """Converts a row to a document, or to a reject under the row's own id.

    Args:
        raw: returns the row as text, for the reject.
        strange: the row may contain repeated keys or lone surrogates.
    """
    try:
        document = to_document(row, columns, place, strange=strange)
        fault = document.reason if isinstance(document, Reject) else _unwritable(document) if strange else ""
    except RecursionError:
        fault, document = "nested too deeply", Reject("")
    if isinstance(document, Document) and not fault:
        return document
    name = own_id(row, columns) if isinstance(row, Mapping) else ""
    return rejected(place, fault, raw(), name)


def _unwritable(document: Document) -> str:
    """Why a document cannot be encoded as UTF-8, or ""."""
    try:
        json.dumps(
            [document.id, document.text, document.language, document.license, document.meta], ensure_ascii=False
        ).encode()
    except UnicodeEncodeError:
        return "lone surrogate"
    return ""
