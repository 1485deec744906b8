"""Finds numbers that identify a person or a company: resident, passport, licence, business numbers, phones, cards,
accounts.

A digit run with common separators is a candidate, read in ASCII form (`０１０` and `–` are variants of `010` and `-`).
A candidate is accepted by its format together with further evidence:

    resident    a past date of birth, and a hyphen, a valid check digit or the keyword (the check digit was abolished in
            October 2020; foreigners' numbers have the same format, with 5 to 8 after the hyphen)
    corporate   its check digit, or the keyword;          business   its check digit, or the keyword
    card        Luhn (ISO/IEC 7812) and an issuer prefix; without separators also a keyword or an expiry date
    phone       an area or mobile code with matching lengths; without separators a mobile number, or a keyword
    account     10 to 16 digits near the name of a bank or a keyword such as 계좌, on either side
    passport, licence     their format and the keyword

Numbers in URLs, file names, identifiers, decimal fractions, lists of years and dates are never matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kormo_plugins.corpus.scan.alphabets import PLAIN
from kormo_plugins.corpus.scan.personal_flags import LETTERS, LICENCE, OTHERS, PASSPORT, SPOKEN
from kormo_plugins.corpus.scan.text_scan import compiled, plain_text, scan_of

NUMBER_KINDS = ("resident", "passport", "licence", "business", "corporate", "card", "phone", "account")
NEAR = 24
"""Characters on either side that are searched for a keyword."""
NEWEST_YEAR = 2030
"""Latest possible year of birth."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a text: start and end in characters, and its kind."""

    start: int
    end: int
    kind: str


_WIDE = re.compile(f"[{re.escape(''.join(map(chr, PLAIN)))}]")
_CANDIDATE = re.compile(r"(?:\+|\(\+?)?\d(?:[-. ()/~]{0,3}\d){6,}+", re.ASCII)
_SPOKEN = re.compile(r"[공영]일[공영일육륙칠팔구](?:[-. ]{0,2}[공영일이삼사오육륙칠팔구\d]){7,8}(?![가-힣\d])")
_PASSPORT = re.compile(r"(?<![A-Za-z0-9])[MSRGD](?:\d{8}|\d{3}[A-Z]\d{4})(?![A-Za-z0-9])", re.IGNORECASE | re.ASCII)
_PASSPORT_WORD = re.compile(r"여권|passport", re.IGNORECASE)
_OLD_LICENCE = re.compile(
    r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)[ -]?\d{2}-\d{6}-\d{2}(?!\d)"
)
_FILE_BEHIND = re.compile(
    r"\.(?:jpe?g|png|gif|webp|pdf|txt|csv|tsv|zip|gz|hwpx?|docx?|xlsx?|pptx?|mp[34]|avi|mov|mkv|wav|log|json|xml|html?|py|"
    r"db|bak)\b",
    re.IGNORECASE,
)
_LONGER = re.compile(r"\d[,.:]$|[A-Za-z]-$", re.ASCII)
_PHONE_PREFIX = re.compile(r"(?:^|[^A-Za-z])(?:tel|hp|h\.p|phone|mobile|fax|cell|[tmfhTMFH])[.:)]?$", re.IGNORECASE)
_CODE_BEFORE = re.compile(r"[#$%&=\\\[{<>@*/^.'\"`+]$|[\w)] ?[=-] ?$", re.ASCII)
_SEPARATORS = re.compile(r"[-. ()/~]+")

