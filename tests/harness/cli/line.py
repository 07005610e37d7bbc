"""Runs command lines inside the test's process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from harness.cli.main import run


@dataclass(frozen=True)
class Said:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which is one JSON document."""
        return json.loads(self.out)


class Line:
    """Runs command lines in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Said:
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        if captured.err and "enginebench: " not in captured.err:
            assert captured.err.splitlines()[-1].startswith(("Next: ", "Then: "))
        return Said(code, captured.out, captured.err)

    def refused(self, code: int, *arguments: object) -> str:
        """The one sentence of a refusal, the last thing said; `--json` puts it on standard output
        as well.
        """
        said = self(*arguments)
        assert said.code == code
        assert said.out == ""
        *steps, last = said.err.splitlines()
        assert last.startswith("enginebench: ")
        assert not any(step.startswith("enginebench: ") for step in steps)
        sentence = last.removeprefix("enginebench: ")
        assert self(*arguments, "--json").document == {"error": sentence, "exit_code": code}
        return sentence
