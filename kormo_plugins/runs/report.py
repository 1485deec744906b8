"""What a finished run writes for people: a file of samples, and the report page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kormo_plugins.reporting.page import write_report
from kormo_plugins.store.json_file import write_json

SAMPLES = "samples.json"


def write_samples(out: Path, written: Sequence[tuple[str, str]]) -> None:
    """`samples.json`: what the finished model wrote after each prompt."""
    write_json(out / SAMPLES, [{"prompt": prompt, "text": text} for prompt, text in written])


def run_report(out: Path) -> Path:
    """`report.html` in the run's folder; returns its path."""
    return write_report([out], out / "report.html")
