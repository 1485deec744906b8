"""What says nothing about which document a document is: licence headers, and menus in runs of short lines.

Only a signature leaves it out: two source files are no copies because their first 200 words are Apache's, two pages
not because their menus are the same. No text is changed. Patterns and bounds are ours.
"""

from __future__ import annotations

import re

_LICENCE = re.compile(
    r"licensed? under|apache license|mit license|bsd license|gnu (?:lesser |affero )?general public|permission is "
    r"hereby granted|redistribution and use in source|spdx-license|all rights reserved|copyright (?:\(c\)|©|ⓒ|\d{4})|"
    r"without warrant(?:y|ies)|the software is provided|creative commons|무단 ?전재|저작권자 ?(?:ⓒ|©|\(c\))|"
    r"이용 ?허락|라이선스에 따라",
    re.IGNORECASE,
)
_KEYS = (
    "licen", "permission is", "redistribution", "all rights reserved", "copyright", "warrant", "software is provided",
    "creative commons", "general public", "무단", "저작권자", "이용 허락", "이용허락", "라이선스",
)  # fmt: skip
"""Every notice holds one of these: to look for plain strings is a hundred times faster than for the patterns."""
_BLANK = re.compile(r"\n[ \t#/*;%>-]*(?=\n)")
_SENTENCE = re.compile(r"[.!?…。;{}()=]|[다요죠까네]$")
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
    if not any(key in lowered for key in _KEYS) or not _LICENCE.search(text):
        return text
    found = _BLANK.split(text)
    return "\n".join(part for part in found if len(part) > LONGEST_NOTICE or not _LICENCE.search(part))


def _without_menus(text: str) -> str:
    if text.count("\n") < SHORTEST_MENU:
        return text
    kept: list[str] = []
    run: list[str] = []
    for line in [*text.split("\n"), "."]:
        bare = line.strip()
        if len(bare) <= 40 and len(bare.split()) <= MENU_WORDS and not _SENTENCE.search(bare):
            run.append(line)
            continue
        if sum(bool(entry.strip()) for entry in run) < SHORTEST_MENU:
            kept += run
        run = []
        kept.append(line)
    return "\n".join(kept[:-1])
