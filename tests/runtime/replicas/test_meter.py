"""What a head's thread did with its time: each part of a round is counted once, and only while
requests are open.
"""

from __future__ import annotations

import time

from runtime.executor import HeadLoad
from runtime.replicas.meter import Meter


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_time_is_counted_by_parts_while_requests_are_open() -> None:
    clock, cpu, process = Clock(), Clock(), Clock()
    meter = Meter(clock, cpu, process)

    def passes(seconds: float) -> None:
        clock.now_s += seconds
        cpu.now_s += seconds / 2
        process.now_s += seconds / 4

    passes(50.0)
    meter.begin("waiting", open_requests=0)
    passes(7.0)  # nothing is open
    meter.begin("passing", open_requests=0)
    meter.heard()
    meter.begin("handing", open_requests=3)
    passes(2.0)
    meter.begin("passing", open_requests=3)
    passes(1.0)
    meter.begin("telling", open_requests=3)
    passes(0.5)
    meter.begin("waiting", open_requests=3)
    passes(4.0)
    meter.begin("passing", open_requests=3)
    meter.heard()
    meter.heard()
    passes(0.25)
    meter.begin("waiting", open_requests=0)
    passes(9.0)
    meter.begin("waiting", open_requests=0)
    load = meter.load
    assert load == HeadLoad(
        open_s=7.75,
        handing_s=2.0,
        passing_s=1.25,
        telling_s=0.5,
        cpu_s=(7.0 + 3.5 + 4.25) / 2,  # of whole rounds, the one in which requests came too
        process_cpu_s=(7.0 + 3.5 + 4.25) / 4,
        messages=2,
    )
    assert load.busy_s == 3.75


def test_what_was_done_since_is_the_difference() -> None:
    before = HeadLoad(1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 6)
    after = HeadLoad(3.0, 0.2, 0.4, 0.6, 0.8, 1.0, 16)
    assert after.since(before) == HeadLoad(2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 10)


def test_the_real_clocks_tell_work_from_sleep() -> None:
    busy = Meter()
    busy.begin("waiting", open_requests=1)
    time.sleep(0.2)
    busy.begin("passing", open_requests=1)
    until_s = time.thread_time() + 0.2
    while time.thread_time() < until_s:
        pass
    busy.begin("waiting", open_requests=1)
    load = busy.load
    assert load.open_s - load.busy_s >= 0.19
    assert load.passing_s >= 0.19
    assert 0.19 <= load.cpu_s <= load.process_cpu_s + 0.01
