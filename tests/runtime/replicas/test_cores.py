"""Cores for replicas: disjoint, whole, neighbours, and as many for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build_engine.errors import EnvironmentFault
from runtime.replicas.cores import num_physical, own_cores, shares
from runtime.replicas.messages import Core

# two packages of two cores, of two threads each, numbered as Linux often does
MACHINE = [Core(cpu, cpu // 2 % 2, cpu % 2) for cpu in range(8)]


def cpus(part: tuple[Core, ...]) -> list[int]:
    return sorted(core.cpu for core in part)


def test_the_threads_of_a_core_stay_together_and_so_do_packages() -> None:
    assert [cpus(part) for part in shares(MACHINE, 2, "a")] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert [cpus(part) for part in shares(MACHINE, 4, "a")] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_all_get_as_much_and_what_is_left_over_stays_free() -> None:
    parts = shares(MACHINE, 3, "a")
    assert [cpus(part) for part in parts] == [[0, 4], [1, 5], [2, 6]]
    assert [num_physical(part) for part in parts] == [1, 1, 1]


def test_each_has_as_many_as_were_asked_for() -> None:
    assert [cpus(part) for part in shares(MACHINE, 2, "a", 1)] == [[0, 4], [1, 5]]
    with pytest.raises(EnvironmentFault, match=r"^a has 4 cores for 2 replicas of 3; give fewer"):
        shares(MACHINE, 2, "a", 3)


def test_more_replicas_than_cores_are_refused_with_the_machine() -> None:
    with pytest.raises(EnvironmentFault, match=r"^node-b has 4 cores for 5 replicas; give fewer"):
        shares(MACHINE, 5, "node-b")


def test_the_cores_of_this_process_are_read_from_the_kernel(tmp_path: Path) -> None:
    assert [core.cpu for core in own_cores()] == sorted(os.sched_getaffinity(0))
    unknown = own_cores(tmp_path)  # it does not tell
    assert num_physical(unknown) == len(os.sched_getaffinity(0))
