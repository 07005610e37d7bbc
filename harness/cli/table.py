"""Tables that can be read in any terminal from 80 columns on; nothing is cut off.

A table takes the first of three shapes that is legible in the width there is: columns, whose texts
go on in further lines; turned over, with a column for each row; or one list of fields a row.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.streams import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_GAP = 2  # spaces between two columns
_WORD = 16  # characters of a cell that no shape breaks ...
_NAME = 30  # ... and of what names a row
_MAX_LINES = 6  # of one cell: a text in more of them is a column of its own
_INDENT = 2


def make_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, title: str = ""
) -> RenderableType:
    """A table for `width` characters. The first column names the row; columns after it that hold
    figures are right-aligned. Without headings (all are "") it is in columns whatever comes.
    """
    from rich.console import Group
    from rich.text import Text

    shown = [[printable(cell) for cell in row] for row in rows]
    if not any(columns):
        return _table(columns, shown, _widths(columns, shown, width))
    table = _in_columns(columns, shown, width) or _turned(columns, shown, width)
    body = table or _listed(columns, shown, width)
    return Group(Text(title, style="italic"), body) if title else body


def _in_columns(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table | None:
    """None where it would be too wide, or a cell of too many lines."""
    widths = _widths(columns, rows, width)
    heights = (
        len(textwrap.wrap(cell, wide, break_on_hyphens=False))
        for row in rows
        for cell, wide in zip(row, widths, strict=True)
    )
    if _total(widths) > width or max(heights, default=0) > _MAX_LINES:
        return None
    return _table(columns, rows, widths)


def _turned(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table | None:
    """A line for each column, and a column for each row."""
    first, *others = map(_flat, columns)
    names = [first, *(row[0] for row in rows)]
    lines = [[name, *(row[index] for row in rows)] for index, name in enumerate(others, start=1)]
    return _in_columns(names, lines, width) if lines else None


def _listed(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> RenderableType:
    """The first cell of each row as a heading, and the others below, beside their headings."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    labels = list(map(_flat, columns[1:]))
    first = max(map(len, labels), default=0)
    rest = max(width - first - _GAP - _INDENT, _WORD)
    parts: list[RenderableType] = []
    for row in rows:
        fields = [[label, cell] for label, cell in zip(labels, row[1:], strict=True) if cell]
        parts.append(Text(f"{_flat(columns[0])} {row[0]}", style="bold"))
        parts.append(
            Padding(_table(["", ""], fields, [first, rest], figures=False), (0, 0, 0, _INDENT))
        )
    return Group(*parts)


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    *,
    figures: bool = True,
) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(columns), padding=(0, _GAP, 0, 0))
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(
            column,
            justify="right" if figures and _are_figures(rows, index) else "left",
            width=width,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    return table


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The characters of each column: as wide as its texts, or as narrow as they allow where that
    is too much; the widest gives way first.
    """
    headings = [column.split("\n") for column in columns]
    cells = [[*heading, *(row[i] for row in rows)] for i, heading in enumerate(headings)]
    widths = [max(map(len, column)) for column in cells]
    words = (word for row in rows for word in row[0].split())
    least = [
        min(max(map(len, words), default=0), _NAME),
        *(
            wide if _are_figures(rows, index) else min(wide, _WORD)
            for index, wide in enumerate(widths[1:], start=1)
        ),
    ]
    least = [max(low, *map(len, head)) for low, head in zip(least, headings, strict=True)]
    while _total(widths) > width and widths != least:
        wide, index = max((wide, i) for i, wide in enumerate(widths) if wide > least[i])
        widths[index] = wide - 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _are_figures(rows: Sequence[Sequence[str]], index: int) -> bool:
    return index > 0 and all(_is_figure(row[index]) for row in rows)


def _is_figure(text: str) -> bool:
    return not text or (len(text) <= _WORD and (text[0].isdigit() or text[0] in "+-"))


def _flat(heading: str) -> str:
    return " ".join(heading.split())
