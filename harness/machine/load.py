"""How much of the machine a measurement got: the CPU time of its own processes, that of all others,
what a hypervisor gave to other guests, and the memory of its engine.

Only the CPUs that we may use are looked at. What others took is what those CPUs were busy with
beyond our own time, so that an engine which uses every core is not taken for a busy machine.
"""

from __future__ import annotations

import os
import time

import psutil
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from build_engine.peak_memory import peak_bytes_of
from build_engine.validation import Frozen

# What others take is lost one to one, and less than this is not seen in the spread of tests:
# docs/benchmarks.md, "What other work costs".
BUSY_SHARE = 0.05
_IDLE = ("idle", "iowait", "steal", "guest", "guest_nice")  # guests are within `user` and `nice`


class MachineLoad(Frozen):
    """CPU seconds over `wall_s` seconds, on the `num_cpus` CPUs that the run may use.

    `ours_s` are user and system time of the run's processes, `others_s` what everybody else took,
    `stolen_s` what the hypervisor gave to other guests (`steal` in proc(5)). `load_average` is the
    kernel's number of running or waiting threads, over the last minute. `engine_peak_bytes` is the
    most memory of this machine that the engine's processes held, since they began; None for an
    engine without a process of its own, and where the kernel does not tell.
    """

    wall_s: NonNegativeFloat
    num_cpus: PositiveInt
    ours_s: NonNegativeFloat
    others_s: NonNegativeFloat
    stolen_s: NonNegativeFloat
    load_average: NonNegativeFloat
    engine_peak_bytes: NonNegativeInt | None = None

    @property
    def busy(self) -> str | None:
        """The mark of a number that was measured beside other work, with its evidence."""
        others, stolen = self._share(self.others_s), self._share(self.stolen_s)
        if self.taken < BUSY_SHARE:
            return None
        hypervisor = f" and the hypervisor {stolen:.0%}" if stolen >= 0.005 else ""
        return (
            f"busy machine: other processes took {others:.0%}{hypervisor} of the time of "
            f"{self.num_cpus} CPUs, this run {self._share(self.ours_s):.0%}"
        )

    @property
    def taken(self) -> float:
        """The share of all CPU time that others and the hypervisor took, 0 to 1."""
        return self._share(self.others_s + self.stolen_s)

    def _share(self, cpu_s: float) -> float:
        capacity_s = self.wall_s * self.num_cpus
        return cpu_s / capacity_s if capacity_s else 0.0


class LoadMeter:
    """Measures from its making on, for this process, the process `pid` and those that it started
    before.
    """

    def __init__(self, pid: int) -> None:
        self._processes = _family(pid)
        self._peak_bytes: dict[int, int] = {}
        self._before_s = {process.pid: _cpu_s(process) for process in self._processes}
        self._now_s = dict(self._before_s)
        self._cpus_s = _cpus_s()
        self._started_s = time.monotonic()

    def read(self) -> MachineLoad | None:
        """The load until now; None where the kernel does not tell. A process that has ended counts
        with its last reading.
        """
        wall_s, before, now = time.monotonic() - self._started_s, self._cpus_s, _cpus_s()
        if before is None or now is None:
            return None
        for process in self._processes:
            self._now_s[process.pid] = max(_cpu_s(process), self._now_s[process.pid])
        busy_s, stolen_s = (sum(now[kind]) - sum(before[kind]) for kind in (0, 1))
        ours_s = sum(self._now_s.values()) - sum(self._before_s.values())
        return MachineLoad(
            wall_s=round(wall_s, 3),
            num_cpus=len(now[0]),
            ours_s=round(ours_s, 2),
            others_s=round(max(busy_s - ours_s, 0.0), 2),
            stolen_s=round(max(stolen_s, 0.0), 2),
            load_average=round(os.getloadavg()[0], 2),
            engine_peak_bytes=self._engine_peak_bytes(),
        )

    def _engine_peak_bytes(self) -> int | None:
        """Of the processes that `pid` started; one that has ended counts with its last reading."""
        for process in self._processes[2:]:
            peak = peak_bytes_of(process.pid)
            if peak is not None:
                self._peak_bytes[process.pid] = peak
        return sum(self._peak_bytes.values()) if self._peak_bytes else None


def _family(pid: int) -> list[psutil.Process]:
    own = psutil.Process()
    try:
        other = psutil.Process(pid)
        return [own, other, *other.children(recursive=True)]
    except psutil.Error:
        return [own]


def _cpu_s(process: psutil.Process) -> float:
    """User and system time; 0 of a process that is gone."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _cpus_s() -> tuple[list[float], list[float]] | None:
    """Seconds since the boot that each CPU which we may use was busy, and that were stolen."""
    try:
        each = psutil.cpu_times(percpu=True)
    except (OSError, ValueError, RuntimeError):  # a /proc that is hidden, or cut down
        return None
    allowed = os.sched_getaffinity(0)
    if len(each) > max(allowed):  # else CPUs are switched off, and lines do not tell their numbers
        each = [each[number] for number in sorted(allowed)]
    busy = [
        sum(value for name, value in cpu._asdict().items() if name not in _IDLE) for cpu in each
    ]
    return busy, [getattr(cpu, "steal", 0.0) for cpu in each]
