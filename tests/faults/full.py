"""Every command under every fault that we know of: `make faults`.

Kills, full disks, read-only places, little memory, closed streams and hostile files, seeded, two
at a time and in fifteen minutes. The table at the end must have zeros alone; a trial for which
there was no time, or no right, is counted too.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults import kills, places, refusals
from tests.faults.trials import Bench, Skipped, Trial

FAULTS = ("loss", "hang", "traceback", "leftover")
_SET_UP_AND_REST_S = 30.0  # of the time that is allowed


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial that was made, or why it was not."""

    trial: Trial
    problems: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def faults(self) -> Counter[str]:
        """How many of each kind."""
        return Counter(problem.partition(":")[0] for problem in self.problems)


def main() -> int:
    """All trials; 0 when each was made and nothing is wrong."""
    options = _options()
    deadline_s = time.monotonic() + options.minutes * 60 - _SET_UP_AND_REST_S
    top = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        bench = Bench.set_up(top / "bench")
        others = [*refusals.trials(bench), *places.trials(bench, options.seed)]
        random.Random(options.seed).shuffle(others)  # what there is no time for is of all kinds
        found = [*kills.trials(bench, options.seed), *others]
        chosen = [trial for trial in found if trial.kind.startswith(options.only)]
        outcomes = make(chosen, top, deadline_s)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    _say(table(outcomes))
    late = sum(outcome.skipped == _LATE for outcome in outcomes)
    return 1 if late or any(outcome.problems for outcome in outcomes) else 0


_LATE = "no time was left"


def make(trials: Iterable[Trial], top: Path, deadline_s: float) -> list[Outcome]:
    """Make the trials, two at a time; each in a folder of its own below `top`."""

    def one(numbered: tuple[int, Trial]) -> Outcome:
        number, trial = numbered
        if time.monotonic() > deadline_s:
            return Outcome(trial, skipped=_LATE)
        folder = top / f"trial-{number}"
        folder.mkdir(parents=True)
        try:
            outcome = Outcome(trial, tuple(trial.act(folder)))
        except Skipped as reason:
            outcome = Outcome(trial, skipped=str(reason))
        except Exception as error:  # a trial of ours that breaks is a loss to look at
            outcome = Outcome(trial, (f"loss: {type(error).__name__}: {error}",))
        shutil.rmtree(folder, ignore_errors=True)
        for problem in outcome.problems:
            _say(f"{trial.kind}, {trial.name}: {problem}")
        return outcome

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, enumerate(trials)))


def table(outcomes: Iterable[Outcome]) -> str:
    """A row for each kind of trial, and the sum."""
    rows: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    for outcome in outcomes:
        for row in (outcome.trial.kind, "all"):
            counts = rows.setdefault(row, Counter())
            counts["skipped" if outcome.skipped else "trials"] += 1
            counts += outcome.faults
        reasons[outcome.skipped] += 1
    columns = ("trials", *FAULTS, "skipped")
    lines = [f"{'':20}" + "".join(f"{name:>11}" for name in columns)]
    for kind in sorted(rows, key=lambda name: (name == "all", name)):
        lines.append(f"{kind:20}" + "".join(f"{rows[kind][name]:11}" for name in columns))
    lines += [f"skipped {n}: {reason}" for reason, n in reasons.items() if reason]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.full", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--only", default="", help="the beginning of a kind: kill, hostile, ...")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