_AREA = r"(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4])"
_CODE = rf"(?:1[016789]|{_AREA}|70|50\d?|80)"
_S = r" ?[-.)/]? ?"
_PHONES = (
    rf"(?:\+|00)?82[ .)\-]{{0,2}}(?:\(0\)|0)?{_S}{_CODE}{_S}\d{{3,4}}{_S}\d{{4}}",
    rf"\(?0{_CODE}\)?(?: ?[-.)/] ?| |(?<=\)))\d{{3,4}}(?: ?[-./] ?| )\d{{4}}",
    r"01[016789][-. ]?\d{3,4}[-. ]?\d{4}",
)
_PHONE = re.compile("|".join(f"(?:{form})" for form in _PHONES))
_LANDLINE = re.compile(rf"0(?:2\d{{7,8}}|(?:3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50\d?)\d{{7,8}}|{_AREA}-?\d{{7,8}})")
_ABROAD = re.compile(r"\+(?!82)[1-9]\d{0,2}(?:[-. ]?\(?\d{1,5}\)?){2,5}")
_AMERICAN = re.compile(r"\(?[2-9]\d{2}\)?[-. ]{1,2}\d{3}[-.]\d{4}")
_PHONE_WORD = re.compile(
    r"전화|연락|휴대|핸드폰|폰번|폰 번호|휴대폰|문의|팩스|상담|번호는|mobile|phone|\btel\b|tel[:.)]|\bfax\b|\bcall\b|"
    r"\bh\.?p\b|\bcell\b|☎|☏|📞|📱|T\.|H\.|F\.|M\.",
    re.IGNORECASE,
)
_RESIDENT = re.compile(r"(\d{2})(\d{2})(\d{2})( ?- ?| ?)([1-8])(\d{6})")
_RESIDENT_WORD = re.compile(r"주민|외국인|resident|registration|생년")
_BUSINESS = re.compile(r"\d{3} ?- ?\d{2} ?- ?\d{5}|\d{10}|\d{3} \d{2} \d{5}")
_BUSINESS_WORD = re.compile(r"사업자|business (?:registration )?(?:no|number)", re.IGNORECASE)
_CORPORATE = re.compile(r"\d{6}( ?- ?| ?)\d{7}")
_CORPORATE_WORD = re.compile(r"법인|등기|corporate", re.IGNORECASE)
_LICENCE = re.compile(r"(?:1[1-9]|2[0-8])[- ]?\d{2}[- ]?\d{6}[- ]?\d{2}")
_LICENCE_WORD = re.compile(r"면허|운전|licen[cs]e", re.IGNORECASE)
_CARD = re.compile(r"\d{4}([- .]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([- ]?)\d{6}\2\d{5}|3[68]\d{2}([- ]?)\d{6}\3\d{4}")
_ISSUER = re.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|35|3[068]|6011|6[245]|9\d")
_CARD_WORD = re.compile(r"카드|\bcard|visa|master|amex|결제|신용|체크", re.IGNORECASE)
_EXPIRY = re.compile(r"[ ,]{1,3}(?:0[1-9]|1[0-2]) ?/ ?\d{2}\b")
_BANKS = (
    "국민|신한|우리|하나|기업|농협|신협|수협|제일|씨티|외환|산업|부산|대구|광주|전북|경남|제주|새마을금고|새마을|우체국|"
    "카카오뱅크|카카오|카뱅|토스뱅크|토스|케이뱅크|케뱅|KB|NH|IBK|SC|KDB|iM뱅크|저축은행"
)
_BANK_BEFORE = re.compile(rf"(?:{_BANKS})(?:은행|뱅크)?[ ):：,/]{{0,3}}(?:\([^()\n]{{1,12}}\) ?)?$", re.IGNORECASE)
_ACCOUNT_WORD = re.compile(
    r"계좌|입금|송금|이체|예금주|무통장|은행|농협|신협|수협|새마을금고|우체국|카카오뱅크|카뱅|토스뱅크|케이뱅크|환불받|"
    r"\bbank|account (?:no|number)|\bacct",
    re.IGNORECASE,
)
_BARE_ACCOUNT = re.compile(r"\d{10,16}")
_BANK_BEHIND = re.compile(r" ?\(?(?:농협|신협|수협|새마을금고|우체국|카카오뱅크|토스뱅크|케이뱅크|[가-힣A-Z]{2,4}은행)")
_CLOSE_ACCOUNT = re.compile(
    r"(?:계좌|계좌 ?번호|account (?:no|number))[ .:：)은는]{0,4}(?:[가-힣A-Za-z]{2,8} ?)?$", re.IGNORECASE
)
_HYPHENS = re.compile(r"\d{2,6}(?:[- ]\d{1,8}){1,3}")
_YEAR = re.compile(r"(?:19|20)\d{2}")
_DATE = re.compile(r"(?:19|20)\d{2}[-./ ]{1,2}(?:0?[1-9]|1[0-2])[-./ ]{1,2}(?:0?[1-9]|[12]\d|3[01])(?!\d)")
_NOT_PERSONAL = re.compile(
    r"주문|송장|운송장|사건|접수|문서|관리번호|모델|품번|부품|제품|상품|시리얼|일련|버전|ISBN|ISSN|특허|출원|고시|공고|배송|"
    r"order|serial|invoice|tracking|model|part no|ticket|\bcase\b|\bid\b|코드|바코드",
    re.IGNORECASE,
)


def number_spans(text: str, kinds: tuple[str, ...] = NUMBER_KINDS) -> list[Span]:
    """The ranges of such numbers in `text`, unordered; if two kinds match, the more certain one."""
    if compiled(text):
        runs, flags, _ = scan_of(text).personal
        if not flags & LETTERS:
            return _spans(plain_text(text), runs, flags, kinds) if runs or flags & ~OTHERS else []
    plain = text.translate(PLAIN) if _WIDE.search(text) else text
    for letters in ("O1O", "o1o"):  # used against scrapers
        plain = plain.replace(letters, "010")
    runs = [[match.start(), match.end()] for match in _CANDIDATE.finditer(plain)]
    return _spans(plain, runs, SPOKEN | PASSPORT | LICENCE, kinds)


