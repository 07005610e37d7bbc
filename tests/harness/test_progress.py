"""Progress shows what happens, at the right pace, on a terminal and in a log."""

from __future__ import annotations

import io
import re
import sys

import pytest

from harness import progress as progress_module
from harness.figures import Rate, describe, describe_transfer, duration
from harness.progress import (
    LineProgress,
    NullProgress,
    Progress,
    RichProgress,
    make_progress,
)
from tests.harness.figures import make_figures


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """Standard error that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal for a test to put in the place of standard error."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.44, "9.4 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3720, "1 h 02 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_rate_needs_two_readings() -> None:
    rate = Rate()
    assert rate.per_s == (0.0, 0.0)
    rate.add(1.0, 10, 100)
    assert rate.per_s == (0.0, 0.0)
    rate.add(3.0, 30, 500)
    assert rate.per_s == (10.0, 200.0)


def test_a_rate_is_of_the_last_seconds_alone() -> None:
    rate = Rate()
    for second in range(60):
        rate.add(float(second), 0, 0)
    for second in range(60, 80):
        rate.add(float(second), (second - 59) * 7, (second - 59) * 70)
    assert rate.per_s == pytest.approx((7.0, 70.0))


def test_two_readings_at_one_moment_do_not_divide_by_zero() -> None:
    rate = Rate()
    rate.add(1.0, 0, 0)
    rate.add(1.0, 0, 0)
    assert rate.per_s == (0.0, 0.0)


def test_a_line_tells_rates_latencies_and_the_time_left() -> None:
    rate = Rate()
    rate.add(0.0, 0, 0)
    rate.add(4.0, 40, 8000)
    figures = make_figures(ttft_p99_s=0.1234, tpot_p99_s=0.005, active=8, queued=3)
    assert describe(40, 1240, figures, rate) == (
        "40/1,240 | 2 min 00 s left | 2,000 tok/s | TTFT p99 123.4 ms | TPOT p99 5.0 ms | "
        "8 running, 3 queued"
    )


def test_a_line_leaves_out_what_is_not_known() -> None:
    assert describe(0, 10, None, Rate()) == "0/10"
    assert describe(12_000, None, None, Rate()) == "12,000"
    assert describe(12_000, None, make_figures(queued=1), Rate()) == "12,000 | 0 running, 1 queued"


def test_nothing_is_left_at_the_end() -> None:
    rate = Rate()
    rate.add(0.0, 0, 0)
    rate.add(1.0, 10, 0)
    assert describe(10, 10, None, rate) == "10/10"


def test_work_that_begins_again_has_no_time_left_below_zero() -> None:
    rate = Rate()
    rate.add(0.0, 900, 5000)
    rate.add(1.0, 10, 20)
    assert describe(10, 1000, None, rate) == "10/1,000"
    assert describe_transfer(10, 1000, rate) == "10 B of 1.0 kB"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_terminal_gets_all_of_a_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = RichProgress()
    figures = make_figures(
        tokens=10, ttft_p99_s=12.3456, tpot_p99_s=0.1234, active=256, queued=13_000
    )
    progress.update(12_000, 13_368, figures)
    progress.close()
    shown = " ".join(re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", terminal.getvalue()).split())
    assert "12,000/13,368 | TTFT p99 12,345.6 ms" in shown
    assert "256 running, 13,000 queued" in shown
    assert "…" not in shown


def test_a_download_tells_how_much_how_fast_and_how_long() -> None:
    rate = Rate()
    assert describe_transfer(0, 16_060_000_000, rate) == "0 B of 16.1 GB"
    rate.add(0.0, 0, 0)
    rate.add(4.0, 400_000_000, 0)
    told = describe_transfer(400_000_000, 16_000_000_000, rate)
    assert told == "400.0 MB of 16.0 GB | 2 min 36 s left | 100.0 MB/s"
    assert describe_transfer(7, 7, rate) == "7 B of 7 B | 100.0 MB/s"


def test_lines_of_a_download_come_at_their_pace(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, every_s=10.0)
    progress.phase("Downloading")
    for done in range(25):
        clock.now_s += 1.0
        progress.transferred(done * 1_000_000, 50_000_000)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "Downloading",
        "  9.0 MB of 50.0 MB | 41 s left | 1.0 MB/s",
        "  19.0 MB of 50.0 MB | 31 s left | 1.0 MB/s",
    ]


def test_lines_come_at_their_pace(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, every_s=10.0)
    progress.phase("Measuring")
    for done in range(30):
        clock.now_s += 1.0
        progress.update(done, 100, make_figures(tokens=done * 5))
    progress.note("A note comes at once")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Measuring"
    assert [line.split(" | ")[0] for line in lines[1:-1]] == ["  9/100", "  19/100", "  29/100"]
    assert "5 tok/s" in lines[1]
    assert "| 1 min 31 s left |" in lines[1]
    assert lines[-1] == "  A note comes at once"


def test_a_new_phase_starts_its_own_rate(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, every_s=0.0)
    progress.phase("One")
    for done in (0, 1000):
        clock.now_s += 1.0
        progress.update(done, 2000, make_figures())
    progress.phase("Two")
    progress.update(0, 2000)
    assert stream.getvalue().splitlines()[-1] == "  0/2,000"


def _show(progress: Progress) -> None:
    progress.phase("Preparing [red]my[/x] :smile: data")
    progress.note("Engine [bold] here")
    for done in (0, 5, 10):
        progress.update(done, 10, make_figures(tokens=done))
    progress.phase("Downloading")
    for done in (0, 5, 10):
        progress.transferred(done * 1000, 10_000)
    progress.close()
    progress.close()


def test_a_terminal_gets_a_bar_and_the_text_as_it_is(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    _show(RichProgress())
    shown = terminal.getvalue()
    assert "Preparing [red]my[/x] :smile: data" in shown
    assert "  Engine [bold] here" in shown
    assert "10/10" in shown
    assert "10.0 kB of 10.0 kB" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2  # the cursor is back


def test_closing_before_anything_was_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    RichProgress().close()
    assert terminal.getvalue() == ""


def test_the_stream_decides(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    assert isinstance(make_progress(quiet=True), NullProgress)
    assert isinstance(make_progress(), RichProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_progress(), LineProgress)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(make_progress(), LineProgress)


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    _show(NullProgress())
    assert capsys.readouterr() == ("", "")
