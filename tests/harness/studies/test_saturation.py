"""Where the head saturates: by its own share of the time, and what bounds a run by what it had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.studies.saturation import Bound, Saturation
from runtime.executor import HeadLoad, ReplicaLoad

LOAD = ReplicaLoad(1, "a (10.0.0.1)", "GPU 0", 100, 80_000, 12_800, 19.8, 0.001)
HEAD = HeadLoad(20.0, 1.0, 3.0, 1.0, 4.0, 4.8, 20_000)


def saturation(head: HeadLoad = HEAD, *busy_s: float) -> Saturation:
    loads = [replace(LOAD, busy_s=each) for each in busy_s or (19.8, 19.0)]
    found = Saturation.of(10_000.0, head, loads)
    assert found is not None
    return found


def test_a_head_with_time_left_saturates_later_by_its_share() -> None:
    found = saturation()
    assert (found.busy_share, found.at_tokens_per_s) == (0.25, 40_000.0)
    assert found.bound == "replicas"
    assert found.sentence == (
        "With 2 replicas the head was busy 25.0% of the time at 10,000 tokens/s (handing out "
        "requests 5.0%, passing on answers 15.0%, until LoadGen's process took them 5.0%): 200 µs "
        "of processor time for each of 20,000 messages. By that share it saturates at 40,000 "
        "tokens/s; what bounds the run are the replicas, which had requests 95% to 99% of the time."
    )


def test_a_replica_that_was_lost_had_enough_to_do() -> None:
    loads = (LOAD, replace(LOAD, number=2, busy_s=8.0, lost="it died"))
    found = Saturation.of(10_000.0, HEAD, loads)
    assert found is not None
    assert (found.replicas_busy, found.bound) == ((0.99, 0.99), "replicas")


@pytest.mark.parametrize(
    ("head", "busy_s", "bound", "told"),
    [
        (HEAD, 12.0, "requests", "replicas had requests 60% of the time, so what bounds the run"),
        (
            replace(HEAD, handing_s=12.0, passing_s=6.5, process_cpu_s=18.0),
            19.8,
            "head",
            "It is saturated; what bounds it is its own work, most of it handing out requests, "
            "with 0.9 of a processor for its process.",
        ),
        (
            replace(HEAD, handing_s=2.0, passing_s=16.5, process_cpu_s=30.0),
            19.8,
            "head",
            "its own work, most of it passing on answers, with 1.5 of a processor for its process.",
        ),
        (
            replace(HEAD, passing_s=17.0, process_cpu_s=5.7),
            19.8,
            "processor",
            "what bounds it is this machine: its process had 0.3 of a processor.",
        ),
        (
            replace(HEAD, telling_s=15.0, process_cpu_s=5.0),
            19.8,
            "loadgen",
            "what bounds it is LoadGen's process, which took in no more.",
        ),
    ],
)
def test_what_bounds_a_run_is_what_it_had_no_more_of(
    head: HeadLoad, busy_s: float, bound: Bound, told: str
) -> None:
    found = saturation(head, busy_s)
    assert found.bound == bound
    assert found.saturated == (bound not in ("replicas", "requests"))
    assert told in found.sentence
    assert ("By that share" in found.sentence) != found.saturated


def test_what_no_run_measured_is_not_said() -> None:
    assert Saturation.of(None, HEAD, [LOAD]) is None
    assert Saturation.of(10_000.0, None, [LOAD]) is None
    assert Saturation.of(10_000.0, HEAD, []) is None
    assert Saturation.of(10_000.0, HeadLoad(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0), [LOAD]) is None
