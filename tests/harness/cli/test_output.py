"""What reaches a terminal: text as it is, and nothing of it that a terminal would obey."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.cli.output import Output
from tests.build_engine.checkpoints import write_checkpoint
from tests.harness.cli.line import Line

HOSTILE = "a\x1b[31m\x07\u202eb"
SHOWN = r"a\x1b[31m\x07\u202eb"


def test_text_from_data_is_shown_and_never_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say(HOSTILE)
    out.table(["name"], [[HOSTILE]], title="Fine")
    out.next("engines", "show", HOSTILE)
    out.error(HOSTILE, 2)
    captured = capsys.readouterr()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", captured.err)
    assert captured.err.count(SHOWN) == 3
    assert r"enginebench engines show $'a\x1b[31m\x07" in captured.err
    assert json.loads(captured.out) == {"error": HOSTILE, "exit_code": 2}
    assert captured.out.isascii()


def test_a_folder_whose_name_a_terminal_would_obey(
    line: Line, tmp_path: Path, quick_builder: None
) -> None:
    model = write_checkpoint(tmp_path / "m\x1b[2J\nNext: rm -r x")
    said = line("build", "--model", model, "--recipe", "int8_wo")
    assert said.code == 0
    assert "\x1b" not in said.err
    assert "\nNext: rm" not in said.err
    said = line("engines", "list")
    assert r"m\x1b[2J\nNext: rm -r x" in said.err


def test_a_path_that_is_no_utf8(line: Line, tmp_path: Path) -> None:
    said = line("build", "--model", tmp_path / "caf\udce9", "--recipe", "int8_wo", "--json")
    assert said.code == 2
    assert r"caf\udce9" in said.err
    assert "caf\udce9" in said.document["error"]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_sentences_go_on_below_and_commands_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    out = Output(as_json=False)
    path = "/a/very/long/path/that/no/terminal/shows/in/one/line" * 3
    out.say("  performance: INVALID because " + "the median is above its limit; " * 9 + path)
    out.next("run", "--model", path, "--recipe", "int8_wo", "--scenario", "Offline")
    *lines, command = capsys.readouterr().err.splitlines()
    assert max(len(line) for line in lines if path not in line) <= width
    assert lines[0].startswith("  performance: INVALID because the median")
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()).count("the median is above its limit;") == 9
    assert path in "\n".join(lines)
    assert command.startswith("Next: ") and path in command and command.endswith(" Offline")


def test_a_terminal_gets_colour_and_a_file_gets_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(as_json=False)
    out.error("no", 2)
    assert capsys.readouterr().err == "enginebench: no\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out.error("no", 2)
    assert capsys.readouterr().err == "\x1b[1;31menginebench: no\x1b[0m\n"
