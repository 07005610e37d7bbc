"""The pages of `enginebench COMMAND --help`: what must be given stands first, a description is one
paragraph however its source is wrapped, and names that are configured are listed as they are.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from harness.streams import discard

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_SHIPPED = {"--round": "rounds", "--workload": "workloads"}
_SAYS_NOTHING = ("False", "()")  # the default of a flag, and of an option that may be repeated


class HelpPages:
    """Prints the parts of a help page, in cyclopts' own form but for the tables."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one table."""
        from cyclopts.help import DefaultFormatter

        if panel.format == "parameter":
            panel = panel.copy(entries=sorted(map(_entry, panel.entries), key=_is_optional))
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the line that says how the command is called."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def render_description(self, console: Console, options: ConsoleOptions, text: Any) -> None:
        """Print what the command does."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_description(console, options, text)


def help_console() -> Console:
    """Where help is printed: standard output, whose reader may go."""
    from rich.console import Console

    class Pages(Console):
        def on_broken_pipe(self) -> None:
            discard(sys.stdout)

    return Pages()


def describe(option: str, text: str) -> str:
    """What help says of an option: its text in one paragraph, and the names that are shipped."""
    words = " ".join(text.split())
    if option not in _SHIPPED:
        return words
    from build_engine.config import config_names

    return f"{words} Shipped: {', '.join(config_names(_SHIPPED[option]))}."


def shown_default(default: str | None) -> str | None:
    """A default as help shows it; None where it says nothing."""
    return None if default in _SAYS_NOTHING else default


def _entry(entry: HelpEntry) -> HelpEntry:
    source = getattr(entry.description, "primary_renderable", None)
    text = describe(next(iter(entry.names), ""), str(source or ""))
    shown: HelpEntry = entry.copy(description=text, default=shown_default(entry.default))
    return shown


def _is_optional(entry: HelpEntry) -> bool:
    return not entry.required
