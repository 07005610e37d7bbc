"""Disjoint sets of cores for the replicas of one machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from build_engine.errors import EnvironmentFault
from runtime.replicas.messages import Core

_CPUS = Path("/sys/devices/system/cpu")


def own_cores(cpus: Path = _CPUS) -> tuple[Core, ...]:
    """The logical CPUs that this process may use; each is a core of its own where the kernel does
    not tell.
    """
    return tuple(_core(cpus, cpu) for cpu in sorted(os.sched_getaffinity(0)))


def shares(
    cores: Sequence[Core], num_replicas: int, node: str, wanted: int | None = None
) -> list[tuple[Core, ...]]:
    """The CPUs of each replica: whole cores, as many for each (`wanted`, where that is given),
    neighbours together; what is left over stays with the rest of the machine's work.

    Raises EnvironmentFault where there are too few cores.
    """
    by_core: dict[tuple[int, int], list[Core]] = {}
    for core in sorted(cores, key=lambda core: (core.package, core.core, core.cpu)):
        by_core.setdefault((core.package, core.core), []).append(core)
    whole = list(by_core.values())
    each = wanted or len(whole) // num_replicas
    if not each or each * num_replicas > len(whole):
        of = f" of {wanted}" if wanted else ""
        raise EnvironmentFault(
            f"{node} has {len(whole)} cores for {num_replicas} replicas{of}; give fewer --replicas."
        )
    parts = [whole[start * each : (start + 1) * each] for start in range(num_replicas)]
    return [tuple(core for cpus in part for core in cpus) for part in parts]


def num_physical(cores: Sequence[Core]) -> int:
    """Physical cores among them."""
    return len({(core.package, core.core) for core in cores})


def _core(cpus: Path, cpu: int) -> Core:
    topology = cpus / f"cpu{cpu}" / "topology"
    try:
        package = int((topology / "physical_package_id").read_text(encoding="ascii"))
        return Core(cpu, package, int((topology / "core_id").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return Core(cpu, 0, cpu)
