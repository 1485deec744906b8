"""What says nothing about which document a document is: licence headers, and menus in runs of short lines.

Only a signature leaves it out: two source files are no copies because their first 200 words are Apache's, two pages
not because their menus are the same. No text is changed. Patterns and bounds are ours.
"""

from __future__ import annotations

import re

_PHRASES = (
    "licensed under|license under|apache license|mit license|bsd license|general public license|permission is hereby "
    "granted|redistribution and use in source|spdx-license|all rights reserved|copyright (c)|copyright ©|copyright ⓒ|"
    "copyright 1|copyright 2|without warrant|software is provided|creative commons|무단 전재|무단전재|저작권자|"
    "이용허락|이용 허락|라이선스에 따라"
)
_NOTICES = tuple(_PHRASES.split("|"))
"""Plain strings, in lower case: to look for one takes a hundredth of what a pattern takes."""
_BLANK = re.compile(r"\n[ \t#/*;%>-]*(?=\n)")
_SHORT_RUN = re.compile(b"\x01{6,}")
_SENTENCE = re.compile(r"[.!?…。;{}()=]|[다요죠까네]$")
LONGEST_ENTRY = 40
"""Characters of a line of a menu."""
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
            left = len(bare.split())
            if left >= fewest and left >= least * len(text.split()):
                text = bare
    return text


def _without_notices(text: str) -> str:
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
    lines = text.split("\n")
    short = bytes(len(line) <= LONGEST_ENTRY for line in lines)  # a cheap look first
    kept, at = [], 0
    for run in _SHORT_RUN.finditer(short):
        kept += lines[at : run.start()]
        kept += _not_entries(lines[run.start() : run.end()])
        at = run.end()
    return "\n".join([*kept, *lines[at:]]) if at else text


def _not_entries(lines: list[str]) -> list[str]:
    """Short lines less the runs of at least `SHORTEST_MENU` entries of a menu, empty lines among them apart."""
    kept: list[str] = []
    run: list[str] = []
    for line in [*lines, "."]:
        bare = line.strip()
        if bare.count(" ") < MENU_WORDS and not _SENTENCE.search(bare):
            run.append(line)
            continue
        if sum(bool(entry.strip()) for entry in run) < SHORTEST_MENU:
            kept += run
        run = []
        kept.append(line)
    return kept[:-1]
