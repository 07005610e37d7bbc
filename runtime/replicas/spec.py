"""What the replicas' executor is made from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from build_engine.validation import may_be_host
from runtime.backend import AnySpec
from runtime.spec import ExecutorSpec

LOCAL = "local"
"""The address of a Ray that is started for one executor on this machine, and ends with it."""
_ADDRESS = re.compile(r"(?:([^\s:/\[\]]+)|\[([0-9a-fA-F:.]+)\]):(\d{1,5})")
_PORTS = range(1, 2**16)


def host_and_port(address: str) -> tuple[str, int] | None:
    """Of `HOST:PORT` or `[IPv6]:PORT`, an IPv6 address without its brackets; None for what is no
    address of a cluster.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None
    host, port = found[1] or found[2], int(found[3])
    return (host, port) if port in _PORTS and may_be_host(host) else None


class ReplicasSpec(ExecutorSpec):
    """`count` executors of one kind behind one queue, spread by Ray over a cluster's machines."""

    backend: Literal["replicas"] = "replicas"
    each: tuple[AnySpec, ...] = Field(min_length=1)
    """What the replicas are made from, in turn: one spec for all, or several of one kind."""
    count: PositiveInt
    device: Literal["gpu", "cores", "none"] = "none"
    """What each has to itself: a GPU, a share of the cores of its machine, or nothing."""
    cores_each: PositiveInt | None = None
    """Physical cores of each, where those are shared out; None for all there are."""
    address: str = LOCAL
    """A Ray cluster, as `ray.init` takes it."""
    tolerate_failures: bool = False
    """Whether a replica that is lost leaves its requests to the others."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> ReplicasSpec:
        kinds = {(spec.backend, spec.engine_folder) for spec in self.each}
        if len(kinds) > 1 or self.backend in {spec.backend for spec in self.each}:
            raise ValueError("`each` must hold specs of one executor that has no replicas.")
        return self

    def spec_of(self, number: int) -> ExecutorSpec:
        """What replica `number`, from 0 on, is made from."""
        return self.each[number % len(self.each)]

    @property
    def engine_folder(self) -> Path | None:
        """See `ExecutorSpec.engine_folder`."""
        return self.each[0].engine_folder

    @property
    def answers_by(self) -> str:
        """See `ExecutorSpec.answers_by`."""
        return self.each[0].answers_by

    @property
    def tolerates_failures(self) -> bool:
        """See `ExecutorSpec.tolerates_failures`."""
        return self.tolerate_failures

    @property
    def on_other_machines(self) -> bool:
        """See `ExecutorSpec.on_other_machines`."""
        return self.address != LOCAL

    @property
    def num_replicas(self) -> int:
        """See `ExecutorSpec.num_replicas`."""
        return self.count

    @property
    def own_batch_size(self) -> int | None:
        """See `ExecutorSpec.own_batch_size`: of each."""
        return self.each[0].own_batch_size

    @property
    def max_in_flight(self) -> int | None:
        """See `ExecutorSpec.max_in_flight`."""
        each = [self.spec_of(number).max_in_flight for number in range(self.count)]
        known = [most for most in each if most is not None]
        return sum(known) if len(known) == len(each) else None
