"""A little of the fault run (`make faults`), and that it sees what it is there to see."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import pytest

from build_engine.errors import EXIT_OK
from tests.faults import hostile, kills, places, refusals
from tests.faults.command import Ended, Place
from tests.faults.full import make, table
from tests.faults.hostile import Make
from tests.faults.trials import Bench, Skipped, Trial, leftovers

SOUND = Ended(EXIT_OK, 1.0, 10**6, "", "", (), ())


def test_there_are_enough_kills_of_every_kind() -> None:
    bench = Bench(Path(), 4.0, 8.0, 3.0, 9.0)
    found = list(kills.trials(bench, seed=1))
    assert len(found) >= 60
    assert {trial.kind.removeprefix("kill ") for trial in found} == {
        "build",
        "run",
        "quantise",
        "audit",
    }
    told = " ".join(trial.name for trial in found)
    for word in ("SIGKILL", "SIGTERM", "SIGINT", "harness.loadgen.worker", "openvino.worker"):
        assert word in told
    assert [trial.name for trial in found] == [t.name for t in kills.trials(bench, seed=1)]
    assert [trial.name for trial in found] != [t.name for t in kills.trials(bench, seed=2)]
    others = [*refusals.trials(bench), *places.trials(bench, seed=1)]
    assert len(others) > 100


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (SOUND, None),
        (Ended(None, 99.0, 1, "", "", (), ()), "hang"),
        (Ended(-9, 1.0, 1, "", "", (), ()), "loss"),
        (Ended(EXIT_OK, 1.0, 2 * 10**9, "", "", (), ()), "hang"),
        (Ended(EXIT_OK, 1.0, 1, "", "Traceback (most recent call last):\n", (), ()), "traceback"),
        (Ended(EXIT_OK, 1.0, 1, "a\x1b[2J\n", "", (), ()), "traceback"),
        (Ended(EXIT_OK, 1.0, 1, "", "", ("python worker",), ()), "leftover"),
        (Ended(EXIT_OK, 1.0, 1, "", "", (), ("tmpfile",)), "leftover"),
    ],
)
def test_what_is_wrong_with_a_command_is_seen(ended: Ended, kind: str | None) -> None:
    assert [problem.partition(":")[0] for problem in ended.problems(EXIT_OK)] == (
        [] if kind is None else [kind]
    )


def test_a_refusal_without_a_sentence_is_seen() -> None:
    said = Ended(2, 1.0, 1, "", "enginebench: No.\n", (), ())
    assert said.problems(2) == []
    silent = Ended(2, 1.0, 1, "", f"enginebench: {'x' * 2000}\n", (), ())
    assert silent.problems(2)[0].startswith("traceback: no sentence")


def test_the_table_counts_faults_by_kind_and_what_was_not_made(tmp_path: Path) -> None:
    def skip(_: Path) -> list[str]:
        raise Skipped("not here")

    def fail(_: Path) -> list[str]:
        raise AssertionError("ours")

    found = [
        Trial("a", "sound", lambda _: []),
        Trial("a", "bad", lambda _: ["loss: x", "hang: y"]),
        Trial("b", "skipped", skip),
        Trial("b", "broken", fail),
    ]
    outcomes = make(found, tmp_path, time.monotonic() + 60)
    _, a, b, everything, reason = table(outcomes).splitlines()
    assert a.split() == ["a", "2", "1", "1", "0", "0", "0"]
    assert b.split() == ["b", "1", "1", "0", "0", "0", "1"]
    assert everything.split() == ["all", "3", "2", "1", "0", "0", "1"]
    assert reason == "skipped 1: not here"
    (late,) = make(found[:1], tmp_path, time.monotonic() - 1)
    assert late.skipped == "no time was left"


def test_a_process_that_stays_is_seen_and_ended(tmp_path: Path, monkeypatch: object) -> None:
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr("tests.faults.command._STRAY_S", 0.5)
    monkeypatch.setattr(
        "tests.faults.command.PROGRAM",
        f"import subprocess; subprocess.Popen([{sys.executable!r}, '-c', "
        "'import time; time.sleep(60)'], stdout=-3, stderr=-3)",
    )
    ended = Place(tmp_path).run()
    (stray,) = ended.strays
    assert "time.sleep(60)" in stray


def test_what_a_cache_should_not_hold_is_seen(tmp_path: Path) -> None:
    for name in ("engines/.locks", "engines/a/.building-1", "datasets/.preparing-1", "sound"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "digests").mkdir()
    (tmp_path / "digests" / ".a.json.1.part").touch()
    assert leftovers(tmp_path) == [
        "leftover: datasets/.preparing-1",
        "leftover: digests/.a.json.1.part",
        "leftover: engines/a/.building-1",
    ]


@pytest.mark.parametrize(
    "make_file",
    [
        hostile.REFUSED_CHECKPOINTS["a billion layers"],
        hostile.REFUSED_CHECKPOINTS["a shape of 10^18 by 10^18"],
        hostile.REFUSED_CHECKPOINTS["ESC in a key"],
    ],
)
def test_a_few_hostile_checkpoints(tmp_path: Path, make_file: Make) -> None:
    assert refusals.refuse_build(make_file, (2,), tmp_path) == []


def test_a_kill_of_a_build(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", 2.0, 2.0, 2.0, 2.0)
    first = next(trial for trial in kills.trials(bench, seed=3) if "SIGINT" in trial.name)
    assert first.kind == "kill build"
    (tmp_path / "trial").mkdir()
    assert first.act(tmp_path / "trial") == []


def test_a_command_whose_reader_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", 2.0, 2.0, 2.0, 2.0)
    act = partial(places.with_streams, bench, EXIT_OK, ("recipes", "--json"), "2>&1 | head -1")
    assert act(tmp_path) == []
