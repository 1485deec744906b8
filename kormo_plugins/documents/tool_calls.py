"""Calls of tools in the forms in which datasets write them, brought into one.

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
"""Lists and mappings within one another that arguments and signatures may have: they are written and read again."""
RESPONSE = re.compile(r"\s*<tool_response>\n?(.*?)\n?</tool_response>\s*", re.DOTALL)


def parsed(text: str) -> object:
    """The value that a text spells, in JSON or as Python prints it.

    Raises:
        ValueError: it is neither, or holds a number that JSON has no name for.
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
    """Whether a value has more than so many lists and mappings within one another."""
    inside: list[object] = [value]
    while inside and levels >= 0:
        levels -= 1
        layers = [item for item in inside if isinstance(item, Mapping | list)]
        inside = [item for layer in layers for item in (layer.values() if isinstance(layer, Mapping) else layer)]
    return bool(inside)


def calls_in_text(content: str) -> tuple[str, list[ToolCall]] | Reject:
    """Content without the calls that it ends with, and these.

    Returns:
        both; or the reason why what stands between the marks is no call, or stands in no order that the template has.
    """
    first = CALL.search(content)
    if first is None:
        return content, []
    calls: list[ToolCall] = []
    place = first.start()
    while (match := CALL.match(content, place)) is not None:
        try:
            found = tool_calls(parsed(match[1]))
        except ValueError:
            return Reject("a tool call that is no JSON")
        if isinstance(found, Reject):
            return found
        calls += found
        place = match.end()
    if content[place:].strip():
        return Reject("text behind a tool call")
    return content[: first.start()], calls


def responses(content: str) -> list[str]:
    """The results in the content of a tool's turn: what stands between each pair of marks, or all of it."""
    matches = list(RESPONSE.finditer(content))
    whole = bool(matches) and "".join(match[0] for match in matches) == content
    return [match[1] for match in matches] if whole else [content]


def signatures(value: object) -> list[dict[str, JsonValue]] | Reject:
    """The functions that may be called, as the objects that describe them; an empty list where there is none.

    Args:
        value: a list of objects or one, JSON text of either, or nothing.
    """
    if isinstance(value, str):
        try:
            value = parsed(value) if value.strip() else []
        except ValueError:
            return Reject("tools that are no JSON")
    found = [value] if isinstance(value, Mapping) else value
    if found is None:
        return []
    if not isinstance(found, list | tuple) or not all(isinstance(tool, Mapping) for tool in found):
        return Reject("tools that are no list of objects")
    if _deeper(list(found), MAX_DEPTH):
        return Reject("tools that are nested too deeply")
    return [dict(tool) for tool in found]
