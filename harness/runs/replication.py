"""How many copies of an engine answer, and where: what `--replicas` and `--ray-address` mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from build_engine.errors import EngineError, EnvironmentFault, MissingLibrary, UsageError
from runtime.replicas.executor import survey
from runtime.replicas.spec import LOCAL, ReplicasSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from runtime.spec import ExecutorSpec

AUTO = "auto"
_MAX_REPLICAS = 1024
_ADDRESS = re.compile(r"[^\s:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


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
        if address is not None and address not in (AUTO, LOCAL) and not _ADDRESS.fullmatch(address):
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

        Raises EnvironmentFault for a cluster that cannot be reached or has no GPU.
        """
        if engine.limits.tensor_parallel > 1:
            raise EngineError(
                "An engine that several GPUs share has no replicas here; leave out --replicas."
            )
        on_gpu = _on_gpu(engine)
        if on_gpu and self.cores_each is not None:
            raise UsageError("A replica on a GPU has no cores; leave out --cores-per-replica.")
        count = self.count
        # also where the number is known: it is now that an address is seen to be wrong
        if count is None or self.address != LOCAL:
            gpus = survey(self.address).gpus
            count = count or (sum(gpus) if on_gpu else len(gpus))
        if count == 0:
            raise EnvironmentFault(
                f"No machine of Ray at {self.address} has a GPU; look at `ray status`."
            )
        return ReplicasSpec(
            each=(spec,),
            count=count,
            device="gpu" if on_gpu else "cores",
            cores_each=self.cores_each,
            address=self.address,
            tolerate_failures=self.tolerate_failures,
        )


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
