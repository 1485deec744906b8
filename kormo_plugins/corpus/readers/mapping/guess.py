"""Guesses the column mapping of a file from some of its rows, as a proposal for the user.

No reader uses it: a recipe must declare its columns. `kormo data peek` shows the proposal and its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from kormo_plugins.corpus.readers.mapping.columns import Columns
from kormo_plugins.corpus.readers.mapping.mapped import OF_TURN, REASON, likely_values, unmapped
from kormo_plugins.documents.message import ROLES
from kormo_plugins.documents.shapes import turn_list

Row = Mapping[str, object]
TEXT = ("text", "content", "document", "body", "article", "passage", "contents", "raw_content", "sentence", "story")
PAIRS = (
    ("question", "answer"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("query", "response"),
    ("input", "output"),
    ("Q", "A"),
)
"""Common column names of questions and answers."""
IDS = ("id", "_id", "doc_id", "guid", "uuid", "idx", "index", "url")
LANGUAGES = ("language", "lang")
LICENSES = ("license", "licence")
TURN_KEYS = (("role", "content"), ("from", "value"), ("role", "text"), ("speaker", "text"), ("role", "value"))
"""Common keys of a turn: role and content."""
ROLE_NAMES = {
    "human": "user",
    "prompter": "user",
    "person": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "observation": "tool",
}


def flat(row: Row, prefix: str = "", depth: int = 2) -> Iterator[tuple[str, object]]:
    """The columns of a row and the values nested in them, by path; for lists, the first element."""
    for key, value in row.items():
        path = f"{prefix}{key}"
        yield path, value
        if isinstance(value, Mapping) and depth:
            yield from flat(value, f"{path}.", depth - 1)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping) and depth:
            yield from flat(value[0], f"{path}[0].", depth - 1)


def guess(rows: Sequence[Row]) -> dict[str, object]:
    """The likely keys of `columns`; empty if no column looks like text."""
    names: dict[str, list[object]] = {}
    for row in rows:
        for path, value in flat(row):
            names.setdefault(path, []).append(value)
    top = {name for row in rows for name in row}
    if {"chosen", "rejected"} <= top:
        proposal: dict[str, object] = {"pair": {}}
    else:
        proposal = _turns(rows, top) or _exchange(top) or _text(names)
    if not proposal:
        return {}
    unique = (name for name in IDS if name in names and len(set(map(str, names[name]))) == len(rows))
    for key, name in (("id", next(unique, None)), ("language", _of(LANGUAGES, top)), ("license", _of(LICENSES, top))):
        if name and (key != "id" or name != "id") and all(row.get(name) for row in rows):
            proposal[key] = name
    return _complete(proposal, rows)


def _of(names: Sequence[str], there: set[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _turns(rows: Sequence[Row], top: set[str]) -> dict[str, object]:
    """The column that holds lists of turns in every row, and the turn format."""
    for name in sorted(top):
        for role, content in TURN_KEYS:
            candidates = [turn_list(row.get(name), (role, content)) for row in rows]
            turns = [turn for candidate in candidates if isinstance(candidate, list) for turn in candidate]
            if not turns or not all(isinstance(candidate, list) for candidate in candidates):
                continue
            if all(isinstance(turn, Mapping) and role in turn for turn in turns):
                return {"messages": _turn_keys(name, role, content, turns)}
    return {}


def _turn_keys(name: str, role: str, content: str, turns: list[Any]) -> str | dict[str, object]:
    if role == "from" and all("role" in turn for turn in turns):  # a transcript, which uses the standard names
        role, content = "role", "content"
    role_names = sorted({str(turn.get(role)) for turn in turns} - set(ROLES))
    roles = {role_name: ROLE_NAMES[role_name.lower()] for role_name in role_names if role_name.lower() in ROLE_NAMES}
    keys = {"role": role, "content": content, "roles": roles}
    usual = {"role": "role", "content": "content", "roles": {}}
    changed = {key: value for key, value in keys.items() if value != usual[key]}
    return {"column": name, **changed} if changed else name


def _exchange(top: set[str]) -> dict[str, object]:
    for question, answer in PAIRS:
        if {question, answer} <= top:
            return {"messages": {"question": question, "answer": answer}}
    return {}


def _text(names: Mapping[str, Sequence[object]]) -> dict[str, object]:
    """The column with a common name, or the one with the longest texts; includes paths into columns."""
    lengths = {
        name: sum(len(value) for value in values if isinstance(value, str))
        for name, values in names.items()
        if all(value is None or isinstance(value, str) for value in values) and any(values)
    }
    usual = [name for known in TEXT for name in lengths if name == known or name.endswith(f".{known}")]
    best = usual[0] if usual else max(lengths, key=lambda name: lengths[name], default=None)
    return {} if best is None else {"text": best}


def _complete(found: dict[str, Any], rows: Sequence[Row]) -> dict[str, object]:
    """Adds a mapping for every further column of a conversation or a pair."""
    for _ in range(2):
        columns = Columns.model_validate(found)
        faults = {fault for row in rows if (fault := unmapped(row, columns))}
        names = sorted({name for fault in faults for name in fault.removeprefix(REASON).split(", ")})
        if not names:
            break
        found = likely_values(names, columns)
        kept = [name for name in found.pop("keep", []) if not name.startswith(OF_TURN)]
        if kept:
            found["ignore"] = [*found.get("ignore", []), *kept]
    return found


def kind(values: Sequence[object]) -> str:
    """The types of a column's values, as short text."""
    words = {bool: "boolean", int: "integer", float: "number", str: "text", list: "list", dict: "object"}
    seen = dict.fromkeys(words.get(type(value), type(value).__name__) for value in values if value is not None)
    return " or ".join(seen) or "null"


def only_list(row: Row) -> str | None:
    """The key of the only list of objects in an object, if there is exactly one: it may hold the rows."""
    lists = [key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], Mapping)]
    return lists[0] if len(lists) == 1 else None


def repeats(texts: Sequence[str]) -> bool:
    """Whether each line looks like a separate text: most end like a sentence and none is blank."""
    ends = sum(line.rstrip().endswith((".", "!", "?", "…", "다", "요")) for line in texts)
    return len(texts) > 2 and 2 * ends > len(texts) and not any(not a.strip() for a, _ in pairwise(texts))
