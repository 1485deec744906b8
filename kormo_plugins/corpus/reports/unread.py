"""Files from which almost nothing was read. They are listed after a build, because a single reject for a whole file is
easily missed among a million documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kormo_plugins.corpus.step import FileCount, Read, Rejected
from kormo_plugins.documents.document import Document

LEAST = 0.1
"""A file is listed if less than this share of its rows became documents (ours)."""
NO_ROW = "no row in it"
LISTED = 100
"""Maximum number of files kept in the statistics of a source, sorted by name."""
NAMED, LINES = 3, 10
"""Files named per line, and lines per warning."""

Tell = Callable[[FileCount], None]


def counted(items: Iterable[Document | Rejected], name: str, tell: Tell, *, whole: bool, least: float = LEAST) -> Read:
    """Passes the items of a file through unchanged; after the last one, calls `tell` with the file's counts.

    Args:
        whole: the items are the entire file; `tell` is then called only if the file should be listed. For ranges of a
            file it is always called, because the sum decides.
        least: share of documents from which an entire file is not listed.
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
    """Adds the counts to the files of a part: name -> `documents`, and `rejects` by reason."""
    file = files.setdefault(count.name, {"documents": 0, "rejects": {}})
    file["documents"] += count.documents
    for reason, number in count.rejects.items():
        file["rejects"][reason] = file["rejects"].get(reason, 0) + number


def unread(files: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    """Selects the files of a source from which (almost) nothing was read.

    Returns:
        `files`: their number; `listed`: the first `LISTED` of them with `documents`, `rejects` and the most common
            `reason`. Empty if there are none.
    """
    listed: list[dict[str, object]] = []
    for name, file in sorted(files.items()):
        reasons = file["rejects"]
        reason = max(reasons, key=lambda one: (reasons[one], one), default=NO_ROW)
        if _low(file["documents"], sum(reasons.values())):
            listed.append(
                {"name": name, "documents": file["documents"], "rejects": sum(reasons.values()), "reason": reason}
            )
    return {"files": len(listed), "listed": listed[:LISTED]} if listed else {}


def warnings(source: str, stats: Mapping[str, Any]) -> Iterator[str]:
    """Warning lines about the files of a source from which (almost) nothing was read, one per reason.

    Args:
        stats: statistics returned by `build_source`.
    """
    summary = stats.get("unread")
    if not summary:
        return
    noun = "files" if summary["files"] > 1 else "file"
    yield f"warning: {source}: (almost) nothing was read from {summary['files']:,} {noun}"
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for file in summary["listed"]:
        groups.setdefault(file["reason"], []).append(file)
    for reason, files in sorted(groups.items(), key=lambda group: -len(group[1]))[:LINES]:
        names = ", ".join(file["name"] for file in files[:NAMED])
        more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
        documents = sum(file["documents"] for file in files)
        rows = documents + sum(file["rejects"] for file in files)
        yield f"  {names}{more}: {documents:,} of {rows:,} rows: {reason}{_advice(reason)}"
    further = max(0, len(groups) - LINES)
    if further or summary["files"] > len(summary["listed"]):
        beyond = [(further, "reason"), (summary["files"] - len(summary["listed"]), "file")]
        parts = [f"{number:,} more {one}{'s' if number > 1 else ''}" for number, one in beyond if number]
        yield f"  {' and '.join(parts)}: see rejects/"


def _advice(reason: str) -> str:
    """Advice for the user, if the reason itself gives none."""
    if reason.startswith("not ") and reason.endswith("(encoding)"):
        return "; set `encoding` of the reader to its name or to `auto`"
    if reason == NO_ROW or "(" in reason:  # the key, or the tool, is named there
        return ""
    return "; run `kormo data peek FILE` to see how it is read"
