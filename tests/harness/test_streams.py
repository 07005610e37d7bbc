"""Standard streams that are closed, full or without a reader; and text that a terminal may show."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.progress import LineProgress, RichProgress
from harness.streams import printable, tell, write

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")


def enginebench(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in a shell that redirects its streams."""
    program = "from harness.cli.main import main; main()"
    words = [sys.executable, "-c", program, *arguments]
    command = ["bash", "-c", f'"$@" {redirection}', "bash", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("redirection", "code", "written", "told"),
    [
        (">&-", 0, False, True),
        ("2>&-", 0, True, False),
        ("<&- >&- 2>&-", 0, False, False),
        (">/dev/full", 3, False, True),
        ("2>/dev/full", 0, True, False),
        (">/dev/full 2>/dev/full", 3, False, False),
    ],
)
def test_a_command_ends_in_its_own_way_whatever_its_streams_are(
    redirection: str, code: int, written: bool, told: bool
) -> None:
    if "full" in redirection and not FULL.exists():
        pytest.skip("this system has no /dev/full")
    done = enginebench(redirection, "recipes", "--json")
    assert done.returncode == code
    assert bool(done.stdout) == written
    assert bool(done.stderr) == told
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if written:
        assert json.loads(done.stdout)
    if code and told:
        *_, last = done.stderr.splitlines()
        assert last == "enginebench: The system refused: No space left on device."


@pytest.mark.parametrize("arguments", [["--help"], ["recipes", "--help"], ["--version"]])
@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">/dev/full", 3)])
def test_help_ends_in_its_own_way_too(arguments: list[str], redirection: str, code: int) -> None:
    done = enginebench(redirection, *arguments)
    assert done.returncode == code
    assert done.stderr.count("\n") == (1 if code else 0)


def test_a_help_page_may_lose_its_reader() -> None:
    done = enginebench("| true; exit ${PIPESTATUS[0]}", "recipes", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_child_writes_into_a_file_that_has_the_number_of_a_closed_stream(
    tmp_path: Path,
) -> None:
    program = (
        "import subprocess; from harness.streams import prepare; prepare();"
        f"kept = open({str(tmp_path / 'kept')!r}, 'w');"
        "subprocess.run(['echo', 'said'], check=True); kept.close()"
    )
    command = f'"{sys.executable}" -c "$1" >&- 2>&-'
    done = subprocess.run(["bash", "-c", command, "bash", program], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert (tmp_path / "kept").read_text() == ""


def test_a_full_disk_is_said_once_and_what_follows_is_dropped() -> None:
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with FULL.open("w") as stream:
        with pytest.raises(OSError, match="No space left"):
            write(stream, "lost")
        write(stream, "lost as well")
    with FULL.open("w") as stream:
        tell(stream, "not missed")
        tell(stream, "either")


def test_nobody_who_reads_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        write(stream, "dropped")
        write(stream, "dropped as well")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 模型 🚀", "plain, größer, 模型 🚀"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("two\nlines\r\tand a tab", r"two\nlines\r\tand a tab"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("caf\udce9", r"caf\udce9"),
        ("\x7f\u2028", r"\x7f\u2028"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_progress_shows_no_control_characters() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.phase("Engine a\x1b[2Jb")
    progress.note("c\rd")
    assert stream.getvalue() == "Engine a\\x1b[2Jb\n  c\\rd\n"


def test_a_bar_shows_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    progress.phase("Engine a\x1b[2Jb")
    progress.note("c\x9bd")
    progress.close()
    shown = capsys.readouterr().err
    assert r"Engine a\x1b[2Jb" in shown
    assert r"  c\x9bd" in shown
    assert "\x1b[2J" not in shown
