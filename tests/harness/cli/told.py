"""Every command that the command line tells its user to give next is one that it takes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.cli.main import make_app
from harness.cli.output import Output
from harness.cli.program import command_line
from harness.streams import tell

PLACEHOLDERS = ("FILE", "NAME", "RUN")  # what only the user knows, in advice alone


def _read_by_a_shell(text: str) -> list[str]:
    if "$'" not in text:
        return shlex.split(text)
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.fixture(autouse=True)
def commands_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The arguments of each command that was told, parsed by the real parser when the test ends."""
    told: list[list[str]] = []

    def command(_out: Output, *words: object) -> str:
        told.append([str(word) for word in words])
        return command_line(words)

    def told_next(out: Output, *words: object) -> None:
        text = out.command(*words)
        assert not {str(word) for word in words} & set(PLACEHOLDERS), text
        assert _read_by_a_shell(text)[-len(words) :] == [str(word) for word in words]
        tell(sys.stderr, f"Next: {text}\n")

    shown = Output.advice

    def advice(out: Output, text: str) -> None:
        assert not text.startswith("enginebench "), "a command is told by its words"
        unknown = set(re.findall(r"\b[A-Z]{4,}\b", text)) - {*PLACEHOLDERS, "INVALID", "TEST"}
        assert not unknown, text
        shown(out, text)

    monkeypatch.setattr(Output, "command", command)
    monkeypatch.setattr(Output, "next", told_next)
    monkeypatch.setattr(Output, "advice", advice)
    yield told
    for words in told:
        make_app().parse_args(words, exit_on_error=False, print_error=False)
