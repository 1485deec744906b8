"""Files of which nothing, or next to nothing, was read: named after a build, since among a million documents the one
reject of a whole file in another encoding would be seen by nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kormo_plugins.corpus.step import FileCount, Read, Rejected
from kormo_plugins.documents.document import Document

LEAST = 0.1
"""Share of a file's rows that must become documents, or the file is named (ours)."""
NO_ROW = "no row in it"
LISTED = 100
"""Files that are kept in the statistics of a source, in the order of their names."""
NAMED, LINES = 3, 10
"""Files that a line names, and lines of a warning."""

Tell = Callable[[FileCount], None]


def counted(items: Iterable[Document | Rejected], name: str, tell: Tell, *, whole: bool, least: float = LEAST) -> Read:
    """The items of a file as they are; behind the last one, `tell` hears what became of them.

    Args:
        whole: they are all of the file; then only what is worth naming is told. Of ranges everything is, for the sum
            decides.
        least: share of documents from which a whole file is not told.
    """
    documents = 0
    reasons: Counter[str] = Counter()
    for item in items:
        if isinstance(item, Rejected):
            reasons[item.reason] += 1
        else:
            documents += 1
        yield item
    if not whole or _low(documents, reasons.total(), least):
        tell(FileCount(name, documents, reasons))


def _low(documents: int, rejects: int, least: float = LEAST) -> bool:
    return documents == 0 or documents < least * (documents + rejects)


def add(files: dict[str, dict[str, Any]], count: FileCount) -> None:
    """Adds what was told to the files of a part: name -> `documents`, and `rejects` by reason."""
    file = files.setdefault(count.name, {"documents": 0, "rejects": {}})
    file["documents"] += count.documents
    for reason, number in count.rejects.items():
        file["rejects"][reason] = file["rejects"].get(reason, 0) + number


def unread(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of the files of a source, those of which (almost) nothing was read.

    Returns:
        `files`, their number, and `listed`: the first `LISTED` of them with `documents`, `rejects` and `reason`, the
        commonest one; empty where there is none.
    """
    found: list[dict[str, Any]] = []
    for name, file in sorted(files.items()):
        reasons = file["rejects"]
        reason = max(reasons, key=lambda one: (reasons[one], one), default=NO_ROW)
        if _low(file["documents"], sum(reasons.values())):
            found.append(
                {"name": name, "documents": file["documents"], "rejects": sum(reasons.values()), "reason": reason}
            )
    return {"files": len(found), "listed": found[:LISTED]} if found else {}


def warnings(source: str, stats: Mapping[str, Any]) -> Iterator[str]:
    """What to tell a person of a source's files of which (almost) nothing was read: a line for each reason.

    Args:
        stats: what `build_source` returned.
    """
    found = stats.get("unread")
    if not found:
        return
    many = "files" if found["files"] > 1 else "file"
    yield f"warning: {source}: nothing, or next to nothing, was read of {found['files']:,} {many}"
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for file in found["listed"]:
        groups.setdefault(file["reason"], []).append(file)
    for reason, files in sorted(groups.items(), key=lambda group: -len(group[1]))[:LINES]:
        names = ", ".join(file["name"] for file in files[:NAMED])
        more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
        documents = sum(file["documents"] for file in files)
        rows = documents + sum(file["rejects"] for file in files)
        yield f"  {names}{more}: {documents:,} of {rows:,} rows: {reason}{_advice(reason)}"
    left = max(0, len(groups) - LINES)
    if left or found["files"] > len(found["listed"]):
        yield f"  and others ({left} more reasons, {found['files'] - len(found['listed']):,} more files): see rejects/"


def _advice(reason: str) -> str:
    """What to do about it, where the reason itself does not say."""
    if reason.startswith("not ") and reason.endswith("(encoding)"):
        return "; write `encoding: auto`, or its name, in the reader"
    if reason == NO_ROW or "(" in reason:  # the key, or the tool, is named there
        return ""
    return "; `kormo data peek FILE` shows how it is read"
