"""The corpus step `preference_pair`: kept columns of a preference dataset become a checked pair.

It comes first among the steps of a source of pairs: what is no pair leaves here with its reason, and the steps after
it see the text of prompt and both answers. A reader told `columns: {pair: …}` makes pairs by itself, and refuses
columns that nothing maps.
"""

from __future__ import annotations

from kormo_plugins.corpus.readers.mapping.pairs import PairColumns, as_pair
from kormo_plugins.documents.document import Document, Reject


class PairParams(PairColumns):
    """Which kept column is what, and how a turn is written where it is a mapping."""


class PreferencePair:
    """Checks the kept columns of a pair; those of them that are not a pair's own keys leave the document.

    The reader is told to keep the columns: `columns: {text: {conversation: chosen}, keep: [chosen, rejected]}`.
    """

    VERSION = 2

    def __init__(self, params: PairParams | None = None) -> None:
        self.params = params or PairParams()

    def __call__(self, document: Document) -> Document | Reject:
        """The document with its pair in one form, or the reason why it holds none."""
        meta = document.meta
        names = self.params.names(meta)
        if isinstance(names, Reject):
            return names
        document.meta = {key: value for key, value in meta.items() if key not in {*names.values(), self.params.tools}}
        pair = as_pair(document, meta, self.params)
        if isinstance(pair, Reject):
            document.meta = meta
        return pair