def _spans(plain: str, runs: list[list[int]], flags: int, kinds: tuple[str, ...]) -> list[Span]:
    """The numbers in these digit runs, and those with the formats that the flags indicate."""
    result: list[Span] = []
    for start, end in runs:
        if not _in_name(plain, start, end):
            result += _in_candidate(plain, start, end)
    if flags & SPOKEN and ("일공" in plain or "일영" in plain):
        result += [Span(m.start(), m.end(), "phone") for m in _SPOKEN.finditer(plain)]
    if flags & PASSPORT and _PASSPORT_WORD.search(plain):
        result += [Span(m.start(), m.end(), "passport") for m in _PASSPORT.finditer(plain) if _near(m, _PASSPORT_WORD)]
    if flags & LICENCE and ("면허" in plain or "운전" in plain):
        result += [Span(m.start(), m.end(), "licence") for m in _OLD_LICENCE.finditer(plain) if _near(m, _LICENCE_WORD)]
    return [span for span in result if span.kind in kinds]


def _near(match: re.Match[str], word: re.Pattern[str]) -> bool:
    return _word(match.string, match.start(), match.end(), word)


def _word(text: str, start: int, end: int, word: re.Pattern[str], behind: int = NEAR) -> bool:
    """Whether `word` is near: before, or after on the same line."""
    if word.search(text, max(0, start - NEAR), start):
        return True
    line = text.find("\n", end, end + behind)
    return word.search(text, end, min(len(text), end + behind) if line < 0 else line) is not None


def _in_name(text: str, start: int, end: int) -> bool:
    """Whether the digits belong to a URL, a file, an identifier or a longer number."""
    if text[end : end + 1] in tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_%") and text[end : end + 1]:
        return True
    if _FILE_BEHIND.match(text, end):
        return True
    before = text[max(0, start - 12) : start]
    if before and before[-1].isascii() and (before[-1].isalpha() or before[-1] == "_"):
        return _PHONE_PREFIX.search(before) is None
    if _LONGER.search(before) and not (before.endswith(",") and "-" in text[start:end]):
        return True
    token = text[max(0, start - 300) : start]
    token = token[max(token.rfind(char) for char in " \n\t\"'<>") + 1 :]
    return ("://" in token or token.startswith("www.")) and "tel:" not in token


def _in_candidate(text: str, start: int, end: int) -> list[Span]:
    """The numbers in a run of digits and separators."""
    groups = _SEPARATORS.split(text[start:end].strip("+( "))
    if all(_YEAR.fullmatch(group) for group in groups if group):
        return []
    result: list[Span] = []
    at = start
    while at < end:
        taken = _DATE.match(text, at, end)
        span = None if taken else _number(text, at)
        if span is not None:
            result.append(span)
        at = _next_start(text, span.end if span else taken.end() if taken else at, end)
    return result


def _next_start(text: str, at: int, end: int) -> int:
    """Where the next number may begin: after a separator that cannot be inside a number."""
    while at < end:
        at += 1
        if at < end and (text[at].isdigit() or text[at] in "(+") and text[at - 1] in " /()~":
            return at
    return end


def _number(text: str, at: int) -> Span | None:
    """The number that begins at `at`, if any."""
    bare = _CODE_BEFORE.search(text, max(0, at - 4), at) is not None  # in code, numbers need separators
    other = _NOT_PERSONAL.search(text, max(0, at - 16), at) is not None
    for kind, end in _forms(text, at, bare, other):
        behind = text[end : end + 2]
        if not (behind[:1].isdigit() or (behind[:1] == "-" and behind[1:].isdigit())):
            return Span(at, end, kind)
    return None


def _forms(text: str, at: int, bare: bool, other: bool) -> Iterator[tuple[str, int]]:
    """Kind and end of each number that may begin at `at`, most certain first.

    Args:
        bare: the number looks like a literal in code.
        other: a preceding word marks it as a different kind of number.
    """
    if (end := _corporate(text, at, bare or other, True)) or (end := _corporate(text, at, bare or other, False)):
        yield "corporate", end
    if end := _resident(text, at, bare or other):
        yield "resident", end
    if end := _card(text, at, bare or other):
        yield "card", end
    if end := _licence(text, at):
        yield "licence", end
    if end := _phone(text, at, bare, other):
        yield "phone", end
    if not other and (end := _business(text, at, bare)):
        yield "business", end
    if not other and (end := _account(text, at, bare)):
        yield "account", end


