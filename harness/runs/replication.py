"""How many copies of an engine answer, and where: what `--replicas` and `--ray-address` mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from build_engine.errors import EngineError, EnvironmentFault, MissingLibrary, UsageError
from build_engine.gpu import visible_gpus
from build_engine.validation import counted
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.executor import survey
from runtime.replicas.placing import num_places, require_places, spread
from runtime.replicas.spec import LOCAL, ReplicasSpec, host_and_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from build_engine.store.engine import Engine
    from runtime.replicas.placing import Kind
    from runtime.spec import ExecutorSpec

AUTO = "auto"
_MAX_REPLICAS = 1024
_ALONE = "One engine has no other that could take over"


@dataclass(frozen=True, slots=True)
class Settled:
    """So many replicas, all of which have a place."""

    count: int
    on_gpu: bool
    asked: Replication

    def of_engine(self, engine: Engine, spec: ExecutorSpec) -> ReplicasSpec:
        """`spec`, which executes one such engine, so often. Raises EngineError for one that several
        GPUs share.
        """
        if engine.limits.tensor_parallel > 1:
            raise EngineError(
                "An engine that several GPUs share has no replicas here; leave out --replicas."
            )
        return ReplicasSpec(
            each=(spec,),
            count=self.count,
            device="gpu" if self.on_gpu else "cores",
            cores_each=self.asked.cores_each,
            address=self.asked.address,
            tolerate_failures=self.asked.tolerate_failures,
        )


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
                raise UsageError(f"{_ALONE}; add --replicas.")
            if cores_each is not None:
                raise UsageError("There are no replicas to share out cores to; add --replicas.")
            return None
        count = None if replicas in (None, AUTO) else number_of(replicas, f", or `{AUTO}`")
        if tolerate_failures and count == 1:
            raise _alone()
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

    def settled(self, *, on_gpu: bool) -> Settled:
        """How many there are to be, all of which find a place.

        Raises EnvironmentFault for a cluster that cannot be reached, or has too little, and
        UsageError for options that do not go together.
        """
        if on_gpu and self.cores_each is not None:
            raise UsageError("A replica on a GPU has no cores; leave out --cores-per-replica.")
        if self.count is not None and self.address == LOCAL and on_gpu:
            devices = _gpus_here()
        else:
            devices = self.devices(on_gpu=on_gpu)
        count = self.count or self._most(devices, on_gpu=on_gpu)
        if devices:
            self.require_places(count, devices, on_gpu=on_gpu)
        if self.tolerate_failures and count == 1:
            raise _alone()
        return Settled(count, on_gpu, self)

    def devices(self, *, on_gpu: bool) -> tuple[int, ...]:
        """Of each machine, its GPUs or its physical cores, as far as Ray may use them. Raises
        EnvironmentFault for a cluster that cannot be reached.
        """
        if not on_gpu and self.address == LOCAL:
            return (num_physical(own_cores()),)
        there = survey(self.address, cores=not on_gpu)
        return there.gpus if on_gpu else there.usable_cores

    def places(self, devices: Sequence[int]) -> int:
        """Replicas that find a place on these."""
        return num_places(devices, self.cores_each or 1)

    @staticmethod
    def equal_cores(count: int, devices: Sequence[int]) -> int:
        """Physical cores that each of `count` replicas can have, on whichever of these machines it
        is.
        """
        taken = Counter(spread(count, devices))
        return min(devices[machine] // num for machine, num in taken.items())

    def require_places(self, count: int, devices: Sequence[int], *, on_gpu: bool) -> None:
        """Raise EnvironmentFault unless so many replicas find a place on these."""
        kind: Kind = "GPU" if on_gpu else "core"
        require_places(count, devices, kind, self.address, self.cores_each or 1)

    def _most(self, devices: Sequence[int], *, on_gpu: bool) -> int:
        """One for each GPU, or for each machine with a place. Raises EnvironmentFault for none."""
        each = self.cores_each or 1
        count = sum(devices) if on_gpu else sum(has >= each for has in devices)
        if count:
            return count
        kind = "GPU" if on_gpu else "core"
        what = f"a {kind}" if each == 1 else counted(each, kind)
        remedy = "give fewer --cores-per-replica" if each > 1 else "look at `ray status`"
        if self.address == LOCAL:
            if on_gpu:
                remedy = "look at `nvidia-smi`"
            raise EnvironmentFault(f"This machine does not have {what}; {remedy}.")
        raise EnvironmentFault(f"No machine of Ray at {self.address} has {what}; {remedy}.")


def is_on_gpu(engine: Engine) -> bool:
    """Whether a replica of it takes a GPU."""
    return engine.identity.target.kind == "gpu" and not engine.emulated


def number_of(text: str, otherwise: str) -> int:
    """A number of replicas. Raises UsageError, which names what else may be given."""
    if not text.isdecimal() or not 0 < int(text) <= _MAX_REPLICAS:
        raise UsageError(
            f"--replicas is `{text}`; give a number from 1 to {_MAX_REPLICAS:,}{otherwise}."
        )
    return int(text)


def _alone() -> UsageError:
    return UsageError(f"{_ALONE}; give more --replicas, or leave out --tolerate-failures.")


def _gpus_here() -> tuple[int, ...]:
    """Of this machine; nothing where NVML does not tell, and Ray counts when it is started."""
    try:
        return (len(visible_gpus()),)
    except EnvironmentFault:
        return ()
