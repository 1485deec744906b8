"""Main-text extraction from pages by external libraries."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from kormo_plugins.errors import KormoError

_BLANK = re.compile(r"\n\s*\n\s*\n+")


def by_resiliparse(html: str, comments: bool) -> str:
    """Resiliparse (Bevendorff et al. 2018; DCLM, arXiv 2406.11794): rules on the parsed tree; fast, higher recall."""
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(
        html,
        main_content=True,
        preserve_formatting=True,
        list_bullets=False,
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
        comments=comments,
        post_meta=False,
    )
    return _BLANK.sub("\n\n", text).strip()


def by_trafilatura(html: str, comments: bool) -> str:
    """Trafilatura (Barbaresi 2021): rules with two fallback extractors; slower, rarely leaves menus in the text."""
    from trafilatura import extract

    return extract(html, include_comments=comments, include_tables=True, include_images=False) or ""


EXTRACTORS: dict[str, Callable[[str, bool], str]] = {"resiliparse": by_resiliparse, "trafilatura": by_trafilatura}
"""Name -> function of the page's HTML and of whether reader comments are kept."""


def installed(library: str, where: str) -> str:
    """Name and version of a library from the extra `crawl`.

    Raises:
        KormoError: it is not installed.
    """
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        raise KormoError(
            where=where,
            found=library,
            why="the package is not installed",
            do="pip install 'kormo-plugins[crawl]'",
        ) from None