def _resident(text: str, at: int, doubtful: bool) -> int:
    match = _RESIDENT.match(text, at)
    if match is None:
        return 0
    year = int(match[1]) + (1900 if match[5] in "1256" else 2000)
    if not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31 and year <= NEWEST_YEAR):
        return 0
    digits = [int(char) for char in match[1] + match[2] + match[3] + match[5] + match[6]]
    sure = _word(text, at, match.end(), _RESIDENT_WORD) or _resident_check(digits)
    return match.end() if (sure and (match[4] or not doubtful)) or ("-" in match[4] and not doubtful) else 0


def _resident_check(digits: list[int]) -> bool:
    """The check digit of numbers issued before October 2020; foreigners' differ by two."""
    rest = (11 - sum(w * d for w, d in zip((2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), digits, strict=False)) % 11) % 10
    return digits[12] == ((rest + 2) % 10 if digits[6] in (5, 6, 7, 8) else rest)


def _corporate(text: str, at: int, doubtful: bool, by_word: bool) -> int:
    match = _CORPORATE.match(text, at)
    if match is None:
        return 0
    if by_word:
        return match.end() if _CORPORATE_WORD.search(text, max(0, at - NEAR), at) else 0
    digits = [int(char) for char in match[0] if char.isdigit()]
    total = sum(digit * (1 + index % 2) for index, digit in enumerate(digits[:12]))
    valid = (10 - total % 10) % 10 == digits[12] and any(digits)
    return match.end() if valid and "-" in match[1] and not doubtful and digits[0] in (1, 2) else 0


def _business(text: str, at: int, bare: bool) -> int:
    match = _BUSINESS.match(text, at)
    if match is None:
        return 0
    if _word(text, at, match.end(), _BUSINESS_WORD, 12):
        return match.end()
    digits = [int(char) for char in match[0] if char.isdigit()]
    total = sum(w * d for w, d in zip((1, 3, 7, 1, 3, 7, 1, 3, 5), digits, strict=False)) + digits[8] * 5 // 10
    valid = (10 - total % 10) % 10 == digits[9] and any(digits)
    return match.end() if valid and "-" in match[0] and not bare else 0


def _card(text: str, at: int, doubtful: bool) -> int:
    match = _CARD.match(text, at)
    if match is None or not _luhn(match[0]) or not _ISSUER.match(match[0]):
        return 0
    if match[1] or match[2] or match[3]:
        years = [group for group in _SEPARATORS.split(match[0]) if _YEAR.fullmatch(group)]
        return match.end() if len(years) < 2 and not doubtful else 0
    labelled = _word(text, at, match.end(), _CARD_WORD) or _EXPIRY.match(text, match.end())
    return match.end() if labelled and not doubtful else 0


def _luhn(value: str) -> bool:
    digits = [int(char) for char in value if char.isdigit()][::-1]
    doubled = (2 * d - 9 * (d > 4) for d in digits[1::2])
    return any(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _licence(text: str, at: int) -> int:
    match = _LICENCE.match(text, at)
    return match.end() if match and _word(text, at, match.end(), _LICENCE_WORD, 12) else 0


def _phone(text: str, at: int, bare: bool, other: bool) -> int:
    labelled = _word(text, at, at, _PHONE_WORD, 0)
    if (match := _PHONE.match(text, at)) is not None:
        joined = not _SEPARATORS.search(match[0].lstrip("+("))
        years = sum(bool(_YEAR.fullmatch(group)) for group in _SEPARATORS.split(match[0]))
        certain = labelled or (match[0].startswith(("+82", "01", "(")) if joined else True)
        if certain and not (joined and (bare or other)) and years < 2:
            return match.end()
    if (match := _LANDLINE.match(text, at)) is not None and not bare and not other:
        return match.end() if labelled or "-" in match[0] else 0
    if (match := _ABROAD.match(text, at)) is not None:
        count, parts = sum(map(str.isdigit, match[0])), len(_SEPARATORS.findall(match[0]))
        return match.end() if 9 <= count <= 15 and (parts > 1 or labelled) and not bare else 0
    match = _AMERICAN.match(text, at)
    return match.end() if match is not None and labelled else 0


def _account(text: str, at: int, bare: bool) -> int:
    match = _HYPHENS.match(text, at) or _BARE_ACCOUNT.match(text, at)
    if match is None or bare or not 10 <= sum(map(str.isdigit, match[0])) <= 16:
        return 0
    bank = _BANK_BEFORE.search(text, max(0, at - NEAR), at) is not None
    if "-" not in match[0]:
        near = bank or _CLOSE_ACCOUNT.search(text, max(0, at - NEAR), at) or _BANK_BEHIND.match(text, match.end())
        return match.end() if near else 0
    return match.end() if bank or _word(text, at, match.end(), _ACCOUNT_WORD, 16) else 0
