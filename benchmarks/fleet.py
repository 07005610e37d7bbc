"""What many replicas bring: simulated A30s in processes of their own, over a real Ray, under
LoadGen's Offline, and a pair of which one is three times as fast as the other.

A simulated engine takes as long as a real one and computes nothing. All of their processes, Ray's
and LoadGen's share the cores of this machine.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import a30, under_loadgen
from benchmarks.result import Figure, Result, ratios
from harness.dataset.prompts import save_prompts
from harness.loadgen import logs
from harness.loadgen.folder import TestFolder
from harness.loadgen.job import Job
from harness.loadgen.replicas import read_replicas
from harness.rules.scenario import Scenario
from harness.studies.saturation import Saturation
from runtime.replicas.spec import ReplicasSpec
from runtime.simulated.spec import SimulatedSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.progress import Progress

COUNTS = (1, 8, 64)
GOAL = 0.95
_EFFICIENCY = 0.5  # of an A30's arithmetic
_ANSWER_TOKENS = 128
_BATCH = 256  # so that samples wait at the head, too
_PAIR = "the pair"
_UNLIKE = (1, 3)
_FASTER = 4.0  # than an A30: the pair answers many times its batch within a minute or two
_PAIR_BATCH = 128
_PAIR_SAMPLES = 3  # times those of an A30, for each quarter


def measure(samples: int, repeats: int, progress: Progress) -> Result:
    """`repeats` times each number of A30s, with `samples` for each of them, and the pair."""
    with tempfile.TemporaryDirectory() as name:
        fleet = _Fleet(Path(name), samples)
        rounds = []
        for number in range(repeats):
            progress.phase(f"fleet: round {number + 1} of {repeats}, {COUNTS[-1]} A30s in the end")
            rounds.append(fleet.round(forwards=number % 2 == 0))
    rates = {name: tuple(each[name].tokens_per_s for each in rounds) for name in rounds[0]}
    whole = [sum(parts) for parts in zip(*(rates[_half(speed)] for speed in _UNLIKE), strict=True)]
    return Result(
        title="Simulated replicas over Ray (LoadGen Offline)",
        figures=(
            *(Figure(name, "tok/s", rate) for name, rate in rates.items()),
            *(
                Figure(
                    f"{_some(count)} / {count} times one",
                    "",
                    ratios(rates[_some(count)], [count * one for one in rates[_some(1)]]),
                    at_least=GOAL if count == COUNTS[1] else None,
                )
                for count in COUNTS[1:]
            ),
            Figure("the pair / the sum of its two", "", ratios(rates[_PAIR], whole), at_least=GOAL),
        ),
        notes=(
            f"{samples} samples for each A30 (llama3.1-8b, INT8, {_EFFICIENCY:.0%} of its "
            f"arithmetic, at most {_BATCH} in flight), answers of {_ANSWER_TOKENS} ids told whole",
            f"the pair: 1 : 3, together {_FASTER:g} A30s, at most {_PAIR_BATCH} in flight each",
            *(f"{name}: {rounds[-1][name].saturation}" for name in map(_some, COUNTS)),
        ),
        details={"samples_each": samples},
    )


@dataclass(frozen=True, slots=True)
class _Ran:
    """One test: its rate, and where its head saturates."""

    tokens_per_s: float
    saturation: str


def _some(count: int) -> str:
    return f"{count} A30{'s' if count > 1 else ''}"


def _half(speed: int) -> str:
    return f"of the pair, the one of {speed}"


def _a30() -> SimulatedSpec:
    model = a30.engine(_EFFICIENCY).model_copy(update={"max_batch_size": _BATCH})
    return SimulatedSpec(num_tokens=_ANSWER_TOKENS, engine=model)


def _of_pair(speed: int) -> SimulatedSpec:
    model = a30.engine(_EFFICIENCY)
    slower = sum(_UNLIKE) / (_FASTER * speed)
    changes = {"time": model.time.slowed(slower, slower), "max_batch_size": _PAIR_BATCH}
    return SimulatedSpec(num_tokens=_ANSWER_TOKENS, engine=model.model_copy(update=changes))


class _Fleet:
    """Tests of replicas, in folders of their own."""

    def __init__(self, root: Path, samples: int) -> None:
        import numpy as np

        self._root, self._samples = root, samples
        self._num_tests = 0
        self._num_prompts = COUNTS[-1] * samples
        self._dataset = root / "dataset"
        self._dataset.mkdir()
        lengths = a30.prompt_tokens(self._num_prompts)
        save_prompts(self._dataset, [np.arange(length, dtype=np.int32) for length in lengths])

    def round(self, *, forwards: bool) -> dict[str, _Ran]:
        """Each test once, by its name."""
        asked = {_some(count): ([_a30()], count, count * self._samples) for count in COUNTS}
        for speed in _UNLIKE:
            asked[_half(speed)] = ([_of_pair(speed)], 1, _PAIR_SAMPLES * speed * self._samples)
        both = [_of_pair(speed) for speed in _UNLIKE]
        asked[_PAIR] = (both, len(both), _PAIR_SAMPLES * sum(_UNLIKE) * self._samples)
        ran = {name: self._run(*asked[name]) for name in (asked if forwards else reversed(asked))}
        return {name: ran[name] for name in asked}

    def _run(self, each: Sequence[SimulatedSpec], count: int, samples: int) -> _Ran:
        """One Offline test of so many samples."""
        self._num_tests += 1
        folder = self._root / f"test-{self._num_tests}"
        job = Job(
            executor=ReplicasSpec(each=tuple(each), count=count),
            dataset=self._dataset,
            num_samples=min(samples, self._num_prompts),
            max_new_tokens=_ANSWER_TOKENS,
            min_new_tokens=1,
            stop_ids=(2,),
            warmup_samples=64 * count,
            first_tokens=Scenario.OFFLINE.has_first_tokens,
        )
        under_loadgen.run(
            job, under_loadgen.plan(Scenario.OFFLINE, job.num_samples, samples), folder
        )
        rate = logs.read_detail(folder).metrics().tokens_per_s or 0.0
        told = read_replicas(TestFolder(folder).replicas)
        saturation = Saturation.of(rate, told.head, told.replicas)
        return _Ran(rate, "" if saturation is None else saturation.sentence)
