"""Total and free memory of this machine, or of the control group if its limit is lower."""

from __future__ import annotations

from pathlib import Path

CONTROL_GROUP = Path("/sys/fs/cgroup")
LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files with limit and usage of a control group, versions 2 and 1."""


def total_memory() -> int:
    """Bytes of physical memory."""
    import psutil

    return int(psutil.virtual_memory().total)


def free_memory(control_group: Path = CONTROL_GROUP) -> float:
    """Bytes available to this process: the kernel's available memory, or the control group's remainder."""
    import psutil

    free = float(psutil.virtual_memory().available)
    for limit, used in LIMITS:
        try:
            free = min(free, float((control_group / limit).read_text()) - float((control_group / used).read_text()))
        except (OSError, ValueError):  # no such control group, or `max`: unlimited
            continue
    return free
