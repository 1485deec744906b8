"""The layouts in which a value can hold a list of turns, and their conversion to that list.

[{"role": …, "content": …}, …]                    used as it is; each turn may be JSON text
"[{\"role\": …}, …]"                              JSON text of any of these
{"role": ["user", …], "content": ["…", …]}        a struct of lists, as `datasets` writes a sequence of structs
[["question", "answer"], …]                       exchanges (the `history` of Alpaca sets)
"\n\nHuman: …\n\nAssistant: …"                    a transcript (HH-RLHF)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kormo_plugins.documents.document import Reject

SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):[^\S\n]*")
ROLE_OF = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class TurnForm:
    """How a dataset writes a turn.

    Args:
        keys: names of a turn's role and content fields.
        renamed: a turn converted to the names that `turn.py` knows.
    """

    keys: tuple[str, str] = ("role", "content")
    renamed: Callable[[object], object] = lambda turn: turn


PLAIN = TurnForm()


def turn_list(value: object, keys: Sequence[str] = ("role", "content")) -> list[object] | Reject:
    """The turns in a value, not validated yet.

    Args:
        keys: names of a turn's role and content fields in this dataset; turns built here from exchanges and
            transcripts use `role` and `content`.
    Returns:
        The turns, or the reason why the value holds no list of turns.
    """
    if isinstance(value, str):
        value = json_turns(value, keys) or transcript(value)
    if isinstance(value, Mapping):
        value = _struct_of_lists(value) if isinstance(value.get(keys[1]), list | tuple) else [value]
    if not isinstance(value, list | tuple) or not value:
        return Reject("no list of turns")
    if all(_is_exchange(item) for item in value):
        return exchanges(value)
    return [_from_json(item) for item in value]


def json_turns(text: str, keys: Sequence[str] = ("role", "content")) -> object:
    """The turns encoded as JSON text; None if the text is anything else."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    value = _from_json(text)
    first = value[0] if isinstance(value, list) and value else value
    first = _from_json(first)
    is_turn = isinstance(first, Mapping) and all(key in first for key in keys)
    return value if is_turn or (isinstance(value, list) and all(map(_is_exchange, value))) else None


def transcript(text: str) -> list[object] | None:
    """The turns of a text whose paragraphs begin with `Human:` and `Assistant:`; None for any other text."""
    parts = SPEAKER.split(text.strip("\n"))
    if len(parts) < 3 or parts[0]:
        return None
    speakers, contents = parts[1::2], parts[2::2]
    return [{"role": ROLE_OF[speaker], "content": content} for speaker, content in zip(speakers, contents, strict=True)]


def exchanges(pairs: Sequence[Sequence[object]]) -> list[object]:
    """Question and answer pairs as turns."""
    roles = ("user", "assistant")
    return [{"role": role, "content": content} for pair in pairs for role, content in zip(roles, pair, strict=True)]


def _is_exchange(item: object) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(text, str) for text in item)


def _from_json(item: object) -> object:
    if not isinstance(item, str):
        return item
    try:
        value: object = json.loads(item)
    except (ValueError, RecursionError):
        return item
    return value


def _struct_of_lists(value: Mapping[str, object]) -> object:
    columns = {key: list(items) for key, items in value.items() if isinstance(items, list | tuple)}
    lengths = {len(items) for items in columns.values()}
    if len(lengths) != 1:
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
