"""What a person and a machine get to see: text on standard error, JSON on standard output, and
nothing else anywhere.

This is the only module that prints, but for the help. Text is shown as it is: a path with
[brackets] or :colons: is no markup, and what a terminal would obey is written out.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.program import command_line
from harness.streams import printable, tell, write

if TYPE_CHECKING:
    from rich.console import RenderableType

_WORD = 16  # characters of a cell that a narrow terminal does not break
_PLAIN_WIDTH = 160  # of tables that go to a file or a pipe


class Output:
    """The output of one command.

    With `as_json`, `result` writes one JSON document to standard output; text for people always
    goes to standard error. A command ends with `next` or `advice`: what to do now.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """A line of text."""
        tell(sys.stderr, f"{printable(text)}\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """A table; columns after the first are right-aligned when they hold figures. In a narrow
        terminal long texts go on in further lines, and nothing is cut off.
        """
        from rich.table import Table

        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
        for index, column in enumerate(columns):
            figures = index > 0 and all(_is_figure(row[index]) for row in rows)
            table.add_column(
                column,
                justify="right" if figures else "left",
                no_wrap=figures or max((len(row[index]) for row in rows), default=0) <= _WORD,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*map(printable, row))
        self._show(table, soft_wrap=False)

    def result(self, document: Any) -> None:
        """The machine-readable result. Raises OSError when standard output cannot take it."""
        if self.as_json:
            write(sys.stdout, json.dumps(document, indent=2, default=str) + "\n")

    def next(self, *words: object) -> None:
        """The last line: the command to give now, by its words; it can be pasted as it is."""
        self.say(f"Next: {self.command(*words)}")

    def advice(self, text: str) -> None:
        """The last line where it is no command of ours that can be pasted: what to do now, with
        CAPITALS where a command in it needs something that only the user knows.
        """
        self.say(f"Then: {text}")

    def command(self, *words: object) -> str:
        """A command of this program, as it was started, for advice."""
        return command_line(words)

    def error(self, text: str, exit_code: int) -> None:
        """Why the command did not do what it was asked."""
        self._show(f"enginebench: {printable(text)}", style="bold red")
        self.result({"error": text, "exit_code": exit_code})

    def _show(
        self, shown: RenderableType, *, style: str | None = None, soft_wrap: bool = True
    ) -> None:
        from rich.console import Console

        at_terminal, text = sys.stderr.isatty(), io.StringIO()
        console = Console(
            file=text,
            force_terminal=at_terminal,
            width=None if at_terminal else _PLAIN_WIDTH,
            markup=False,
            emoji=False,
            highlight=False,
        )
        console.print(shown, style=style, soft_wrap=soft_wrap)
        tell(sys.stderr, text.getvalue())


def new_folder(wish: str) -> str:
    """A folder for the next command to write: as wished, or with the first free number behind."""
    names = (wish if number == 1 else f"{wish}-{number}" for number in itertools.count(1))
    return next(name for name in names if not Path(name).exists())


def _is_figure(text: str) -> bool:
    return not text or text == "-" or text[0].isdigit() or text[0] in "+-"
