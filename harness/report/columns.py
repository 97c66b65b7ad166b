"""Plain aligned columns for lists: the library for tables takes longer to import than a whole reading verb."""

from collections.abc import Sequence


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows under their headings, each column as wide as its widest cell."""
    cells = [[" ".join(cell.split()) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def pipes(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table, for verbs that are too light for the library for tables."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
