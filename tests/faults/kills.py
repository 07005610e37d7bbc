"""Kills at seeded moments: whatever ends a command, and when, nothing half-made is taken for whole,
the next command works, and nothing of the killed one stays.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from build_engine.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from harness.rules.rounds import load_round
from harness.runs.folder import AUDIT_TEST
from harness.runs.run import Run
from tests.faults.command import Kill, Place
from tests.faults.trials import BUILD, QUANTISE, RUN, WHOLE_RUN, Bench, Trial, leftovers, untrue

_KILL, _TERM, _INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
_PATTERNS = ((_KILL,), (_KILL,), (_TERM,), (_INT,), (_INT, _INT))
_STARTED_S = 0.5  # Python itself, before any line of ours
_TARGETS = ("harness.loadgen.worker", "runtime.openvino.worker")
# how many of each kind
_NUM_BUILDS, _NUM_RUNS, _NUM_QUANTISED, _NUM_AUDITS, _NUM_TARGETED = 16, 18, 12, 12, 4


def trials(bench: Bench, seed: int, share: float = 1.0) -> Iterator[Trial]:
    """All of them, or the first `share` of each kind; equal seeds give equal moments of equally
    fast machines.
    """
    chance = random.Random(seed)
    kinds: tuple[tuple[str, int, float, Callable[[Bench, Kill, Path], list[str]]], ...] = (
        ("kill build", _NUM_BUILDS, bench.build_s, _build),
        ("kill quantise", _NUM_QUANTISED, bench.quantise_s, _quantise),
        ("kill run", _NUM_RUNS, bench.run_s, _run),
        ("kill audit", _NUM_AUDITS, bench.audit_s, _audit),
    )
    for kind, number, seconds, act in kinds:
        for index in range(max(1, round(number * share))):
            kill = _kill(chance, _PATTERNS[index % len(_PATTERNS)], seconds)
            yield Trial(kind, str(kill), partial(act, bench, kill))
    for kind, _, seconds, act in kinds[-2:]:  # those that have LoadGen's process
        for index in range(max(1, round(_NUM_TARGETED * share))):
            kill = Kill(((chance.uniform(_STARTED_S, seconds), _KILL),), _TARGETS[index % 2])
            yield Trial(kind, str(kill), partial(act, bench, kill))


def _kill(chance: random.Random, pattern: tuple[signal.Signals, ...], seconds: float) -> Kill:
    moment_s = chance.uniform(_STARTED_S, max(seconds, 2 * _STARTED_S))
    moments = [moment_s, moment_s + chance.uniform(0.01, 0.8)]
    return Kill(tuple(zip(moments, pattern, strict=False)))


def _codes(kill: Kill) -> tuple[int, ...]:
    """How a command may end that is killed so; it may have ended before."""
    if kill.target is not None:
        return (EXIT_OK, EXIT_FAILED)
    killed = any(number is _KILL for _, number in kill.signals)
    return (EXIT_OK, -_KILL if killed else EXIT_INTERRUPTED)


def _build(bench: Bench, kill: Kill, folder: Path) -> list[str]:
    """Without an engine in the cache."""
    place = Place(folder)
    found = place.run(*BUILD, kill=kill).problems(*_codes(kill))
    found += place.run(*BUILD).problems(EXIT_OK)
    found += place.run("engines", "verify").problems(EXIT_OK)
    return found + leftovers(place.home)


def _quantise(bench: Bench, kill: Kill, folder: Path) -> list[str]:
    place = Place(folder)
    found = place.run(*QUANTISE, kill=kill).problems(*_codes(kill))
    found += place.run(*QUANTISE).problems(EXIT_OK)
    return found + leftovers(place.home)


def _audit(bench: Bench, kill: Kill, folder: Path) -> list[str]:
    """Of a run that has none. What a killed audit leaves has to be moved away before the next."""
    place, run = bench.place(folder), folder / "run"
    shutil.copytree(bench.whole_run, run)
    words = ("audit", run, *bench.round)
    found = place.run(*words, kill=kill).problems(*_codes(kill))
    told = Run.read(run).record.audits.get(AUDIT_TEST)
    if told is not None:
        found += untrue(run, load_round(bench.round[1]))
        if told.status == "complete":
            return found
    if (run / AUDIT_TEST).exists():
        found += place.run(*words).problems(EXIT_USAGE)
        (run / AUDIT_TEST).rename(folder / "killed")
    found += place.run(*words).problems(EXIT_OK)
    return found + untrue(run, load_round(bench.round[1]))


def _run(bench: Bench, kill: Kill, folder: Path) -> list[str]:
    """Of an engine that is there, on a dataset that is not."""
    place = Place(folder)
    shutil.copytree(bench.folder / "home" / "engines", place.home / "engines")
    found = place.run(*WHOLE_RUN, folder / "run", kill=kill).problems(*_codes(kill))
    found += untrue(folder / "run")
    after = (*RUN, "--count", 4, "--mode", "performance", "--output", folder / "after")
    found += place.run(*after).problems(EXIT_OK)
    return found + untrue(folder / "after") + leftovers(place.home)
