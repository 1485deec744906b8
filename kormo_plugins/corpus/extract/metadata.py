"""Title and date of a page, from its head element."""

from __future__ import annotations

import html as entities
import re
from datetime import date

_TITLE = re.compile(r"<title[^>]{0,200}>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)
_META = re.compile(r"<meta\s[^>]{0,1000}>", re.IGNORECASE)
_KEY = re.compile(r"\b(?:property|name|itemprop)\s*=\s*[\"']?([\w:.-]+)", re.IGNORECASE)
_CONTENT = re.compile(r"\bcontent\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_JSON_DATE = re.compile(r"\"datePublished\"\s*:\s*\"([^\"]{8,40})\"")
_TIME = re.compile(r"<time[^>]{0,200}\bdatetime\s*=\s*[\"']([^\"']{8,40})", re.IGNORECASE)
_DAY = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})")
_DATES = (
    "article:published_time",
    "datepublished",
    "og:published_time",
    "date",
    "dc.date",
    "dc.date.issued",
    "pubdate",
)
HEAD = 200_000
"""Characters of the page that are searched."""


def title_of(html: str) -> str:
    """The page's title: `og:title`, which omits the site's name, else `<title>`; "" if there is none."""
    title = _metas(html).get("og:title", "")
    if not title and (match := _TITLE.search(html[:HEAD])):
        title = entities.unescape(match[1])
    return " ".join(title.split())


def date_of(html: str) -> str:
    """The publication date that the page declares, as `2023-05-01`; "" if there is none."""
    metas = _metas(html)
    dates = [metas[key] for key in _DATES if key in metas]
    dates += [match[1] for pattern in (_JSON_DATE, _TIME) if (match := pattern.search(html[:HEAD]))]
    for value in dates:
        if match := _DAY.match(value.strip()):
            try:
                return date(*map(int, match.groups())).isoformat()
            except ValueError:
                continue
    return ""


def _metas(html: str) -> dict[str, str]:
    metas: dict[str, str] = {}
    for tag in _META.findall(html[:HEAD]):
        key, content = _KEY.search(tag), _CONTENT.search(tag)
        if key and content:
            metas.setdefault(key[1].lower(), entities.unescape(content[1] or content[2] or ""))
    return metas
