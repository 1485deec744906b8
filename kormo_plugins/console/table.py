"""Tables for a terminal or a pipe, with aligned columns for cells in any script."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """The lines of a table, with two spaces between columns; a Hangul syllable is two columns wide.

    Args:
        header: one title per column.
        rows: cells as text.
        numbers: indices of right-aligned columns.
    """
    from rich.cells import cell_len

    table = [header, *rows]
    widths = [max(cell_len(line[column]) for line in table) for column in range(len(header))]

    def cell(text: str, column: int) -> str:
        """The text padded to its column's width, in terminal columns."""
        space = " " * (widths[column] - cell_len(text))
        return space + text if column in numbers else text + space

    return "\n".join("  ".join(cell(text, column) for column, text in enumerate(line)).rstrip() for line in table)
