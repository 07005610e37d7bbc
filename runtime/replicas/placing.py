"""Which machine takes which replica, by what each has; and that none shares with another what it is
to have to itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from build_engine.errors import EnvironmentFault
from build_engine.libraries import installed_version
from build_engine.validation import counted
from runtime.replicas.cores import shares
from runtime.replicas.messages import Core, Place
from runtime.replicas.spec import LOCAL

Kind: TypeAlias = Literal["GPU", "core"]


def num_places(has: Sequence[int], each: int = 1) -> int:
    """Replicas that find a place on machines that have so many GPUs or cores, where `each` takes so
    many of one machine.
    """
    return sum(num // each for num in has)


def spread(count: int, has: Sequence[int], each: int = 1) -> list[int]:
    """The machine of each of `count` replicas, all of which find a place: on as many machines as
    can be, and on those that have most.
    """
    where: list[int] = []
    on = [0] * len(has)
    for _ in range(count):
        free = [machine for machine, num in enumerate(has) if (on[machine] + 1) * each <= num]
        machine = min(free, key=lambda machine: (on[machine], -has[machine]))
        on[machine] += 1
        where.append(machine)
    return where


def require_places(count: int, has: Sequence[int], kind: Kind, address: str, each: int = 1) -> None:
    """Raise EnvironmentFault unless so many replicas find a place on the machines of the Ray at
    `address`, which have these.
    """
    places = num_places(has, each)
    if count <= places:
        return
    of, room, or_cores = "", "", ""
    if each > 1:
        of, room = f" of {counted(each, kind)}", f", room for {places}"
        or_cores = " or --cores-per-replica"
    where, on = f"Ray at {address}", f" on {counted(len(has), 'machine')}"
    if address == LOCAL:
        where, on = "this machine", ""
    raise EnvironmentFault(
        f"{counted(count, 'replica')}{of} take {counted(count * each, kind)}, and {where} has "
        f"{sum(has)}{on}{room}; give fewer --replicas{or_cores}."
    )


def require_versions(places: Sequence[Place]) -> None:
    """Raise EnvironmentFault where a machine has another version of this package."""
    ours = installed_version("enginebench")
    for place in places:
        theirs = getattr(place, "version", None)  # another version may tell other fields
        if theirs != ours:
            raise EnvironmentFault(
                f"enginebench is {ours} here and {theirs or 'older'} on {place.node}; install the "
                "same version on every machine."
            )


def require_apart(places: Sequence[Place], *, by_cores: bool) -> None:
    """Raise EnvironmentFault where a machine is in the cluster twice, so that two replicas would
    share a GPU, or, `by_cores`, what is to be shared out.
    """
    seen: dict[str, Place] = {}
    for place in places:
        things = [f"GPU {card}" for card in place.cards]
        if by_cores:
            things += [f"CPU {core.cpu} of {place.machine}" for core in place.cores]
        for thing in things:
            other = seen.setdefault(thing, place)
            if other.member != place.member:
                raise EnvironmentFault(
                    f"One machine is in the Ray cluster twice, as {other.node} and {place.node}: "
                    f"both have {thing}; name every machine once, and start Ray once on each."
                )


def cores_of(places: Sequence[Place], each: int | None) -> list[tuple[Core, ...]]:
    """The cores of each replica: so many, or an equal share of its machine's. Raises
    EnvironmentFault where a machine has too few.
    """
    parts = {
        node: iter(shares(_cores_on(node, places), count, node, each))
        for node, count in Counter(place.node for place in places).items()
    }
    return [next(parts[place.node]) for place in places]


def _cores_on(node: str, places: Sequence[Place]) -> tuple[Core, ...]:
    return next(place.cores for place in places if place.node == node)
