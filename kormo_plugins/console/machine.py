"""The memory of this machine, and what of it is free; the control group's limit counts where it is lower."""

from __future__ import annotations

from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")
LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Limit and use of a control group, version 2 and version 1."""


def total_memory() -> int:
    """Bytes of physical memory."""
    return int(psutil.virtual_memory().total)


def free_memory(control_group: Path = CONTROL_GROUP) -> float:
    """Bytes that this process can still take: what the kernel calls available, or what the control group leaves."""
    free = float(psutil.virtual_memory().available)
    for limit, used in LIMITS:
        try:
            free = min(free, float((control_group / limit).read_text()) - float((control_group / used).read_text()))
        except (OSError, ValueError):  # no such control group, or `max`: unlimited
            continue
    return free
