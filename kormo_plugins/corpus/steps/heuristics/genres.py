"""Text genres that are repetitive by nature: songs and poems, chats, subtitles.

Repetition measures made for prose misjudge their form: a refrain counts as duplicate lines, the timestamp before every
message as the most frequent n-gram. This module detects such genres and returns the text to be measured. The rules are
ours, tuned on documents of each kind written for that purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_TIME = r"(?:오전|오후|AM|PM)?\s?\d{1,2}:\d{2}(?::\d{2})?(?:\s?(?:AM|PM))?"
_DAY = r"\d{4}(?:년|[./-])\s?\d{1,2}(?:월|[./-])\s?\d{1,2}(?:일|\.)?"
_STAMP = (
    r"(?m)"
    r"^(?:"
    r"\d{1,5}[ \t]*(?=\n[\d:.,]+ ?-->)"  # subtitle number
    r"|(?:\d{1,2}:)?\d{1,2}:\d{2}[.,]\d{3} ?--> ?[^\n]*"  # subtitle time
    rf"|\[[^\]\n]{{1,24}}\] ?\[{_TIME}\] ?"  # KakaoTalk, desktop export
    rf"|{_DAY} ?,? ?{_TIME}, [^:\n]{{1,24}} : "  # KakaoTalk, mobile export
    rf"|\[?{_TIME}\]? ?<[^>\n]{{1,24}}> ?"  # IRC
    rf"|-{{3,}} ?{_DAY}[^\n]{{0,12}}-{{3,}}"  # date separator between messages
    r"|WEBVTT[^\n]*"
    r"|<v [^>\n]{1,24}>"
    r")"
)
_SPEAKER = r"(?m)^([^\s:：\n]{1,12}) ?[:：] ?(?=\S)"
"""Both as text: `re` compiles them at the first document that needs them, and keeps them."""
LONGEST_VERSE = 40
"""Maximum characters of a line of verse."""
FEWEST_VERSES = 8
SHARE_DISTINCT = 0.4
"""Minimum share of distinct lines; songs with refrains have more, a text with every line repeated three times a
third."""


def without_stamps(text: str) -> str:
    """`text` without the timestamps, numbers and names before the lines of a chat or of subtitles."""
    if ":" not in text and "：" not in text:
        return text
    bare = re.sub(_STAMP, "", text)
    speakers = Counter(match[1] for match in re.finditer(_SPEAKER, bare))
    # A dialogue has few speakers with many lines each; a glossary has as many headwords as lines.
    if sum(speakers.values()) >= 4 and 2 * len(speakers) <= sum(speakers.values()):
        bare = re.sub(_SPEAKER, "", bare)
    return bare


def is_verse(lines: Sequence[str]) -> bool:
    """Whether the lines are a song, a poem or a chat: short, mostly distinct, none three times in a row."""
    if len(lines) < FEWEST_VERSES or sum(map(len, lines)) > LONGEST_VERSE * len(lines):
        return False
    if max(map(len, lines)) > 4 * LONGEST_VERSE or len(set(lines)) < SHARE_DISTINCT * len(lines):
        return False
    return not any(a == b == c for a, b, c in zip(lines, lines[1:], lines[2:], strict=False))
