"""Text that does not identify a document: licence headers, and menus at its beginning and end.

It is excluded from signatures only: two source files are not duplicates because both start with the Apache licence, nor
are two pages because they share a menu. No text is changed. Patterns and bounds are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from kormo_plugins.corpus.scan.text_scan import compiled, scan_of

if TYPE_CHECKING:
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import Parts

_PHRASES = (
    "licensed under|license under|apache license|mit license|bsd license|general public license|permission is hereby "
    "granted|redistribution and use in source|spdx-license|all rights reserved|copyright (c)|copyright ©|copyright ⓒ|"
    "copyright 1|copyright 2|without warrant|software is provided|creative commons|무단 전재|무단전재|저작권자|"
    "이용허락|이용 허락|라이선스에 따라"
)
_NOTICES = tuple(_PHRASES.split("|"))
"""Plain lower-case strings: searching for one takes a hundredth of the time of a pattern."""
_BLANK = re.compile(r"\n[ \t#/*;%>-]*(?=\n)")
_SENTENCE = re.compile(r"[.!?…。;{}()=]|[다요죠까네오]$")
LONGEST_ENTRY = 40
"""Maximum characters of a menu line."""
EDGE = 3000
"""Characters at the beginning and end of a long document that are searched for notices."""
LONGEST_NOTICE = 2500
"""Maximum characters of a notice paragraph."""
SHORTEST_MENU = 6
"""Minimum number of consecutive lines of at most `MENU_WORDS` words that form a menu."""
MENU_WORDS = 3
FEWEST_LEFT = 0.25
"""Minimum share of the words that must remain for the removed lines to count as menus."""


def without_boilerplate(text: str, fewest: int = 1) -> str:
    """`text` without licence notices and menus, each removed only if `fewest` words remain. Menus must also leave
    `FEWEST_LEFT` of all words, because songs and lists consist of short lines too."""
    for part, least in ((_without_notices, 0.0), (_without_menus, FEWEST_LEFT)):
        bare = part(text)
        if len(bare) < len(text):
            enough = len(bare.split(maxsplit=fewest)) >= fewest  # counts up to that many words only
            if enough and (not least or len(bare.split()) >= least * len(text.split())):
                text = bare
    return text


def _without_notices(text: str) -> str:
    """Removes notices at the beginning and end; the middle of a long document is not searched."""
    if len(text) <= 4 * EDGE:
        return _less_notices(text) if may_hold_notice(text, 0, len(text)) else text
    head, foot = text.find("\n", EDGE), text.rfind("\n", 0, -EDGE)
    if not 0 <= head < foot:  # a single line
        return text
    if not may_hold_notice(text, 0, head) and not may_hold_notice(text, foot, len(text)):
        return text
    return _less_notices(text[:head]) + text[head:foot] + _less_notices(text[foot:])


@lru_cache(maxsize=1)
def _automaton() -> Parts:
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import automaton

    return automaton({1: _PHRASES}, 0).parts


def may_hold_notice(text: str, start: int, end: int) -> bool:
    """Whether a notice phrase may occur in that range of `text`; False is certain."""
    if not compiled(text):
        return True
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import holds

    return bool(holds(scan_of(text).codes, start, end, _automaton()))


def _less_notices(text: str) -> str:
    lowered = text.lower()
    phrases = [phrase for phrase in _NOTICES if phrase in lowered]
    if not phrases or len(lowered) != len(text):  # a letter whose lower case has two characters would shift offsets
        return text
    kept, at = [], 0
    for blank in [*_BLANK.finditer(text), None]:
        end = blank.start() if blank else len(text)
        if end - at > LONGEST_NOTICE or not any(lowered.find(phrase, at, end) >= 0 for phrase in phrases):
            kept.append(text[at:end])
        at = blank.end() if blank else end
    return "\n".join(kept)


def _without_menus(text: str) -> str:
    if not _entries(_lines(text)) and not _entries(_lines_from_the_last(text)):
        return text
    lines = text.split("\n")
    start, end = body(lines)
    return text if end - start == len(lines) else "\n".join(lines[start:end])


def body(lines: Sequence[str]) -> tuple[int, int]:
    """Start and end of the lines between the menus at both ends; all lines if nothing would remain.

    A menu is a run of at least `SHORTEST_MENU` short lines without a sentence, not counting empty lines. In the middle
    of a document such a run may be verse or a list, so it is kept.
    """
    head, foot = _entries(lines), _entries(lines[::-1])
    return (0, len(lines)) if head + foot >= len(lines) else (head, len(lines) - foot)


def _lines(text: str) -> Iterator[str]:
    """`text.split("\n")`, lazily: for most texts the first lines are enough."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _lines_from_the_last(text: str) -> Iterator[str]:
    end = len(text)
    while (start := text.rfind("\n", 0, end)) >= 0:
        yield text[start + 1 : end]
        end = start
    yield text[:end]


def _entries(lines: Iterable[str]) -> int:
    """Number of leading lines that form a menu."""
    entries = end = 0
    for index, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            continue
        if len(bare) > LONGEST_ENTRY or len(bare.split()) > MENU_WORDS or _SENTENCE.search(bare):
            break
        entries, end = entries + 1, index + 1
    return end if entries >= SHORTEST_MENU else 0
