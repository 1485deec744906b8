"""The corpus step `preference_pair`: converts columns of a preference dataset to a checked pair.

It is the first step of a source of pairs: invalid rows are rejected here with a reason, and later steps see the text of
prompt and both answers. A reader with `columns: {pair: …}` creates pairs itself, and refuses unmapped columns.
"""

from __future__ import annotations

from kormo_plugins.corpus.readers.mapping.pairs import PairColumns, as_pair
from kormo_plugins.documents.document import Document, Reject


class PairParams(PairColumns):
    """Names of the columns, and the keys of a turn that is a mapping."""


class PreferencePair:
    """Checks the columns of a pair and removes those that are not keys of a pair.

    The reader must keep the columns: `columns: {text: {conversation: chosen}, keep: [chosen, rejected]}`.
    """

    VERSION = 2

    def __init__(self, params: PairParams | None = None) -> None:
        self.params = params or PairParams()

    def __call__(self, document: Document) -> Document | Reject:
        """The document with its normalized pair, or the reason for the rejection."""
        meta = document.meta
        names = self.params.names(meta)
        if isinstance(names, Reject):
            return names
        document.meta = {key: value for key, value in meta.items() if key not in {*names.values(), self.params.tools}}
        pair = as_pair(document, meta, self.params)
        if isinstance(pair, Reject):
            document.meta = meta
        return pair
