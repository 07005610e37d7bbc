"""The machines of the Ray cluster that we are connected to, and what replicas find on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from build_engine.errors import EnvironmentFault
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.messages import Nodes

_COUNT_S = 40.0  # for each machine to start a process, and count its cores


def nodes(*, cores: bool = False) -> Nodes:
    """The machines; with `cores` each counts its own. Raises EnvironmentFault where one does not,
    which cannot be without `cores`.
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    ids = tuple(str(node["NodeID"]) for node in alive)
    has = [node["Resources"] for node in alive]
    gpus, cpus = (tuple(int(each.get(kind, 0)) for each in has) for kind in ("GPU", "CPU"))
    return Nodes(gpus, cpus, _counted_cores(ids) if cores else (), ids)


def on_node(node_id: str) -> Any:
    """Ray's strategy that something is there and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def cause_of(error: Exception) -> str:
    """What Ray says, in a line: of an error of ours its own words, which come last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    import ray

    last = isinstance(error, ray.exceptions.RayTaskError | ray.exceptions.ActorDiedError)
    return lines[-1 if last else 0].rstrip(".") if lines else type(error).__name__


def _counted_cores(node_ids: Sequence[str]) -> tuple[int, ...]:
    """The physical cores of these machines: Ray itself knows only of logical ones."""
    import ray

    count = ray.remote(num_cpus=0, max_retries=0)(_num_cores)
    asked = [count.options(scheduling_strategy=on_node(each)).remote() for each in node_ids]
    try:
        told: list[int] = ray.get(asked, timeout=_COUNT_S)
    except ray.exceptions.RayError as error:
        raise EnvironmentFault(
            f"Not every machine of Ray counted its cores: {cause_of(error)}; install the same "
            "version of enginebench on each, and look at `ray status`."
        ) from None
    return tuple(told)


def _num_cores() -> int:
    return num_physical(own_cores())
