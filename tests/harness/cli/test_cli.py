"""The command line: exit codes, JSON on standard output alone, and one sentence for any mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from build_engine.config import config_names
from build_engine.errors import EngineDied, ResultProblem
from harness.cli import main as main_module
from harness.cli.output import Output
from harness.doctor import libraries
from harness.progress import LineProgress
from harness.runs import engine_choice as assemble
from tests.harness.cli.line import Line

ROOT = Path(__file__).parents[3]
COMMANDS = [
    "audit",
    "build",
    "compare",
    "dataset",
    "demo",
    "doctor",
    "endpoint",
    "engines",
    "plan",
    "recipes",
    "report",
    "run",
    "runs",
    "scaling",
    "search",
    "serve",
    "submission",
    "sweep",
    "targets",
    "workloads",
]


def test_the_overview_lists_every_command(line: Line) -> None:
    said = line("--help")
    assert said == line("-h") == line()
    assert said.code == 0
    assert said.err == ""
    assert [row.split()[0] for row in said.out.splitlines() if row.startswith("  ")] == COMMANDS
    assert "130 interrupted" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(line: Line, command: str) -> None:
    said = line(command, "--help")
    assert said.code == 0
    assert f"enginebench {command}" in said.out
    assert main_module._COMMANDS[command].split(",")[0].rstrip(".") in " ".join(said.out.split())


def test_the_version(line: Line) -> None:
    assert line("--version").out.strip().count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "Unknown command `rnu`. Did you mean `run`? Valid: audit, build, compare, "),
        (["engines", "lst"], "Unknown engines command `lst`. Did you mean `list`? Valid: list, "),
        (["--verbose"], "Unknown command `--verbose`."),
        (["targets", "a30"], "Nothing takes `a30`. `enginebench targets --help` shows"),
        (["recipes", "--targte", "a30"], "--target"),
        (["run"], "--model"),
        (["build", "--model"], "--model requires an argument. `enginebench build --help`"),
        (["dataset", "--count", "many"], 'unable to convert "many" into int'),
        (["targets", "--no-json"], "--no-json"),
    ],
)
def test_a_line_that_does_not_parse(line: Line, arguments: list[str], told: str) -> None:
    assert told in line.refused(2, *arguments)


def test_an_unknown_command_loads_no_command() -> None:
    program = (
        "import sys; from harness.cli.main import run; code = run(['rnu']);"
        "from harness.cli.main import _COMMANDS;"
        "loaded = [name for name in _COMMANDS if f'harness.cli.{name}' in sys.modules];"
        "sys.exit(f'{code} {loaded}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "2 []"


def test_targets(line: Line) -> None:
    said = line("targets")
    assert said.code == 0
    assert said.out == ""
    assert all(name in said.err for name in config_names("targets"))
    assert said.err.splitlines()[-1].startswith("Next: enginebench ")
    listed = line("targets", "--json").document
    assert [target["name"] for target in listed] == config_names("targets")
    a30 = next(target for target in listed if target["name"] == "a30")
    assert a30["sm"] == 80
    assert "fp8" not in a30["dense_tflops"]


def test_recipes_of_a_target(line: Line) -> None:
    said = line("recipes", "--target", "a30")
    assert said.code == 0
    assert "`fp8` is refused on `a30`: it needs FP8 arithmetic" in said.err
    listed = {recipe["name"]: recipe for recipe in line("recipes", "--json").document}
    assert sorted(listed) == config_names("recipes")
    assert "a30" in listed["fp8"]["refused"]
    assert "cpu" in listed["int8_sq_static"]["refused"]
    assert listed["int8_wo"]["refused"] == {}
    assert "Did you mean `a30`?" in line.refused(2, "recipes", "--target", "a31")


def test_doctor_finds_a_good_machine(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed_version", lambda name: "6.0.17")
    said = line("doctor", "--json")
    assert said.code == 0
    assert said.document["ok"] is True
    assert {check["level"] for check in said.document["checks"]} == {"pass", "warn"}
    assert {check["name"] for check in said.document["checks"]} >= {"machine", "target", "cache"}
    assert said.err.splitlines()[-1] == "Next: enginebench demo"


def test_doctor_finds_a_problem(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("nncf", "tensorrt-llm")
    monkeypatch.setattr(
        libraries, "installed_version", lambda name: None if name in missing else "6.0.17"
    )
    said = line("doctor", "--json")
    assert said.code == 3
    assert said.document["ok"] is False
    assert re.search(r"^FAIL +nncf +not installed", said.err, re.MULTILINE)
    last = said.err.splitlines()[-1]
    assert last.startswith(f"Then: {sys.executable} -m pip install ")
    assert last.endswith("[cpu]'")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ResultProblem("Too\n slow."), 1, "Too slow."),
        (EngineDied("It died."), 4, "It died."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (PermissionError(13, "Permission denied", "/x"), 3, "Permission denied (/x)"),
        (OSError(28, "No space left on device"), 3, "No space left on device."),
    ],
)
def test_what_a_command_raises_becomes_an_exit(
    line: Line,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    told: str,
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(assemble, "build_spec", fail)
    assert told in line.refused(code, "build", "--model", tiny, "--recipe", "bf16")


def test_progress_is_closed_when_a_command_fails(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(LineProgress, "close", lambda self: closed.append(True))
    line.refused(2, "build", "--model", "newsbrief", "--recipe", "fp8")
    assert closed == [True, True]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["targets", "--json"], 0),
        (["recipes", "--target", "no", "--json"], 2),
        (["build", "--model", "newsbrief", "--target", "a30", "--recipe", "bf16", "--json"], 3),
    ],
)
@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_a_reader_that_has_gone_changes_no_exit_code(
    arguments: list[str], code: int, gone: str
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    program = "from harness.cli.main import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            stdout=write_end if gone == "stdout" else subprocess.PIPE,
            stderr=write_end if gone == "stderr" else subprocess.PIPE,
            cwd=ROOT,
            check=False,
        )
    finally:
        os.close(write_end)
    assert done.returncode == code
    if gone == "stdout":
        assert b"BrokenPipe" not in done.stderr
    elif "--json" in arguments:
        assert json.loads(done.stdout)


def test_tables_line_up_figures_and_keep_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.table(["name", "MB", "what"], [["a", "1.5", ":smile:"], ["b", "12.0", "[x]"]])
    out.result({"never": "shown"})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [row.rstrip() for row in captured.err.splitlines()] == [
        "name    MB  what",
        "a      1.5  :smile:",
        "b     12.0  [x]",
    ]
