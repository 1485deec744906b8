"""Masks personal data in Korean formats: personal and company numbers, phones, accounts, cards, e-mail, IP addresses.

A masked value keeps its format (`010-0000-0000`), so that a model still learns what a phone number looks like, as in
datatrove's PIIFormatter. Detection uses formats, check digits and nearby words: `personal/numbers.py`,
`personal/addresses.py`. Recall and precision on a hand-labelled set are in docs/cleaning.md and checked by a test.
"""

from __future__ import annotations

import re

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.alphabets import PLAIN
from kormo_plugins.corpus.steps.personal.addresses import EMAIL_PLACEHOLDER, IP_PLACEHOLDER, email_spans, ip_spans
from kormo_plugins.corpus.steps.personal.numbers import NUMBER_KINDS, Span, number_spans
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError, closest

KINDS = (*NUMBER_KINDS, "email", "ip")
ROUNDS = 8
_DIGIT = re.compile(r"\d")
_LETTER = re.compile("[A-Za-z]")
_SPOKEN = re.compile("[공영일이삼사오육륙칠팔구]")
_PREFIX = re.compile(
    r"(?:\+|00)?82\D{0,3}0?\D{0,2}\d{1,2}(?=\D|\d{7,8}$)|\D{0,2}0(?:1\d|2|[3-6]\d|70|50\d?)|\+\d{1,3}(?=\D)"
    r"|[공영]일[공영일육륙칠팔구]"
)


class PersonalDataParams(Strict):
    """What is masked."""

    kinds: tuple[str, ...] = Field(default=KINDS, description=f"kinds of personal data to mask, of {', '.join(KINDS)}")
    email: str = Field(
        default=EMAIL_PLACEHOLDER,
        description="replacement for an email address (RFC 2606: reserved, belongs to nobody)",
    )
    ip: str = Field(
        default=IP_PLACEHOLDER, description="replacement for an IPv4 address (RFC 5737: reserved, belongs to nobody)"
    )


class PersonalData:
    """Masks personal data; drops nothing."""

    VERSION = 3

    def __init__(self, params: PersonalDataParams) -> None:
        unknown = sorted(set(params.kinds) - set(KINDS))
        if unknown:
            raise KormoError(
                where="step personal_data: kinds",
                found=repr(unknown[0]),
                why="it is not a known kind of personal data",
                do=closest(unknown[0], KINDS) or f"use some of: {', '.join(KINDS)}",
            )
        self.params = params

    def __call__(self, document: Document) -> Document:
        document.text = mask(document.text, self.params.kinds, self.params.email, self.params.ip)
        return document


def spans(text: str, kinds: tuple[str, ...] = KINDS) -> list[Span]:
    """The ranges of personal data in `text`, in order, not nested."""
    result = number_spans(text, kinds)
    if "email" in kinds:
        result += email_spans(text)
    if "ip" in kinds:
        result += ip_spans(text)
    apart: list[Span] = []
    for span in sorted(result, key=lambda span: (span.start, -span.end)):
        if not apart or span.start >= apart[-1].end:
            apart.append(span)
    return apart


def mask(text: str, kinds: tuple[str, ...] = KINDS, email: str = EMAIL_PLACEHOLDER, ip: str = IP_PLACEHOLDER) -> str:
    """Masks personal data in `text`; idempotent.

    Repeats after every change: removing an address may expose the digits before it. Every round leaves fewer digits;
    the number of rounds is still bounded, because `email` may be set to a value that contains an address.
    """
    for _ in range(ROUNDS):
        masked = _masked_once(text, kinds, email, ip)
        if masked == text:
            break
        text = masked
    return text


def _masked_once(text: str, kinds: tuple[str, ...], email: str, ip: str) -> str:
    pieces, at = [], 0
    for span in spans(text, kinds):
        value = text[span.start : span.end]
        if span.kind == "email":
            masked = email
        elif span.kind == "ip":
            masked = ip if "." in value else "2001:db8::1"  # RFC 3849
        else:
            masked = _masked(value, span.kind)
        pieces += [text[at : span.start], masked]
        at = span.end
    return "".join([*pieces, text[at:]]) if pieces else text


def _masked(value: str, kind: str) -> str:
    """Zeros for digits; a phone number keeps its prefix, a passport number its format."""
    kept = _PREFIX.match(value.translate(PLAIN)) if kind == "phone" else None
    head, tail = (value[: kept.end()], value[kept.end() :]) if kept else ("", value)
    if kind == "phone":
        tail = _SPOKEN.sub("공", tail)
    if kind == "passport":
        head, tail = value[0], _LETTER.sub("A", value[1:])
    return head + _DIGIT.sub(lambda digit: "0" if digit[0].isascii() else "０", tail)
