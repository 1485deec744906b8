"""Removes error pages, and boilerplate lines around articles.

KORMo's first heuristic is a "regex error removal" (paper 4.1.3); its patterns are not published. These are ours: server
messages, requests for JavaScript, cookies or a login, copyright lines and share buttons of Korean and English pages. A
line is removed if a pattern covers most of it; a document is dropped if it consists mostly of such lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.text_scan import character_bits, compiled, scan_of
from kormo_plugins.documents.document import Document, Reject

if TYPE_CHECKING:
    import numpy as np

    from kormo_plugins.corpus.scan.kernels.keywords_kernel import Parts

_BUTTONS = r"(?:좋아요|공유하기|댓글|추천|스크랩|인쇄|글자 ?크기|목록(?:으로)?|이전 ?글|다음 ?글|맨 ?위로)"
PATTERNS: tuple[str, ...] = (
    r"(?:http\s*)?(?:error\s*)?(?:40[0134]|50[0234])\b.{0,40}"
    r"(?:error|not found|forbidden|bad gateway|unavailable|오류|에러)",
    r"(?:page|file|url) not found|access denied|permission denied|internal server error|bad gateway",
    r"(?:please )?enable (?:javascript|cookies)|javascript (?:is|must be) (?:disabled|enabled)",
    r"your browser does not support",
    r"(?:자바스크립트|javascript)(?:를|을|가)? ?(?:활성화|사용할 수 없|지원하지 않|꺼져)",
    r"(?:요청하신|찾으시는|존재하지 않는|삭제된|잘못된) ?(?:페이지|게시물|게시글|주소|접근)",
    r"페이지를 (?:찾을|표시할) 수 없|서비스 ?(?:점검|이용에 불편)|일시적인 (?:오류|장애)",
    r"로그인(?:이 필요|을 하셔야|후 이용|해 ?주세요|하시겠습니까)|권한이 없습니다|비밀번호를 잊",
    r"(?:쿠키|cookies?)(?:를|의)? ?(?:사용|수집|use|policy|정책|동의)",
    r"무단 ?(?:전재|복제|배포|도용)|재배포 ?금지|all rights reserved|저작권자 ?(?:ⓒ|©|\(c\))|copyright ?(?:ⓒ|©|\(c\))",
    rf"{_BUTTONS}(?:[\s|·/,0-9()\[\]]*{_BUTTONS})+",
    r"기사 ?제보|구독(?:하기|과 좋아요)|(?:본문|메뉴|콘텐츠) ?바로 ?가기",
    r"lorem ipsum|skip to (?:main )?content|share (?:on|this)",
    r"traceback \(most recent call last\)|(?:fatal|parse) error: .{0,80} on line \d+",
    r"mysql_(?:connect|query)|undefined index",
)
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS), re.IGNORECASE)
_KEYS = (
    "error",
    "not found",
    "forbidden",
    "gateway",
    "unavailable",
    "denied",
    "오류",
    "에러",
    "javascript",
    "자바스크립트",
    "cookie",
    "쿠키",
    "페이지",
    "게시",
    "주소",
    "접근",
    "점검",
    "불편",
    "로그인",
    "권한",
    "비밀번호를",
    "무단",
    "재배포",
    "reserved",
    "저작권자",
    "copyright",
    "좋아요",
    "공유하기",
    "댓글",
    "추천",
    "스크랩",
    "인쇄",
    "글자",
    "목록",
    "이전",
    "다음",
    "맨",
    "제보",
    "구독",
    "바로",
    "lorem",
    "skip to",
    "share ",
    "your browser",
    "traceback",
    "mysql_",
    "undefined",
)
"""Every match contains one of these: searching for plain strings is a hundred times faster than for the patterns."""


_NUMBER, _FAILED, _SCRIPT, _OFF, _ASKED, _PLACE, _COOKIE, _USE, _SURE, _BUTTON = (1 << bit for bit in range(10))
_SIGNS = {
    _NUMBER: "400|401|403|404|500|502|503|504",
    _FAILED: "error|not found|forbidden|bad gateway|unavailable|오류|에러",
    _SCRIPT: "자바스크립트|javascript",
    _OFF: "활성화|사용할 수 없|지원하지 않|꺼져",
    _ASKED: "요청하신|찾으시는|존재하지 않는|삭제된|잘못된",
    _PLACE: "페이지|게시물|게시글|주소|접근",
    _COOKIE: "쿠키|cookie",
    _USE: "사용|수집|use|policy|정책|동의",
    _BUTTON: "좋아요|공유하기|댓글|추천|스크랩|인쇄|글자크기|글자 크기|목록|이전글|이전 글|다음글|다음 글|"
    "맨위로|맨 위로",
    _SURE: "page not found|file not found|url not found|access denied|permission denied|"
    "internal server error|bad gateway|enable javascript|enable cookies|javascript is|"
    "javascript must|your browser does not|페이지를 찾을|페이지를 표시할|서비스점검|서비스 점검|"
    "서비스이용|서비스 이용|일시적인 오류|일시적인 장애|로그인이 필요|로그인을 하셔야|로그인후 이용|"
    "로그인해|로그인하시겠|권한이 없습니다|비밀번호를 잊|무단전재|무단복제|무단배포|무단도용|"
    "무단 전재|무단 복제|무단 배포|무단 도용|재배포금지|재배포 금지|all rights reserved|저작권자ⓒ|"
    "저작권자©|저작권자(c)|저작권자 ⓒ|저작권자 ©|저작권자 (c)|copyrightⓒ|copyright©|copyright(c)|"
    "copyright ⓒ|copyright ©|copyright (c)|기사제보|기사 제보|구독하기|구독과 좋아요|바로가기|"
    "바로 가기|lorem ipsum|skip to |share on|share this|traceback (most|fatal error: |parse error: |"
    "mysql_connect|mysql_query|undefined index",
}
"""Requirements for a line that a pattern may cover: two of `_WANTED` together, one of `_SURE`, or two buttons."""
_WANTED = (_NUMBER | _FAILED, _SCRIPT | _OFF, _ASKED | _PLACE, _COOKIE | _USE, _SURE)


@lru_cache(maxsize=1)
def _automaton() -> tuple[Parts, np.ndarray]:
    import numpy as np

    from kormo_plugins.corpus.scan.kernels.keywords_kernel import automaton

    return automaton(_SIGNS, _BUTTON).parts, np.array(_WANTED, np.int64)


def lines_with(text: str, longest: int) -> list[list[int]]:
    """Start and end of the lines of at most `longest` characters that a pattern may cover."""
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import lines_with as scan

    spans: list[list[int]] = scan(scan_of(text).codes, character_bits(), longest, *_automaton(), 2).tolist()
    return spans


class ErrorsParams(Strict):
    """Thresholds."""

    RENAMED: ClassVar = {"most_removed": "max_removed", "longest_line": "max_line_length"}

    max_line_length: int = Field(
        default=80,
        ge=1,
        description="maximum characters of a line that may be removed; a longer one is prose that mentions an error "
        "(ours)",
    )
    max_removed: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="maximum share of its characters that a document may lose; above it the document is dropped (ours)",
    )


class Errors:
    """Removes boilerplate lines, and drops documents that consist mostly of them."""

    VERSION = 1

    def __init__(self, params: ErrorsParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        if compiled(text):
            suspect = lines_with(text, self.params.max_line_length)
            gone = [bounds for bounds in suspect if self._goes(text[bounds[0] : bounds[1]], _KEYS)]
            return self._without(document, gone) if gone else document
        text_lines = text.split("\n")
        # Only short lines can be removed, and most of a text is in long ones: those are not searched.
        longest = self.params.max_line_length
        short = [line for line in text_lines if len(line) <= longest or len(line.strip()) <= longest]
        lowered = "\n".join(short).lower()
        keys = [key for key in _KEYS if key in lowered]
        if not keys:
            return document
        kept = [line for line in text_lines if not self._goes(line, keys)]
        if len(kept) == len(text_lines):
            return document
        return self._rest(document, "\n".join(kept))

    def _without(self, document: Document, gone: list[list[int]]) -> Document | Reject:
        """The document without these lines and their line ends."""
        text, pieces, at = document.text, [], 0
        for start, end in gone:
            pieces.append(text[at:start])
            at = end + 1
        return self._rest(document, "".join([*pieces, text[at:]]))

    def _rest(self, document: Document, clean: str) -> Document | Reject:
        """The document with the remaining text, unless too much was removed."""
        clean = clean.strip()
        if len(clean) < (1 - self.params.max_removed) * len(document.text.strip()):
            return Reject("error page or boilerplate")
        document.text = clean
        return document

    def _goes(self, line: str, keys: Sequence[str]) -> bool:
        bare = line.strip()
        if not bare or len(bare) > self.params.max_line_length or "`" in bare:
            return False
        lowered = bare.lower()
        if not any(key in lowered for key in keys):
            return False
        return sum(len(match[0]) for match in _ANY.finditer(bare)) * 3 >= len(bare)
