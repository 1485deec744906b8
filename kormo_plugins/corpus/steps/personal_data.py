"""Masks personal data of Korean formats: resident numbers, phones, e-mail addresses, accounts, cards.

A masked value keeps its shape (`010-0000-0000`), so that a model still learns what a phone number looks like, as in
datatrove's PIIFormatter. A number is taken for personal only with evidence: a resident number must hold a date and
(before October 2020, when the check digit was given up) a valid check digit or the hyphen; an account needs a bank or
a word like 계좌 near it; a card must pass the Luhn test.
"""

from __future__ import annotations

import re

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document

KINDS = ("resident", "phone", "email", "account", "card")
_RESIDENT = re.compile(r"(?<![\d-])(\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))([- ]?)([1-8]\d{6})(?![\d-])")
_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])", re.ASCII)
_PHONE = re.compile(
    r"(?<![\d.\-/])(?:(?:\+82[-. ]?|\(?0)(?:1[016789]|2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50\d?)\)?[-. ]?)"
    r"\d{3,4}[-. ]\d{4}(?![\d\-/])|(?<![\d.\-/])01[016789]\d{7,8}(?!\d)"
)
_ACCOUNT = re.compile(r"(?<![\d-])\d{2,6}(?:-\d{2,8}){2,3}(?![\d-])")
_ACCOUNT_NEAR = re.compile(r"계좌|입금|송금|예금주|은행|농협|신협|수협|새마을금고|우체국|카카오뱅크|토스뱅크|케이뱅크")
_CARD = re.compile(r"(?<![\d-])(?:\d{4}[- ]){3}\d{4}(?![\d-])")
_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
RESERVED = ("example.com", "example.org", "example.net")
NEAR = 24
"""Characters before a number in which a word for an account is looked for."""


class PersonalDataParams(Strict):
    """What is masked."""

    kinds: tuple[str, ...] = Field(default=KINDS, description=f"of {', '.join(KINDS)}")
    email: str = Field(default="email@example.com", description="what stands for an address (RFC 2606: nobody's)")


class PersonalData:
    """Masks; drops nothing."""

    VERSION = 1

    def __init__(self, params: PersonalDataParams) -> None:
        unknown = set(params.kinds) - set(KINDS)
        if unknown:
            from kormo_plugins.errors import KormoError, closest

            raise KormoError(
                where="step personal_data: kinds",
                found=repr(sorted(unknown)[0]),
                why="it is not a known kind",
                do=closest(sorted(unknown)[0], KINDS) or f"use of {', '.join(KINDS)}",
            )
        self.params = params

    def __call__(self, document: Document) -> Document:
        document.text = mask(document.text, self.params.kinds, self.params.email)
        return document


def mask(text: str, kinds: tuple[str, ...] = KINDS, email: str = "email@example.com") -> str:
    """`text` with personal data masked; masking twice changes nothing."""
    if "email" in kinds and "@" in text:
        text = _EMAIL.sub(lambda m: m[0] if m[0].endswith(RESERVED) else email, text)
    if "resident" in kinds:
        text = _RESIDENT.sub(_resident, text)
    if "card" in kinds:
        text = _CARD.sub(lambda m: _zeros(m[0]) if _luhn(m[0]) else m[0], text)
    if "account" in kinds and _ACCOUNT_NEAR.search(text):
        text = _ACCOUNT.sub(_account, text)
    if "phone" in kinds:
        text = _PHONE.sub(_phone, text)
    return text


def _zeros(value: str) -> str:
    return re.sub(r"\d", "0", value)


def _resident(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[1] + match[3]]
    check = (11 - sum(w * d for w, d in zip(_WEIGHTS, digits, strict=False)) % 11) % 10
    if match[2] != "-" and check != digits[12]:
        return match[0]  # thirteen digits in a row are more often an id of something else
    return f"000000{match[2]}0000000"


def _phone(match: re.Match[str]) -> str:
    found = match[0]
    kept = re.match(r"\+82[-. ]?\d{1,3}|\(?0(?:1\d|2|[3-6]\d|70|50\d?)\)?", found)
    return found[: kept.end()] + _zeros(found[kept.end() :]) if kept else _zeros(found)


def _account(match: re.Match[str]) -> str:
    digits = sum(char.isdigit() for char in match[0])
    before = match.string[max(0, match.start() - NEAR) : match.start()]
    return _zeros(match[0]) if 10 <= digits <= 16 and _ACCOUNT_NEAR.search(before) else match[0]


def _luhn(value: str) -> bool:
    digits = [int(char) for char in value if char.isdigit()][::-1]
    doubled = (2 * d - 9 * (d > 4) for d in digits[1::2])
    return any(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0
