"""What a person and a machine get to see: text on standard error, JSON on standard output, and
nothing else anywhere.

This is the only module that prints, but for the help. Text is shown as it is: a path with
[brackets] or :colons: is no markup, and what a terminal would obey is written out.
"""

from __future__ import annotations

import io
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.program import command_line, here
from harness.cli.table import make_table
from harness.streams import printable, tell, write

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 160  # of tables that go to a file or a pipe


class Output:
    """The output of one command.

    With `as_json`, `result` writes one JSON document to standard output; text for people always
    goes to standard error. A command ends with `next` or `advice`: what to do now.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """A line of text; in a terminal it goes on below where its first word stands, by words."""
        tell(sys.stderr, f"{_fitted(printable(here(text)), self._console(io.StringIO()))}\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """A table, in the shape that can be read in this terminal (`table.py`)."""
        text = io.StringIO()
        console = self._console(text)
        if rows:
            cells = [[here(cell) for cell in row] for row in rows]
            console.print(make_table(columns, cells, console.width, title))
        tell(sys.stderr, _without_trailing_spaces(text.getvalue()))

    def lines(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows of a table without headings."""
        self.table([""] * len(rows[0]) if rows else [], rows)

    def result(self, document: Any) -> None:
        """The machine-readable result. Raises OSError when standard output cannot take it."""
        if self.as_json:
            write(sys.stdout, json.dumps(document, indent=2, default=str) + "\n")

    def text(self, text: str) -> None:
        """A document for standard output, where a user asks for it there. Raises OSError."""
        write(sys.stdout, text)

    def next(self, *words: object) -> None:
        """The last line: the command to give now, by its words; it can be pasted as it is."""
        tell(sys.stderr, f"Next: {self.command(*words)}\n")

    def advice(self, text: str) -> None:
        """The last line where it is no command of ours that can be pasted: what to do now, with
        CAPITALS where a command in it needs something that only the user knows.
        """
        tell(sys.stderr, f"Then: {printable(here(text))}\n")

    def command(self, *words: object) -> str:
        """A command of this program, as it was started, for advice."""
        return command_line(words)

    def error(self, text: str, exit_code: int, found: Mapping[str, object] | None = None) -> None:
        """Why the command did not do what it was asked; `found` is what it can say all the same."""
        text = here(text)
        shown = io.StringIO()
        console = self._console(shown)
        words = _fitted(f"enginebench: {printable(text)}", console)
        console.print(words, style="bold red", soft_wrap=True)
        tell(sys.stderr, shown.getvalue())
        self.result({**(found or {}), "error": text, "exit_code": exit_code})

    def _console(self, text: io.StringIO) -> Console:
        """What standard error would show, written to `text`."""
        from rich.console import Console

        at_terminal = sys.stderr.isatty()
        return Console(
            file=text,
            force_terminal=at_terminal,
            width=None if at_terminal else _PLAIN_WIDTH,
            markup=False,
            emoji=False,
            highlight=False,
        )


def _fitted(line: str, console: Console) -> str:
    """`line` in as many lines of a terminal as it takes; a word that is longer stays whole."""
    if not console.is_terminal:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(
        line,
        console.width,
        subsequent_indent=f"{indent}  " if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _without_trailing_spaces(text: str) -> str:
    """What fills a table's lines up would be copied along with them."""
    return "".join(f"{line.rstrip(' ')}\n" for line in text.splitlines())
