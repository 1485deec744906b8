"""Normalizes the tool call formats that datasets use.

[{"type": "function", "function": {"name": "add", "arguments": "{\"a\": 2}"}}]     OpenAI's; arguments as JSON text
[{"name": "add", "arguments": {"a": 2}}]                                           without the wrapping
<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>                  in the content (Hermes, Qwen)
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping

from kormo_plugins.documents.document import Reject
from kormo_plugins.documents.message import Function, JsonValue, ToolCall

CALL = re.compile(r"\s*<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
MAX_DEPTH = 100
"""Maximum nesting depth of arguments and signatures, which are serialized and parsed again."""
RESPONSE = re.compile(r"\s*<tool_response>\n?(.*?)\n?</tool_response>\s*", re.DOTALL)


def parsed(text: str) -> object:
    """Parses a value written as JSON or as a Python literal.

    Raises:
        ValueError: it is neither, or holds a number that JSON cannot represent.
    """
    try:
        value: object = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        try:
            value = json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))  # tuples become lists
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise ValueError("neither JSON nor a Python literal") from None
    return value


def _refused(name: str) -> float:
    raise ValueError(name)


def tool_calls(value: object) -> list[ToolCall] | Reject:
    """The calls of a turn, in order.

    Args:
        value: a list of calls, one call, or the JSON text of either.
    """
    if isinstance(value, str):
        try:
            value = parsed(value)
        except ValueError:
            return Reject("tool calls that are no JSON")
    calls: list[ToolCall] = []
    for item in value if isinstance(value, list | tuple) else [value]:
        call = _call(item)
        if isinstance(call, Reject):
            return call
        calls.append(call)
    return calls


def _call(item: object) -> ToolCall | Reject:
    if isinstance(item, Mapping) and isinstance(item.get("function"), Mapping):
        item = item["function"]
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"]:
        return Reject("a tool call without a name")
    arguments = item.get("arguments", item.get("parameters"))
    if isinstance(arguments, str):
        try:
            arguments = parsed(arguments) if arguments.strip() else {}
        except ValueError:
            arguments = None
    elif arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        return Reject("a tool call whose arguments are no object")
    if _deeper(arguments, MAX_DEPTH):
        return Reject("a tool call whose arguments are nested too deeply")
    return {"type": "function", "function": Function(name=item["name"], arguments=dict(arguments))}


def _deeper(value: object, levels: int) -> bool:
    """Whether a value is nested more than `levels` deep."""
    inside: list[object] = [value]
    while inside and levels >= 0:
        levels -= 1
        layers = [item for item in inside if isinstance(item, Mapping | list)]
        inside = [item for layer in layers for item in (layer.values() if isinstance(layer, Mapping) else layer)]
    return bool(inside)


def calls_in_text(content: str) -> tuple[str, list[ToolCall]] | Reject:
    """Splits off the calls at the end of a turn's content.

    Returns:
        The remaining content and the calls; or a reject if a call is malformed or is followed by text.
    """
    first = CALL.search(content)
    if first is None:
        return content, []
    calls: list[ToolCall] = []
    place = first.start()
    while (match := CALL.match(content, place)) is not None:
        try:
            parsed_calls = tool_calls(parsed(match[1]))
        except ValueError:
            return Reject("a tool call that is no JSON")
        if isinstance(parsed_calls, Reject):
            return parsed_calls
        calls += parsed_calls
        place = match.end()
    if content[place:].strip():
        return Reject("text behind a tool call")
    return content[: first.start()], calls


def responses(content: str) -> list[str]:
    """The results in a tool turn's content: the text between each pair of marks, or the whole content."""
    matches = list(RESPONSE.finditer(content))
    whole = bool(matches) and "".join(match[0] for match in matches) == content
    return [match[1] for match in matches] if whole else [content]


def signatures(value: object) -> list[dict[str, JsonValue]] | Reject:
    """The signatures of the functions that may be called; an empty list if there are none.

    Args:
        value: a list of objects, one object, the JSON text of either, or an empty value.
    """
    if isinstance(value, str):
        try:
            value = parsed(value) if value.strip() else []
        except ValueError:
            return Reject("tools that are no JSON")
    listed = [value] if isinstance(value, Mapping) else value
    if listed is None:
        return []
    if not isinstance(listed, list | tuple) or not all(isinstance(tool, Mapping) for tool in listed):
        return Reject("tools that are no list of objects")
    if _deeper(list(listed), MAX_DEPTH):
        return Reject("tools that are nested too deeply")
    return [dict(tool) for tool in listed]
