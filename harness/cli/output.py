"""What a person and a machine get to see: text on standard error, JSON on standard output, and
nothing else anywhere.

This is the only module that prints, but for the help.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.streams import discard, write

_PLAIN_WIDTH = 160  # of tables that go to a file or a pipe


class _Console(Console):
    """A console on standard error whose reader may go."""

    def on_broken_pipe(self) -> None:
        """Go on without a reader: the command's exit code still counts."""
        discard(sys.stderr)


class Output:
    """The output of one command.

    With `as_json`, `result` writes one JSON document to standard output; text for people always
    goes to standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        width = None if sys.stderr.isatty() else _PLAIN_WIDTH
        # Text is shown as it is: a path with [brackets] or :colons: is no markup.
        self._console = _Console(
            stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True, width=width
        )

    def say(self, text: str = "") -> None:
        """A line of text, as it is."""
        self._console.print(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """A table; columns after the first are right-aligned when they hold figures."""
        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
        for index, column in enumerate(columns):
            figures = index > 0 and all(_is_figure(row[index]) for row in rows)
            table.add_column(
                column, justify="right" if figures else "left", no_wrap=figures or index == 0
            )
        for row in rows:
            table.add_row(*row)
        self._console.print(table, soft_wrap=False)

    def result(self, document: Any) -> None:
        """The machine-readable result."""
        if self.as_json:
            write(sys.stdout, json.dumps(document, indent=2, default=str) + "\n")

    def next(self, text: str) -> None:
        """The last line: what to do now."""
        self.say(f"Next: {text}")

    def error(self, text: str, exit_code: int) -> None:
        """Why the command did not do what it was asked."""
        self._console.print(f"enginebench: {text}", style="bold red")
        self.result({"error": text, "exit_code": exit_code})


def _is_figure(text: str) -> bool:
    return not text or text == "-" or text[0].isdigit() or text[0] in "+-"
