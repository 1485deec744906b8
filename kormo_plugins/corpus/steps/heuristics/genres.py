"""Forms of text that repeat themselves by nature: songs and poems, chats, subtitles.

Measures made for prose take their form for a fault: a refrain for duplicate lines, the time before every message for
the most frequent n-gram. Here is what tells such a form, and what is left of it to be measured. All of it is ours, set
on documents of each kind that were written for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_TIME = r"(?:오전|오후|AM|PM)?\s?\d{1,2}:\d{2}(?::\d{2})?(?:\s?(?:AM|PM))?"
_DAY = r"\d{4}(?:년|[./-])\s?\d{1,2}(?:월|[./-])\s?\d{1,2}(?:일|\.)?"
_STAMP = re.compile(
    r"^(?:"
    r"\d{1,5}[ \t]*(?=\n[\d:.,]+ ?-->)"  # number of a subtitle
    r"|(?:\d{1,2}:)?\d{1,2}:\d{2}[.,]\d{3} ?--> ?[^\n]*"  # its time
    rf"|\[[^\]\n]{{1,24}}\] ?\[{_TIME}\] ?"  # KakaoTalk, exported on a computer
    rf"|{_DAY} ?,? ?{_TIME}, [^:\n]{{1,24}} : "  # and on a phone
    rf"|\[?{_TIME}\]? ?<[^>\n]{{1,24}}> ?"  # IRC
    rf"|-{{3,}} ?{_DAY}[^\n]{{0,12}}-{{3,}}"  # the day between messages
    r"|WEBVTT[^\n]*"
    r"|<v [^>\n]{1,24}>"
    r")",
    re.MULTILINE,
)
_SPEAKER = re.compile(r"^([^\s:：\n]{1,12}) ?[:：] ?(?=\S)", re.MULTILINE)
LONGEST_VERSE = 40
"""Characters of a line of verse."""
FEWEST_VERSES = 8
SHARE_DISTINCT = 0.4
"""Of the lines of a song with refrains; a text whose every line comes three times has a third."""


def without_stamps(text: str) -> str:
    """`text` without the times, numbers and names before the lines of a chat or of subtitles."""
    if ":" not in text and "：" not in text:
        return text
    bare = _STAMP.sub("", text)
    speakers = Counter(match[1] for match in _SPEAKER.finditer(bare))
    # A dialogue has few speakers who speak often; a glossary has as many heads as lines.
    if sum(speakers.values()) >= 4 and 2 * len(speakers) <= sum(speakers.values()):
        bare = _SPEAKER.sub("", bare)
    return bare


def is_verse(lines: Sequence[str]) -> bool:
    """Whether these are the lines of a song, a poem or a chat: short, most of them different, none thrice in a row."""
    if len(lines) < FEWEST_VERSES or sum(map(len, lines)) > LONGEST_VERSE * len(lines):
        return False
    if max(map(len, lines)) > 4 * LONGEST_VERSE or len(set(lines)) < SHARE_DISTINCT * len(lines):
        return False
    return not any(a == b == c for a, b, c in zip(lines, lines[1:], lines[2:], strict=False))
