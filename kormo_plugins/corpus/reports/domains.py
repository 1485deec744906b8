"""Documents dropped per domain, by reason, for documents with their address in `meta.url`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kormo_plugins.documents.document import Document

COPIES = ("exact duplicate", "near duplicate")
"""Prefixes of the reasons for dropping duplicates; their text is kept elsewhere."""


def domain_of(address: str) -> str:
    """`www.News.kr/1` and `https://news.kr/2` as `news.kr`; "" if there is no address."""
    host = urlsplit(address).hostname if "://" in address else address.partition("/")[0]
    return (host or "").lower().removeprefix("www.")


@dataclass
class DomainLoss:
    """Documents of a domain: the number kept, and the dropped ones by step and reason."""

    kept: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def dropped(self) -> int:
        """Number of dropped documents."""
        return sum(self.reasons.values())


def losses(kept: Iterable[Document], rejects: Iterable[Document], largest: int = 30) -> Mapping[str, DomainLoss]:
    """The domains with the most dropped documents, largest first; duplicates are not counted."""
    by_domain: dict[str, DomainLoss] = {}
    for document in kept:
        if domain := domain_of(str(document.meta.get("url", ""))):
            by_domain.setdefault(domain, DomainLoss()).kept += 1
    for document in rejects:
        mark = document.meta["rejected"]
        domain = domain_of(str(document.meta.get("url", "")))
        if domain and not mark["reason"].startswith(COPIES):
            by_domain.setdefault(domain, DomainLoss()).reasons[mark["step"], mark["reason"]] += 1
    ranked = sorted(by_domain.items(), key=lambda item: (-item[1].dropped, item[0]))
    return {domain: loss for domain, loss in ranked[:largest] if loss.dropped}
