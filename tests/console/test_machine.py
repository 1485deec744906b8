"""The machine's memory as a control group allows it, and tables in any script."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.console.machine import free_memory, total_memory
from kormo_plugins.console.table import aligned


@pytest.mark.parametrize("names", [("memory.max", "memory.current"),
                                   ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")])  # fmt: skip
def test_a_control_group_leaves_less_than_the_kernel(names: tuple[str, str], tmp_path: Path) -> None:
    limit, used = (tmp_path / name for name in names)
    limit.parent.mkdir(exist_ok=True)
    assert 0 < free_memory(tmp_path) <= total_memory()
    used.write_text("1000\n")
    limit.write_text("max\n")
    assert free_memory(tmp_path) > 4000
    limit.write_text("5000\n")
    assert free_memory(tmp_path) == 4000


def test_a_table_is_aligned_in_korean_too() -> None:
    text = aligned(["name", "count"], [["한국어", "7"], ["en", "1,234"]], numbers=[1])
    assert text == "name    count\n한국어      7\nen      1,234"
