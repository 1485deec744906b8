"""Detects opt-outs from training: `noai` in robots rules, and the TDM reservation protocol.

Robots rules are read from `X-Robots-Tag` headers and `<meta name="robots">` (also for a named crawler). `noai` and
`noimageai` were introduced by DeviantArt and are widely used; `tdm-reservation` is the W3C community group's TDMRep
(header, or meta tag of that name). robots.txt is not checked here: archives hold only what their crawler could fetch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TOKENS = ("noai", "tdm-reservation")
_META = re.compile(r"<meta\s[^>]{0,400}>", re.IGNORECASE)
_NAME = re.compile(r"\bname\s*=\s*[\"']?([\w:-]+)", re.IGNORECASE)
_CONTENT = re.compile(r"\bcontent\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
HEAD = 100_000
"""Characters of a page that are searched for its head element."""


def opted_out(headers: Mapping[str, str], html: str, tokens: tuple[str, ...] = TOKENS) -> str:
    """The first of `tokens` found in a page's headers or meta tags; "" if there is none.

    Args:
        headers: of the HTTP response; lower-case names, repeated values joined by commas.
        tokens: opt-out rules to honour: names of robots rules (`noai`, `noindex`, …), and `tdm-reservation`.
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
