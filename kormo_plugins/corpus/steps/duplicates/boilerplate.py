"""What says nothing about which document a document is: licence headers, and menus at its head and foot.

Only a signature leaves it out: two source files are no copies because their first 200 words are Apache's, two pages
not because their menus are the same. No text is changed. Patterns and bounds are ours.
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
"""Plain strings, in lower case: to look for one takes a hundredth of what a pattern takes."""
_BLANK = re.compile(r"\n[ \t#/*;%>-]*(?=\n)")
_SENTENCE = re.compile(r"[.!?…。;{}()=]|[다요죠까네오]$")
LONGEST_ENTRY = 40
"""Characters of a line of a menu."""
EDGE = 3000
"""Characters at head and foot of a long document in which notices are looked for."""
LONGEST_NOTICE = 2500
"""Characters of a paragraph that can be a notice."""
SHORTEST_MENU = 6
"""Lines of at most `MENU_WORDS` words, one after the other, that are a menu."""
MENU_WORDS = 3
FEWEST_LEFT = 0.25
"""A smaller share of the words is not the text behind a menu."""


def without_boilerplate(text: str, fewest: int = 1) -> str:
    """`text` less licence notices and menus, of each only as much as leaves `fewest` words; menus, for songs and lists
    are short lines too, only if they leave `FEWEST_LEFT` of all words."""
    for part, least in ((_without_notices, 0.0), (_without_menus, FEWEST_LEFT)):
        bare = part(text)
        if len(bare) < len(text):
            enough = len(bare.split(maxsplit=fewest)) >= fewest  # that many words are counted, and no more
            if enough and (not least or len(bare.split()) >= least * len(text.split())):
                text = bare
    return text


def _without_notices(text: str) -> str:
    """Less the notices at head and foot; what stands in the middle of a long document is looked at by nobody."""
    if len(text) <= 4 * EDGE:
        return _less_notices(text) if may_hold_notice(text, 0, len(text)) else text
    head, foot = text.find("\n", EDGE), text.rfind("\n", 0, -EDGE)
    if not 0 <= head < foot:  # one line
        return text
    if not may_hold_notice(text, 0, head) and not may_hold_notice(text, foot, len(text)):
        return text
    return _less_notices(text[:head]) + text[head:foot] + _less_notices(text[foot:])


@lru_cache(maxsize=1)
def _automaton() -> Parts:
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import automaton

    return automaton({1: _PHRASES}, 0).parts


def may_hold_notice(text: str, start: int, end: int) -> bool:
    """Whether a phrase of a notice may be in that piece of `text`; where not, it surely is not."""
    if not compiled(text):
        return True
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import holds

    return bool(holds(scan_of(text).codes, start, end, _automaton()))


def _less_notices(text: str) -> str:
    lowered = text.lower()
    phrases = [phrase for phrase in _NOTICES if phrase in lowered]
    if not phrases or len(lowered) != len(text):  # a letter whose lower case is two would move what follows
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
    """Where the lines between the menus at head and foot begin and end; all of them where nothing would be left.

    A menu is a run of at least `SHORTEST_MENU` short lines without a sentence, empty lines among them apart. In the
    middle of a document such a run may be verse or a list of it.
    """
    head, foot = _entries(lines), _entries(lines[::-1])
    return (0, len(lines)) if head + foot >= len(lines) else (head, len(lines) - foot)


def _lines(text: str) -> Iterator[str]:
    """`text.split("\n")`, one after the other: of most texts the first lines are enough."""
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
    """How many lines from the first on are a menu."""
    entries = end = 0
    for index, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            continue
        if len(bare) > LONGEST_ENTRY or len(bare.split()) > MENU_WORDS or _SENTENCE.search(bare):
            break
        entries, end = entries + 1, index + 1
    return end if entries >= SHORTEST_MENU else 0
