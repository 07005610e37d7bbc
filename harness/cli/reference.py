"""docs/command-line.md, made from the commands themselves:

python -m harness.cli.reference > docs/command-line.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from harness.cli.help import describe, shown_default
from harness.cli.main import make_app
from harness.streams import write

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument

_INTRODUCTION = """\
# The command line

Made from the commands by `python -m harness.cli.reference`; `enginebench COMMAND --help` says the
same. Text for people goes to standard error, and `--json` writes the result to standard output.
`python -m enginebench` is the same program.

| exit code | meaning |
| --- | --- |
| 0 | success |
| 1 | the result does not pass: INVALID, accuracy missed, an engine that does not verify |
| 2 | usage or configuration: the message says what, and the valid choices |
| 3 | environment: a missing library, a full disk, a folder that cannot be written |
| 4 | the run failed, with the cause; or an unexpected error, with the log of it |
| 130 | interrupted: what was measured is kept |
"""
_WORDS = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}


def reference() -> str:
    """The whole document."""
    root = make_app()
    sections = [_section(root, path) for path in _paths(root)]
    return "\n".join([_INTRODUCTION, *sections])


def _paths(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of each command, in the order of `--help`; what begins with dashes comes last."""
    reserved = {*app.help_flags, *app.version_flags}
    for name in sorted(set(app) - reserved, key=lambda name: (name.startswith("-"), name)):
        below = list(_paths(app[name], *path, name))
        yield from below or [(*path, name)]


def _section(root: App, path: tuple[str, ...]) -> str:
    command = root
    for name in path:
        command = command[name]
    with root.app_stack(path):  # so that the command inherits the root's defaults
        found = command.assemble_argument_collection(parse_docstring=True)
    arguments = [argument for argument in found if argument.name != "*"]
    arguments.sort(key=lambda argument: not argument.required)
    placed = [a for a in arguments if a.required or a.index is not None]
    words = [_call(argument) for argument in placed]
    options = ["[OPTIONS]"] if len(placed) < len(arguments) else []
    rows = "".join(_row(argument) for argument in arguments)
    return (
        f"## enginebench {' '.join(path)}\n\n{_sentence(command)}\n\n"
        f"```\n{' '.join(['enginebench', *path, *words, *options])}\n```\n\n"
        f"| option | meaning | default |\n| --- | --- | --- |\n{rows}"
    )


def _sentence(command: App) -> str:
    """What the command says of itself, in full where its own text says more than the overview."""
    doc = command.default_command.__doc__ or "" if command.default_command else ""
    return " ".join(doc.split("\n\n")[0].split())


def _call(argument: Argument) -> str:
    """How a call gives it: a positional one by its place, in brackets where it may be left out."""
    if argument.index is None:
        return f"{argument.name}{_value(argument)}"
    _, repeated = _kind(argument.hint)
    name = f"{argument.name.lstrip('-').upper()}{'...' if repeated else ''}"
    return name if argument.required else f"[{name}]"


def _row(argument: Argument) -> str:
    names = [_call(argument)] if argument.index is not None else []
    names += [f"{name}{_value(argument)}" for name in argument.names]
    shown = ", ".join(f"`{name}`" for name in names)
    meaning = describe(argument.name, argument.parameter.help or "").replace("|", "\\|")
    return f"| {shown} | {meaning} | {_default(argument)} |\n"


def _default(argument: Argument) -> str:
    if argument.required:
        return "required"
    default = argument.field_info.default
    shown = None if default is None else shown_default(str(default))
    return f"`{shown}`" if shown is not None else ""


def _value(argument: Argument) -> str:
    kind, repeated = _kind(argument.hint)
    if kind is bool:
        return ""
    word = "\\|".join(sorted(get_args(kind))) if get_origin(kind) is Literal else _WORDS[kind]
    return f" {word}{'...' if repeated else ''}"


def _kind(hint: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several: `X | None`, `Sequence[X]`."""
    outer = get_origin(hint)
    if outer in (None, Literal):
        return hint, False
    kind, several = _kind(next(inner for inner in get_args(hint) if inner is not type(None)))
    return kind, several or outer not in (Union, UnionType)


if __name__ == "__main__":
    write(sys.stdout, reference())
