"""Which machine takes which replica."""

from __future__ import annotations

import pytest

from build_engine.errors import EnvironmentFault
from runtime.replicas.messages import Nodes
from runtime.replicas.placing import num_places, require_places, spread


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
