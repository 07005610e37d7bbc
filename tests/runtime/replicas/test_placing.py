"""Which machine takes which replica."""

from __future__ import annotations

from dataclasses import replace

import pytest

from build_engine.errors import EnvironmentFault
from build_engine.libraries import installed_version
from runtime.replicas.messages import Core, Nodes, Place
from runtime.replicas.placing import (
    cores_of,
    num_places,
    require_apart,
    require_places,
    require_versions,
    spread,
)

CORES = (Core(0, 0, 0), Core(1, 0, 1))
PLACE = Place(
    node="a (10.0.0.1)",
    member="1",
    machine="a 1-2-3",
    cores=CORES,
    gpus=("0",),
    cards=("GPU-x",),
    has_engine=True,
    version=installed_version("enginebench"),
)
OTHER = replace(PLACE, node="a (127.0.0.1)", member="2")


@pytest.mark.parametrize(
    ("count", "has", "each", "where"),
    [
        (1, (4, 16), 1, [1]),
        (2, (4, 16), 1, [1, 0]),
        (2, (16, 4), 8, [0, 0]),  # the other machine has no eight
        (3, (16, 4), 4, [0, 1, 0]),
        (4, (4, 4), 1, [0, 1, 0, 1]),
        (2, (0, 8), 1, [1, 1]),
    ],
)
def test_replicas_go_where_there_is_room_and_apart_where_that_can_be(
    count: int, has: tuple[int, ...], each: int, where: list[int]
) -> None:
    assert spread(count, has, each) == where


@pytest.mark.parametrize(
    ("has", "each", "most"), [((16, 4), 8, 2), ((16, 4), 4, 5), ((0, 8), 1, 8), ((), 1, 0)]
)
def test_as_many_as_are_said_to_fit_do_and_no_more(
    has: tuple[int, ...], each: int, most: int
) -> None:
    assert num_places(has, each) == most
    require_places(most, has, "core", "a:1", each)
    taken = spread(most, has, each)
    assert all(taken.count(machine) * each <= num for machine, num in enumerate(has))
    with pytest.raises(EnvironmentFault):
        require_places(most + 1, has, "core", "a:1", each)


def test_it_is_said_why_cores_that_are_there_are_no_place() -> None:
    with pytest.raises(EnvironmentFault) as caught:
        require_places(2, (12, 4), "core", "a:1", 8)
    assert str(caught.value) == (
        "2 replicas of 8 cores take 16 cores, and Ray at a:1 has 16 on 2 machines, room for 1; "
        "give fewer --replicas or --cores-per-replica."
    )


def test_ray_gives_away_no_more_than_there_is_of_either() -> None:
    assert Nodes((0, 0, 0), (32, 2, 0), (16, 4, 4)).usable_cores == (16, 2, 0)


def test_a_gpu_that_is_there_twice_is_refused_with_both_names() -> None:
    with pytest.raises(EnvironmentFault) as caught:
        require_apart([PLACE, OTHER], by_cores=False)
    assert str(caught.value) == (
        "One machine is in the Ray cluster twice, as a (10.0.0.1) and a (127.0.0.1): both have GPU "
        "GPU-x; name every machine once, and start Ray once on each."
    )


def test_cores_that_are_there_twice_are_refused_where_they_are_shared_out() -> None:
    first, other = replace(PLACE, cards=()), replace(OTHER, cards=())
    with pytest.raises(EnvironmentFault, match="both have CPU 0 of a 1-2-3; name every machine"):
        require_apart([first, other], by_cores=True)
    require_apart([first, other], by_cores=False)
    require_apart([first, replace(other, machine="b 1-2-3")], by_cores=True)  # a container
    require_apart([replace(first, cores=CORES[:1]), replace(other, cores=CORES[1:])], by_cores=True)


def test_replicas_of_one_member_are_apart() -> None:
    second = replace(PLACE, gpus=("1",), cards=("GPU-y",))
    require_apart([PLACE, second, PLACE], by_cores=True)  # what Ray gives away it gives once
    assert [len(cores) for cores in cores_of([PLACE, second], None)] == [1, 1]


def test_another_version_is_refused_with_its_machine() -> None:
    require_versions([PLACE])
    with pytest.raises(EnvironmentFault, match=r"here and 0\.0\.1 on a \(127\.0\.0\.1\); install"):
        require_versions([PLACE, replace(OTHER, version="0.0.1")])
