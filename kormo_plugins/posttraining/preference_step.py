"""The corpus step `preference_pair`: columns of a preference dataset become a checked pair.

It comes first among the steps of a source of pairs: what is no pair leaves here with its reason, and the steps after
it see the text of prompt and both answers.
"""

from __future__ import annotations

from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.preference_pair import checked_pair, with_pair


class PreferencePair:
    """Checks `meta["chosen"]`, `meta["rejected"]` and, where there is one, `meta["prompt"]`.

    The reader is told to keep these columns: `columns: {text: {conversation: chosen}, keep: [chosen, rejected]}`.
    """

    VERSION = 1

    def __init__(self, params: None = None) -> None:
        pass

    def __call__(self, document: Document) -> Document | Reject:
        """The document with its pair in one form, or the reason why it holds none."""
        pair = checked_pair(document.meta)
        return pair if isinstance(pair, Reject) else with_pair(document, pair)
