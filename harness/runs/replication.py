"""How many copies of an engine answer, and where: what `--replicas` and `--ray-address` mean."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from build_engine.errors import EngineError, EnvironmentFault, MissingLibrary, UsageError
from build_engine.validation import counted
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.executor import survey
from runtime.replicas.spec import LOCAL, ReplicasSpec, host_and_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_engine.store.engine import Engine
    from runtime.spec import ExecutorSpec

AUTO = "auto"
_MAX_REPLICAS = 1024


@dataclass(frozen=True, slots=True)
class Replication:
    """Replicas on a Ray cluster, or on a Ray of this machine that is started for them. `count` is
    None for as many as there is room for.
    """

    count: int | None
    address: str
    cores_each: int | None = None
    tolerate_failures: bool = False

    @classmethod
    def of(
        cls,
        replicas: str | None,
        address: str | None,
        cores_each: int | None,
        tolerate_failures: bool,
    ) -> Replication | None:
        """What the options mean; None for one engine without Ray.

        Raises UsageError for values that mean nothing, MissingLibrary where Ray is not installed.
        """
        if cores_each is not None and cores_each < 1:
            raise UsageError(f"--cores-per-replica is {cores_each}; give 1 or more.")
        if replicas is None and address is None:
            if tolerate_failures:
                raise UsageError("One engine has no other that could take over; add --replicas.")
            if cores_each is not None:
                raise UsageError("There are no replicas to share out cores to; add --replicas.")
            return None
        count = _count(AUTO if replicas is None else replicas)
        if address is not None and address not in (AUTO, LOCAL) and not host_and_port(address):
            raise UsageError(
                f"--ray-address is `{address}`; give HOST:PORT of the head, as `ray start` told "
                f"it, or `{AUTO}` on a machine of the cluster."
            )
        if count == 1 and address is None and cores_each is None:
            return None
        if find_spec("ray") is None:
            raise MissingLibrary("ray", "ray")
        return cls(count, address or LOCAL, cores_each, tolerate_failures)

    def of_engine(self, engine: Engine, spec: ExecutorSpec) -> ExecutorSpec:
        """`spec`, which executes one such engine, as often as was asked for.

        Raises EnvironmentFault for a cluster that cannot be reached, has no GPU, or has fewer GPUs
        or cores than that takes.
        """
        if engine.limits.tensor_parallel > 1:
            raise EngineError(
                "An engine that several GPUs share has no replicas here; leave out --replicas."
            )
        on_gpu = _on_gpu(engine)
        if on_gpu and self.cores_each is not None:
            raise UsageError("A replica on a GPU has no cores; leave out --cores-per-replica.")
        return ReplicasSpec(
            each=(spec,),
            count=self._count(on_gpu=on_gpu),
            device="gpu" if on_gpu else "cores",
            cores_each=self.cores_each,
            address=self.address,
            tolerate_failures=self.tolerate_failures,
        )

    def check(self, *, on_gpu: bool) -> None:
        """Raise EnvironmentFault for more than this machine has cores, which nobody has to be asked
        about.
        """
        if self.count is not None and self.address == LOCAL and not on_gpu:
            self.require_places(self.count, self.devices(on_gpu=False), on_gpu=False)

    def devices(self, *, on_gpu: bool) -> tuple[int, ...]:
        """Of each machine, its GPUs or its physical cores, as far as Ray may use them. Raises
        EnvironmentFault for a cluster that cannot be reached.
        """
        if not on_gpu and self.address == LOCAL:
            return (num_physical(own_cores()),)
        there = survey(self.address, cores=not on_gpu)
        if on_gpu:
            return there.gpus
        return tuple(map(min, there.cpus, there.cores))

    def places(self, devices: Sequence[int]) -> int:
        """Replicas that find a place on these."""
        return sum(has // (self.cores_each or 1) for has in devices)

    @staticmethod
    def equal_cores(count: int, devices: Sequence[int]) -> int:
        """Physical cores that each of `count` replicas can have, on whichever of these machines it
        is: Ray spreads them evenly.
        """
        having = [has for has in devices if has]
        most_on_one = -(-count // len(having))
        return max(1, min(having) // most_on_one)

    def require_places(self, count: int, devices: Sequence[int], *, on_gpu: bool) -> None:
        """Raise EnvironmentFault unless so many replicas find a place on these."""
        if count <= self.places(devices):
            return
        each = self.cores_each or 1
        of = "" if each == 1 else f" of {each} cores"
        takes = counted(count * each, "GPU" if on_gpu else "core")
        where = "this machine" if self.address == LOCAL else f"Ray at {self.address}"
        on = "" if self.address == LOCAL else f" on {counted(len(devices), 'machine')}"
        raise EnvironmentFault(
            f"{counted(count, 'replica')}{of} take {takes}, and {where} has {sum(devices)}{on}; "
            "give fewer --replicas."
        )

    def _count(self, *, on_gpu: bool) -> int:
        """How many there are to be. Raises EnvironmentFault where that is none, or too many."""
        if self.count is not None and self.address == LOCAL and on_gpu:
            return self.count  # Ray counts the GPUs of this machine when it is started
        devices = self.devices(on_gpu=on_gpu)
        count = self.count or (sum(devices) if on_gpu else len(devices))
        if count == 0:
            raise EnvironmentFault(
                f"No machine of Ray at {self.address} has a GPU; look at `ray status`."
            )
        self.require_places(count, devices, on_gpu=on_gpu)
        return count


def _on_gpu(engine: Engine) -> bool:
    return engine.identity.target.kind == "gpu" and not engine.emulated


def _count(text: str) -> int | None:
    if text == AUTO:
        return None
    if not text.isdecimal() or not 0 < int(text) <= _MAX_REPLICAS:
        raise UsageError(
            f"--replicas is `{text}`; give a number from 1 to {_MAX_REPLICAS:,}, or `{AUTO}`."
        )
    return int(text)
