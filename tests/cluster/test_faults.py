"""What becomes of a run when a replica, its host or the link to it is lost: it ends soon, names the
host, and leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.signs import LEAST_S
from tests.cluster.hosts import PORT, Host
from tests.cluster.running import ACTOR, ENGINE, Going, left_on, loads, words

pytestmark = pytest.mark.cluster

BOUND_S = 30.0
_SERVER = ("--scenario", "Server", "--qps", "20", "--count", "500")

# more than a store holds, read where it lies, so that nothing of it can be put elsewhere
_HOLD_ALL = """
import sys, time
import numpy, ray
ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
held = [ray.get(ray.put(numpy.zeros(9_000_000, numpy.uint8))) for _ in range(12)]
print("held", flush=True)
time.sleep(600.0)
"""


def kill(host: Host, words: str, number: signal.Signals = signal.SIGKILL) -> None:
    pids = host.pids_of(words)
    assert pids
    for pid in pids:
        os.kill(pid, number)


def failed_soon(going: Going, bound_s: float = BOUND_S) -> str:
    """The cause, told within the bound."""
    started_s = time.monotonic()
    code, told = going.end(2 * bound_s)
    assert time.monotonic() - started_s < bound_s
    assert code == 4, told
    assert "Traceback" not in told
    record = going.record
    assert record["status"] == "failed"
    cause: str = record["cause"]
    assert "of 2, on " in cause and "(10.77.0.2), was lost with " in cause
    return cause


@pytest.mark.parametrize("process", [ACTOR, "raylet/raylet"], ids=["replica", "node"])
def test_a_killed_replica_or_node_fails_the_run(
    cluster: tuple[Host, Host], tmp_path: Path, process: str
) -> None:
    a, b = cluster
    with Going(a, tmp_path / "run", *_SERVER) as going:
        kill(b, process)
        failed_soon(going)
        assert left_on(a) == left_on(b) == []


def test_an_engine_that_stands_still_fails_the_run(
    cluster: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = cluster
    more = ("--scenario", "Server", "--qps", "20", "--count", "500", "--duration", "300")
    with Going(a, tmp_path / "run", *more) as going:
        kill(b, ENGINE, signal.SIGSTOP)
        cause = failed_soon(going, LEAST_S + BOUND_S)
        assert "the engine died: it gave no sign for " in cause
        assert left_on(a) == left_on(b) == []


def test_a_cut_link_fails_the_run(cluster: tuple[Host, Host], tmp_path: Path) -> None:
    a, b = cluster
    with Going(a, tmp_path / "run", *_SERVER) as going:
        b.link("down")
        failed_soon(going)
        assert left_on(a) == []
        b.link("up")
        assert left_on(b, timeout_s=90.0) == []


def test_a_head_that_loses_the_network_fails_the_run(
    cluster: tuple[Host, Host], tmp_path: Path
) -> None:
    """Its own address is then gone for its own processes, too."""
    a, b = cluster
    with Going(a, tmp_path / "run", *_SERVER) as going:
        a.link("down")
        started_s = time.monotonic()
        code, told = going.end(2 * BOUND_S)
        assert time.monotonic() - started_s < BOUND_S
        assert (code, going.record["status"]) == (4, "failed"), told
        assert "Traceback" not in told
        assert " of 2, on " in going.record["cause"]
        assert "the link to it, is down or very slow" in going.record["cause"]
        a.link("up")
        assert left_on(a, timeout_s=90.0) == left_on(b, timeout_s=90.0) == []


@contextmanager
def full_store(host: Host, head: Host) -> Iterator[None]:
    """Somebody else has filled the object store of this host."""
    held = host.start(sys.executable, "-c", _HOLD_ALL, f"{head.address}:{PORT}")
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n", held.communicate()[1]
        yield
    finally:
        held.kill()
        held.communicate()


def test_full_object_stores_stop_nothing(cluster: tuple[Host, Host], tmp_path: Path) -> None:
    """Neither the engine that the other host fetches, nor a request or an answer."""
    a, b = cluster
    with full_store(a, a), full_store(b, a):
        folder = tmp_path / "run"
        more = ("--scenario", "Offline", "--count", "100", "--mode", "performance")
        done = a.run(*words(a, folder, *more))
        assert done.returncode == 0, done.stderr
        assert sum(load.requests for load in loads(folder).replicas) == 100
    assert list(b.home.glob("engines/newsbrief/cpu/*/engine.json"))
    assert left_on(a) == left_on(b) == []


def test_a_host_that_stands_still_for_a_while_is_waited_for(
    cluster: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = cluster
    with Going(a, tmp_path / "run", "--scenario", "Offline", "--count", "1500") as going:
        pids = b.pids()
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                os.kill(pid, number)
            time.sleep(6.0)
        code, told = going.end(120.0)
        assert code == 0, told
        assert all(load.lost is None for load in loads(going.folder).replicas)
        assert left_on(a) == left_on(b) == []


def test_a_loss_that_is_tolerated_marks_the_run(cluster: tuple[Host, Host], tmp_path: Path) -> None:
    a, b = cluster
    with Going(a, tmp_path / "run", "--tolerate-failures", *_SERVER) as going:
        kill(b, ACTOR)
        code, told = going.end(180.0)
        record = going.record
        assert record["status"] == "complete", told
        assert code in (0, 1)  # it may be late for a rate of two
        assert "failures tolerated" in record["marks"]
        lost = [load for load in loads(going.folder).replicas if load.lost is not None]
        assert [load.node[-11:] for load in lost] == ["(10.77.0.2)"]
        answered = record["tests"]["performance"]["last_figures"]
        assert answered["done"] == answered["issued"]
        assert left_on(a) == left_on(b) == []


def test_ctrl_c_leaves_nothing_on_either_host(cluster: tuple[Host, Host], tmp_path: Path) -> None:
    a, b = cluster
    with Going(a, tmp_path / "run", *_SERVER) as going:
        for pid in a.pids_of("enginebench run"):
            os.kill(pid, signal.SIGINT)
        code, told = going.end(BOUND_S)
        assert code == 130, told
        assert going.record["status"] == "interrupted"
        assert left_on(a) == left_on(b) == []
