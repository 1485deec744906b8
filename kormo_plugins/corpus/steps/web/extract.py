"""Extracts the main text of web pages: removes menus, advertisements and footers; stores title and date in `meta`.

For documents whose text is HTML, as from the reader `warc`; any other document passes unchanged. The extractor is
resiliparse, as in DCLM and in KORMo's web set, or trafilatura, as in FineWeb; a comparison on Korean pages is in
docs/cleaning.md (`tests/benchmarks/extract.py`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kormo_plugins.corpus.extract.extractors import EXTRACTORS, installed
from kormo_plugins.corpus.extract.metadata import date_of, title_of
from kormo_plugins.corpus.extract.page import is_page
from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject


class ExtractParams(Strict):
    """The library, and what counts as text."""

    extractor: Literal["resiliparse", "trafilatura"] = Field(
        default="resiliparse",
        description="extraction library: resiliparse (DCLM, KORMo's web set) or trafilatura (FineWeb)",
    )
    comments: bool = Field(default=True, description="keep reader comments, which in forums are the main text (ours)")

    def writes(self) -> tuple[str, ...]:
        """What a page says of itself."""
        return ("title", "date")


class Extract:
    """Replaces a page by its main text; sets `title` and `date` in its `meta` if absent."""

    VERSION = 1

    def __init__(self, params: ExtractParams) -> None:
        installed(params.extractor, "step extract: extractor")
        self.params, self.extract = params, EXTRACTORS[params.extractor]

    @staticmethod
    def inputs(params: ExtractParams) -> object:
        """The library's version, on which the text depends."""
        return installed(params.extractor, "step extract: extractor")

    def __call__(self, document: Document) -> Document | Reject:
        html = document.text
        if "html" not in str(document.meta.get("mime", "")) and not is_page(html):
            return document
        text = self.extract(html, self.params.comments)
        if not text.strip():
            return Reject("no main text")
        metadata = {"title": title_of(html), "date": date_of(html) or str(document.meta.get("crawled", ""))[:10]}
        document.meta = {**{key: value for key, value in metadata.items() if value}, **document.meta}
        document.text = text
        return document
