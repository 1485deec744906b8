"""Finds e-mail and IP addresses in a text, excluding look-alikes.

Not e-mail addresses: an SSH or SCP address (`git@host:path`), credentials in a URL, a file (`icon@2x.png`), a systemd
unit, a package with a version, an address in a domain reserved by RFC 2606. Not personal IP addresses: those
unreachable from the internet (RFC 1918 and the other special ranges), public resolvers, version and section numbers.
"""

from __future__ import annotations

import ipaddress
import re

from kormo_plugins.corpus.scan.personal_flags import IPV4, IPV6
from kormo_plugins.corpus.scan.text_scan import compiled, scan_of
from kormo_plugins.corpus.steps.personal.numbers import Span

EMAIL_PLACEHOLDER = "email@example.com"
IP_PLACEHOLDER = "192.0.2.1"
_AT = r"(?:[@＠]|\s?[(\[{]\s?(?:at|AT|@|골뱅이)\s?[)\]}]\s?|\s?골뱅이\s?)"
_DOT = r"(?:\.|\s?[(\[{](?:dot|DOT|점|\.)[)\]}]\s?|\s?닷\s?)"
_LOCAL = r"(?:(?<![\w.+%-])[A-Za-z0-9](?:[A-Za-z0-9_.+%-]{0,63})|(?<![A-Za-z0-9_.+%가-힣-])[가-힣][가-힣\w.+-]{0,30})"
# With re.ASCII, Hangul is not a word character for `\w` and `\b`: an address may be adjacent to Korean text.
_EMAIL = re.compile(
    rf"{_LOCAL}{_AT}(?:(?:[A-Za-z0-9-]{{1,63}}{_DOT}){{1,6}}[A-Za-z]{{2,24}}|[가-힣A-Za-z0-9-]{{1,63}}\.(?:한국|닷컴|닷넷))"
    r"(?![A-Za-z0-9_-])",
    re.ASCII,
)
RESERVED = ("example.com", "example.org", "example.net", ".example", ".test", ".invalid", ".localhost")
"""Reserved domains (RFC 2606)."""
SERVICES = ("gserviceaccount.com",)
_FILE_NAMES = (
    "png jpg jpeg gif svg webp bmp ico pdf txt json yml yaml toml html css js jsx ts tsx whl gz tgz zip log lock conf "
    "cfg service socket timer target mount slice path device scope local internal lan cluster git"
)
_FILES = frozenset(_FILE_NAMES.split())
"""Last labels that are file extensions, systemd units, or private network domains."""
_SSH_BEHIND = re.compile(r":(?:~|\.{0,2}/|[\w.-]+/|[\w-]+\.git\b|\d+/)")
_SSH_BEFORE = re.compile(r"(?:\b(?:ssh|scp|rsync|sftp|mosh|ssh-copy-id|git clone)\b[^\n]{0,80}|://[^\s/]*|[/@])$")
_IPV4 = re.compile(r"(?<![\w.\-+])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d|-\w|/\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:.])", re.ASCII)
_VERSION_BEFORE = re.compile(
    r"(?:\bv|ver(?:sion)?s?\.?|rev(?:ision)?\.?|release|build|firmware|driver|버전|릴리스|빌드|펌웨어|드라이버|패치|업데이트|자바|java|"
    r"section|chapter|§|[=<>~^]=|\bOID|[가-힣A-Za-z]-)[\s:=(\"'`]*$",
    re.IGNORECASE,
)
_VERSION_BEHIND = re.compile(
    r"\s?(?:버전|절|항|장\b|조\b|이상|이하|미만|version|release|alpha|beta|rc\d)|[)\"'`]\s?버전"
)
_NETWORK = re.compile(
    r"\bip\b|IP|아이피|접속|서버|호스트|주소|ping|host|addr|proxy|\bfrom\b|remote|peer|nslookup", re.IGNORECASE
)
_RESOLVERS = (
    "8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 168.126.63.1 168.126.63.2 164.124.101.2 203.248.252.2 208.67.222.222 "
    "208.67.220.220 210.220.163.82 219.250.36.130"
)
BEFORE, BEHIND = 100, 1000
"""Upper bounds on the characters of an address before and after its `@`."""
PUBLIC = frozenset(_RESOLVERS.split())
"""Public resolvers that appear in many manuals."""


def email_spans(text: str) -> list[Span]:
    """Personal e-mail addresses, also obfuscated with `(at)`, `골뱅이` and `(dot)`."""
    if compiled(text):
        return _near_places(text, scan_of(text).personal[2])
    if not ("@" in text or "＠" in text or "골뱅이" in text or "at)" in text.lower() or "at]" in text.lower()):
        return []
    return [Span(m.start(), m.end(), "email") for m in _EMAIL.finditer(text) if _is_email(m)]


def _near_places(text: str, places: list[int]) -> list[Span]:
    """As `email_spans`, searching only around the positions where `@` or a substitute may belong to an address."""
    result, at = [], 0
    for place in places:
        if place < at:
            continue
        match = _EMAIL.search(text, max(at, place - BEFORE), place + BEHIND)
        if match is not None:
            at = match.end()
            if _is_email(match):
                result.append(Span(match.start(), at, "email"))
    return result


def _is_email(match: re.Match[str]) -> bool:
    address, text = match[0].lower(), match.string
    domain = re.split(_AT, address)[-1]
    if domain.endswith(RESERVED + SERVICES) or domain.rpartition(".")[2] in _FILES or address.startswith("git@"):
        return False
    if _SSH_BEHIND.match(text, match.end()):
        return False
    before = text[max(0, match.start() - 100) : match.start()]
    return _SSH_BEFORE.search(before) is None


def ip_spans(text: str) -> list[Span]:
    """IP addresses of individual machines on the internet."""
    flags = scan_of(text).personal[1] if compiled(text) else IPV4 | IPV6
    result = [Span(m.start(), m.end(), "ip") for m in _IPV4.finditer(text) if _is_ipv4(m)] if flags & IPV4 else []
    if flags & IPV6 and ("::" in text or text.count(":") > 4):
        result += [Span(m.start(), m.end(), "ip") for m in _IPV6.finditer(text) if _is_global(m[0])]
    return result


def _is_ipv4(match: re.Match[str]) -> bool:
    value, text = match[0], match.string
    if value in PUBLIC or not _is_global(value):
        return False
    before = text[max(0, match.start() - 16) : match.start()]
    if _VERSION_BEFORE.search(before) or _VERSION_BEHIND.match(text, match.end()):
        return False
    octets = [int(part) for part in value.split(".")]
    if max(octets) > 31:
        return True
    # `3.2.1.4`: a section or release number, unless the preceding words refer to networks.
    line = text[max(text.rfind("\n", 0, match.start()) + 1, match.start() - 40) : match.start()]
    return bool(line.strip()) and _NETWORK.search(line) is not None


def _is_global(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast
