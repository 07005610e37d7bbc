"""Progress shows what happens, at the right pace, on a terminal and in a log."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness import progress as progress_module
from harness.figures import Rates, describe, describe_test, describe_transfer, duration
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
    rates = Rates()
    assert not rates.per_s
    rates.add(1.0, 10, 100)
    assert not rates.per_s
    rates.add(3.0, 30, 500)
    assert rates.per_s == (10.0, 200.0)


def test_a_rate_is_of_the_last_seconds_alone() -> None:
    rates = Rates()
    for second in range(60):
        rates.add(float(second), 0, 0)
    for second in range(60, 80):
        rates.add(float(second), (second - 59) * 7, (second - 59) * 70)
    assert rates.per_s == pytest.approx((7.0, 70.0))


def test_a_rate_of_long_steps_is_that_of_the_last_two() -> None:
    rates = Rates()
    for half in range(121):  # a step of 2,048 every 20 s, told twice a second
        rates.add(half / 2, half // 40 * 2048)
    assert rates.per_s == pytest.approx((2048 / 20,))


def test_what_stands_still_has_a_falling_rate() -> None:
    rates = Rates()
    rates.add(0.0, 0)
    rates.add(1.0, 100)
    rates.add(6.0, 100)
    assert rates.per_s == (100.0,)
    rates.add(10.0, 100)
    assert rates.per_s == (10.0,)


def test_two_readings_at_one_moment_do_not_divide_by_zero() -> None:
    rates = Rates()
    rates.add(1.0, 0, 0)
    rates.add(1.0, 0, 0)
    assert not rates.per_s
    rates.add(1.0, 0, 1)
    assert rates.per_s[0] == 0.0


def test_only_a_reading_that_differs_is_news() -> None:
    rates = Rates()
    assert [rates.add(float(at), *each) for at, each in enumerate([(0, 0), (0, 0), (0, 1)])] == [
        True,
        False,
        True,
    ]


def rates_of(*counters: int) -> Rates:
    """Four seconds in which these were counted."""
    rates = Rates()
    rates.add(0.0, *(0 for _ in counters))
    rates.add(4.0, *counters)
    return rates


def test_a_line_tells_rates_latencies_and_the_time_left() -> None:
    figures = make_figures(
        issued=60,
        ttft_p99_s=0.1234,
        tpot_p99_s=0.005,
        active=8,
        queued=3,
        left_s=120.0,
        prompt_tokens=50_000,
        prompt_tokens_issued=60_000,
        kv_blocks_used=30,
        kv_blocks_total=80,
    )
    told = describe_test(40, 1240, figures, rates_of(8000, 30))
    assert told.line == (
        "40/1,240 | 2 min 00 s left | 2,000 tok/s | 7.5 prompt tok/s | KV cache 38% | "
        "TTFT p99 123.4 ms | TPOT p99 5.0 ms | 8 running, 3 queued"
    )


def test_prompts_are_told_where_all_queries_came_at_once() -> None:
    figures = make_figures(issued=40, prompt_tokens=2048, prompt_tokens_issued=60_000, active=40)
    assert describe_test(0, 40, figures, Rates()).line == (
        "0/40 | 3% of prompts read | 40 running, 0 queued"
    )
    read = replace(figures, prompt_tokens=60_000, left_s=9.0)
    assert describe_test(0, 40, read, Rates()).line == "0/40 | 9.0 s left | 40 running, 0 queued"


def test_a_line_leaves_out_what_is_not_known() -> None:
    assert describe(0, 10, Rates()).line == "0/10"
    assert describe(12_000, None, Rates()).line == "12,000"
    figures = make_figures(queued=1)
    assert describe_test(12_000, None, figures, Rates()).line == "12,000 | 0 running, 1 queued"


def test_nothing_is_left_at_the_end() -> None:
    assert describe(10, 10, rates_of(10)).line == "10/10"
    figures = make_figures(left_s=0.0)
    assert describe_test(10, 10, figures, Rates()).line == "10/10 | 0 running, 0 queued"


def test_work_that_begins_again_has_no_time_left_below_zero() -> None:
    rates = Rates()
    rates.add(0.0, 900)
    rates.add(1.0, 10)
    assert describe(10, 1000, rates).line == "10/1,000"
    assert describe_transfer(10, 1000, rates).line == "10 B of 1.0 kB"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_terminal_gets_all_of_a_line(
    terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = RichProgress()
    progress.phase("Measuring")
    progress.update(0, 13_368, make_figures())
    clock.now_s += 2.0
    figures = make_figures(
        issued=13_368,
        tokens=246_912,
        prompt_tokens=2_469_134,
        prompt_tokens_issued=2_469_135,
        ttft_p99_s=12.3456,
        tpot_p99_s=0.1234,
        active=256,
        queued=13_000,
        kv_blocks_used=5,
        kv_blocks_total=5,
        left_s=3599.0,
    )
    progress.update(12_000, 13_368, figures)
    progress.close()
    plain = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", terminal.getvalue()).splitlines()
    assert max(map(len, plain)) <= width
    shown = [line.strip() for line in plain]
    first = "12,000/13,368 | 100% of prompts read | 59 min 59 s left"
    assert any(line.endswith(f" {first}") for line in shown)
    assert "123,456 tok/s | 1,234,567 prompt tok/s | KV cache 100%" in shown
    assert "TTFT p99 12,345.6 ms | TPOT p99 123.4 ms | 256 running, 13,000 queued" in shown


def test_a_download_tells_how_much_how_fast_and_how_long() -> None:
    assert describe_transfer(0, 16_060_000_000, Rates()).line == "0 B of 16.1 GB"
    rates = rates_of(400_000_000)
    told = describe_transfer(400_000_000, 16_000_000_000, rates)
    assert told.line == "400.0 MB of 16.0 GB | 2 min 36 s left | 100.0 MB/s"
    assert describe_transfer(7, 7, rates).line == "7 B of 7 B | 100.0 MB/s"


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
        progress.update(done, 100, make_figures(tokens=done * 5, left_s=91.0 - done))
    progress.note("A note comes at once")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Measuring"
    assert [line.split(" | ")[0] for line in lines[1:-1]] == ["  9/100", "  19/100", "  29/100"]
    assert "| 5.0 tok/s |" in lines[1]
    assert "| 1 min 22 s left |" in lines[1]
    assert lines[-1] == "  A note comes at once"


def test_a_line_is_told_when_something_changed(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, every_s=10.0)
    progress.phase("Measuring")
    for second in range(1, 60):
        clock.now_s += 1.0
        read = 2048 * (second >= 9) + 2048 * (second >= 12)
        progress.update(0, 40, make_figures(prompt_tokens=read, active=40))
    progress.close()
    said = stream.getvalue().splitlines()
    assert len(said) == 3
    assert "prompt tok/s" in said[2]
    assert "prompt tok/s" in said[1]


def test_silence_is_broken_now_and_then_until_the_end() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, every_s=0.0, alive_s=0.05)
    progress.phase("Calibrating")
    _await(lambda: stream.getvalue().count("still at it") >= 2)
    assert "\n  still at it, for 0.1 s\n" in stream.getvalue()
    progress.update(3, 40)
    _await(lambda: "s: 3/40\n" in stream.getvalue())
    progress.close()
    progress.close()
    ended = stream.getvalue()
    time.sleep(0.2)
    assert stream.getvalue() == ended
    progress.phase("Another")
    _await(lambda: "still at it" in stream.getvalue().partition("Another")[2])
    progress.close()


def test_what_says_enough_is_not_asked_whether_it_lives() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, every_s=0.0, alive_s=0.4)
    progress.phase("Busy")
    for number in range(30):
        time.sleep(0.02)
        progress.update(number, 30)
    progress.close()
    assert "still at it" not in stream.getvalue()


def _await(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_phase_that_tells_nothing_moves_on_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = RichProgress()
    progress.phase("Calibrating")
    _await(lambda: terminal.getvalue().count("for ") >= 3)
    progress.close()


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
