"""Whether a page says that it must not be used for training: `noai` in robots rules, and the TDM reservation protocol.

The rules are `X-Robots-Tag` headers and `<meta name="robots">` (also for one named crawler); `noai` and `noimageai` are
DeviantArt's, widely taken up; `tdm-reservation` is the W3C community group's TDMRep (header, or meta of that name).
What robots.txt allowed was the crawler's business: archives hold what it was allowed to fetch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TOKENS = ("noai", "tdm-reservation")
_META = re.compile(r"<meta\s[^>]{0,400}>", re.IGNORECASE)
_NAME = re.compile(r"\bname\s*=\s*[\"']?([\w:-]+)", re.IGNORECASE)
_CONTENT = re.compile(r"\bcontent\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
HEAD = 100_000
"""Characters of a page in which its head is looked for."""


def opted_out(headers: Mapping[str, str], html: str, tokens: tuple[str, ...] = TOKENS) -> str:
    """The first of `tokens` that a page's headers or meta tags hold; empty where there is none.

    Args:
        headers: of the HTTP response, names in lower case, values of the same name joined by commas.
        tokens: rules that are honoured: names of robots rules (`noai`, `noindex`, …), and `tdm-reservation`.
    """
    rules = set(_rules(headers.get("x-robots-tag", "")))
    reserved = headers.get("tdm-reservation", "").strip() == "1"
    end = html.lower().find("</head", 0, HEAD)
    for tag in _META.findall(html, 0, end if end >= 0 else HEAD):
        name, content = _NAME.search(tag), _CONTENT.search(tag)
        if name is None or content is None:
            continue
        value = content[1] or content[2] or content[3] or ""
        if name[1].lower() == "tdm-reservation":
            reserved |= value.strip() == "1"
        elif name[1].lower() == "robots" or name[1].lower().endswith("bot"):
            rules.update(_rules(value))
    for token in tokens:
        if token in rules or (token == "tdm-reservation" and reserved):
            return token
    return ""


def _rules(value: str) -> list[str]:
    """`googlebot: noindex, noai` -> `noindex`, `noai`."""
    return [rule.rpartition(":")[2].strip().lower() for rule in value.split(",")]
