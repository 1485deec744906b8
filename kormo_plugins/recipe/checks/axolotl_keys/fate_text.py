"""The table of fates for people: as rows, and as the Markdown of docs/recipes.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from kormo_plugins.recipe.checks.axolotl_keys.fate_table import TABLE
from kormo_plugins.recipe.checks.axolotl_keys.fates import Fate, Kind

HEADINGS = {
    Kind.WORKS: "Works",
    Kind.ELSEWHERE: "Refused: another key sets it",
    Kind.HARMFUL: "Refused: the run would differ from what the recipe says",
    Kind.IRRELEVANT: "Warning: no effect",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One key, its fate and an explanation."""

    key: str
    kind: str
    told: str

    def as_json(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)


def rows() -> Iterator[Row]:
    """The keys in alphabetical order."""
    for key in sorted(TABLE):
        yield Row(key, TABLE[key].kind.value, _told(TABLE[key]))


def markdown_table() -> str:
    """Four tables, one per fate; keys with the same explanation share a line."""
    lines: list[str] = []
    for kind, heading in HEADINGS.items():
        groups: dict[str, list[str]] = {}
        for key in sorted(TABLE):
            if TABLE[key].kind is kind:
                groups.setdefault(_told(TABLE[key]), []).append(f"`{key}`")
        lines += [f"### {heading}", "", "| keys | |", "|---|---|"]
        lines += [
            f"| {', '.join(keys)} | {explanation} |"
            for explanation, keys in sorted(groups.items(), key=lambda item: item[1])
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _told(fate: Fate) -> str:
    if fate.needs:
        return "together with " + " or ".join(f"`{name}`" for name in fate.needs)
    if fate.instead:
        return f"{fate.instead}: {fate.why}"
    return fate.why
