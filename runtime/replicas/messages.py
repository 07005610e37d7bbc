"""What the head and its replicas tell each other, beside `runtime/messages.py`."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.messages import Work

_PART_BYTES = 64_000
"""Ray carries an argument of less than 100 kB inside of a call, 10 MiB in all, and any other by its
object store.
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """To the head, instead of a start: what is there at this address?"""

    address: str
    cores: bool = False
    """Whether every machine is to count its physical cores, which takes a moment."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The answer: of each machine its GPUs, the logical CPUs that Ray counts, and the physical
    cores that a process there may use, where these were asked for. `ids` are Ray's names of them.
    """

    gpus: tuple[int, ...]
    cpus: tuple[int, ...]
    cores: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def usable_cores(self) -> tuple[int, ...]:
        """Those of the physical cores that Ray may give away: where it was started with fewer
        CPUs, so many.
        """
        return tuple(map(min, self.cpus, self.cores))


@dataclass(frozen=True, slots=True)
class ForgetTimes:
    """To the head: see `Timing.forget_times`."""


@dataclass(frozen=True, slots=True)
class Core:
    """A logical CPU that a process may use, and the physical core that it is a part of."""

    cpu: int
    package: int
    core: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a replica is, before it loads anything."""

    node: str
    """The machine's name, and the address by which the cluster knows it."""
    member: str
    """Which of those that joined the cluster it is; one machine may have joined twice."""
    machine: str
    """The machine itself, see `identity.py`."""
    cores: tuple[Core, ...]
    gpus: tuple[str, ...]
    """As Ray counts on that machine."""
    cards: tuple[str, ...]
    """The same GPUs, see `identity.py`."""
    has_engine: bool
    version: str | None
    """Of this package over there."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a replica's executor says of itself."""

    prefix_caching: bool
    max_in_flight: int | None


def in_parts(work: Work) -> list[bytes]:
    """The message in arguments that are small enough for a call; see `of_parts`."""
    data = pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL)
    return [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]


def of_parts(parts: Sequence[bytes]) -> Work:
    """The message that was sent in these."""
    work: Work = pickle.loads(b"".join(parts))
    return work
