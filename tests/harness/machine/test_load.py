"""What others took of the machine is told apart from what a run took itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.machine import load as load_module
from harness.machine.load import LoadMeter, MachineLoad

SPIN = "import time; end = time.time() + {}\nwhile time.time() < end: pass"


def make_load(**known: Any) -> MachineLoad:
    """Ten seconds of two CPUs that were idle, but for what is `known`."""
    idle: dict[str, Any] = {
        "wall_s": 10.0,
        "num_cpus": 2,
        "ours_s": 0.0,
        "others_s": 0.0,
        "stolen_s": 0.0,
        "load_average": 0.1,
    }
    return MachineLoad(**{**idle, **known})


def test_an_engine_that_uses_every_core_is_no_busy_machine() -> None:
    assert make_load(ours_s=20.0).busy is None


def test_a_mark_gives_its_evidence() -> None:
    assert make_load(ours_s=15.0, others_s=4.0).busy == (
        "busy machine: other processes took 20% of the time of 2 CPUs, this run 75%"
    )
    assert make_load(ours_s=12.0, others_s=2.0, stolen_s=5.0).busy == (
        "busy machine: other processes took 10% and the hypervisor 25% of the time of 2 CPUs, this "
        "run 60%"
    )


@pytest.mark.parametrize(("others_s", "marked"), [(0.9, False), (1.1, True)])
def test_the_mark_has_a_threshold(others_s: float, marked: bool) -> None:
    assert (make_load(others_s=others_s).busy is not None) == marked
    assert (make_load(stolen_s=others_s).busy is not None) == marked


def test_nothing_is_divided_by_no_time() -> None:
    assert make_load(wall_s=0.0, others_s=1.0).busy is None


@pytest.mark.parametrize("stranger", [False, True])
def test_a_process_is_ours_or_another(stranger: bool) -> None:
    """It computes for a second; whose that is depends on the process that is measured for."""
    with (
        subprocess.Popen([sys.executable, "-c", SPIN.format(9)]) as spinning,
        subprocess.Popen(["sleep", "9"]) as sleeping,
    ):
        time.sleep(0.3)
        meter = LoadMeter(sleeping.pid if stranger else spinning.pid)
        time.sleep(1.0)
        load = meter.read()
        spinning.kill()
        sleeping.kill()
    assert load is not None
    assert load.num_cpus == len(os.sched_getaffinity(0))
    assert load.wall_s >= 1.0
    used_s = load.others_s if stranger else load.ours_s
    assert used_s > 0.1


def test_a_process_that_ended_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 6.0])

    class Process:
        pid = 7

        def cpu_times(self) -> Any:
            try:
                return SimpleNamespace(user=next(times), system=0.0)
            except StopIteration:
                raise psutil.NoSuchProcess(7) from None

    monkeypatch.setattr(load_module, "_family", lambda _pid: [Process()])
    meter = LoadMeter(7)
    for _ in range(2):
        load = meter.read()
        assert load is not None
        assert load.ours_s == 5.0


def test_the_memory_is_that_of_the_engines_process() -> None:
    """The process that we are told of starts another, which holds 200 MB for a moment."""
    engine = "held = b'1' * 200_000_000; del held; print(flush=True); import time; time.sleep(9)"
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {engine!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", starts], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        meter = LoadMeter(process.pid)
        running = meter.read()
        os.killpg(process.pid, signal.SIGKILL)
    ended = meter.read()
    assert running is not None and ended is not None
    assert running.engine_peak_bytes is not None
    assert 200e6 < running.engine_peak_bytes < 400e6
    assert ended.engine_peak_bytes == running.engine_peak_bytes


def test_an_engine_without_a_process_has_no_memory_of_its_own() -> None:
    load = LoadMeter(os.getpid()).read()
    assert load is not None
    assert load.engine_peak_bytes is None


def test_only_cpus_that_we_may_use_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU 0 is another's, busy all the time; of CPU 1, which is ours, 3 s of 10 were stolen."""
    readings = iter([0.0, 10.0])

    class Cpu(SimpleNamespace):
        def _asdict(self) -> dict[str, float]:
            return vars(self)

    def cpu_times(percpu: bool) -> list[Any]:
        assert percpu
        now = next(readings)
        return [
            Cpu(user=now, nice=0.0, idle=5.0, guest=now, steal=0.0),
            Cpu(user=now * 0.2, nice=now * 0.1, idle=0.0, guest=0.0, steal=now * 0.3),
        ]

    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {1})
    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    monkeypatch.setattr(load_module, "_family", lambda _pid: [])
    load = LoadMeter(1).read()
    assert load is not None
    assert (load.num_cpus, load.others_s, load.stolen_s) == (1, 3.0, 3.0)


def test_a_kernel_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(percpu: bool) -> None:
        raise FileNotFoundError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", hidden)
    assert LoadMeter(1).read() is None


def test_a_process_that_is_gone_before_it_is_measured() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert LoadMeter(gone.pid).read() is not None
