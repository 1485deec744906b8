"""What each domain of a source lost, and why: for documents that have their address in `meta.url`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kormo_plugins.documents.document import Document

COPIES = ("exact duplicate", "near duplicate")
"""How reasons begin by which a copy was dropped: its text is there."""


def domain_of(address: str) -> str:
    """`www.News.kr/1` and `https://news.kr/2` as `news.kr`; empty for no address."""
    host = urlsplit(address).hostname if "://" in address else address.partition("/")[0]
    return (host or "").lower().removeprefix("www.")


@dataclass
class DomainLoss:
    """Documents of a domain that a source dropped, by step and reason, and those that it kept."""

    kept: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def dropped(self) -> int:
        """Documents that were dropped."""
        return sum(self.reasons.values())


def losses(kept: Iterable[Document], rejects: Iterable[Document], largest: int = 30) -> Mapping[str, DomainLoss]:
    """The domains that lost most documents, the largest loss first; copies are no loss."""
    found: dict[str, DomainLoss] = {}
    for document in kept:
        if domain := domain_of(str(document.meta.get("url", ""))):
            found.setdefault(domain, DomainLoss()).kept += 1
    for document in rejects:
        mark = document.meta["rejected"]
        domain = domain_of(str(document.meta.get("url", "")))
        if domain and not mark["reason"].startswith(COPIES):
            found.setdefault(domain, DomainLoss()).reasons[mark["step"], mark["reason"]] += 1
    most = sorted(found.items(), key=lambda item: (-item[1].dropped, item[0]))
    return {domain: loss for domain, loss in most[:largest] if loss.dropped}
