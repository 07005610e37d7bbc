"""Replicas on a Ray of this machine: answers, losses, and that nothing is left."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from build_engine.errors import EngineDied, EnvironmentFault
from runtime.backend import load
from runtime.executor import Executor, Request
from runtime.openvino.spec import OpenVINOSpec
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.executor import survey
from runtime.replicas.spec import ReplicasSpec
from runtime.simulated.spec import SimulatedSpec

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (the extra `ray`)"
)

ROOT = Path(__file__).parents[3]
ACTOR = "ray::_RayReplica"
STEADY = SimulatedSpec(num_tokens=8, ttft_s=0.05, tpot_s=0.02)
SLOW = SimulatedSpec(num_tokens=8, ttft_s=1.0, tpot_s=0.5)
# Ray is imported when `connected` has set its environment
SHARED = """
import os, sys
from runtime.replicas.cluster import connected
with connected("local"):
    import ray
    address = ray.get_runtime_context().gcs_address
    print(address, os.environ["RAY_AUTH_TOKEN"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    until_s = time.monotonic() + 10.0
    while (left := processes()) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert left == []
    folders = [folder.name for folder in Path("/tmp").glob("ebray*")]
    assert [name for name in folders if not psutil.pid_exists(int(name.split("-")[-2]))] == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray that tests join which ask nothing of its start or its end: these take
    seconds.
    """
    command = [sys.executable, "-c", SHARED]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert process.stdout is not None
        address, token = process.stdout.readline().split()
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", token)
        yield address


def processes() -> list[psutil.Process]:
    """All that was started by this one, but for the Ray that is shared."""
    every = psutil.Process().children(recursive=True)
    shared = [child for child in psutil.Process().children() if SHARED in _words(child)]
    aside = {each.pid for one in shared for each in (one, *one.children(recursive=True))}
    return [process for process in every if process.pid not in aside]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return []


def actors() -> list[psutil.Process]:
    return [process for process in processes() if " ".join(_words(process)).startswith(ACTOR)]


def requests(num: int) -> list[Request]:
    prompt = np.arange(20, dtype=np.int32)
    return [Request(number, prompt, 8) for number in range(num)]


def answers(executor: Executor, num: int) -> dict[int, list[int]]:
    ids: dict[int, list[int]] = {}
    done = 0
    until_s = time.monotonic() + 60.0
    while done < num:
        assert time.monotonic() < until_s
        for chunk in executor.poll(0.1):
            assert chunk.error is None
            ids.setdefault(chunk.id, []).extend(chunk.token_ids.tolist())
            done += chunk.finished
    return ids


def test_replicas_answer_and_one_that_is_killed_is_the_end(tmp_path: Path) -> None:
    executor = load(ReplicasSpec(each=(STEADY,), count=2))
    try:
        executor.submit(requests(30))
        assert answers(executor, 30) == {number: list(range(100, 108)) for number in range(30)}
        loads = executor.stats().replicas
        assert [load.number for load in loads] == [1, 2]
        assert [load.requests for load in loads] == [15, 15]
        assert executor.prefix_caching is False
        found = actors()
        assert len(found) == 2
        assert all(each.nice() <= psutil.Process().nice() for each in found)
        found[0].send_signal(signal.SIGKILL)
        with pytest.raises(EngineDied, match=r"replica [12] of 2, on .*, was lost with 0 open req"):
            until_s = time.monotonic() + 30.0
            while time.monotonic() < until_s:
                executor.poll(0.1)
    finally:
        executor.close()


def test_a_tolerated_loss_loses_no_answer() -> None:
    executor = load(ReplicasSpec(each=(SLOW, STEADY), count=2, tolerate_failures=True))
    try:
        executor.submit(requests(20))
        time.sleep(1.5)
        victims = actors()
        assert len(victims) == 2
        victims[0].send_signal(signal.SIGKILL)
        assert answers(executor, 20) == {number: list(range(100, 108)) for number in range(20)}
        assert len([load for load in executor.stats().replicas if load.lost]) == 1
    finally:
        executor.close()


def test_an_engine_that_is_none_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    spec = ReplicasSpec(each=(OpenVINOSpec(folder=tmp_path),), count=1)
    with pytest.raises(EngineDied, match=r"is not an engine: it has no engine\.json"):
        load(spec)


def test_more_gpus_than_there_are_is_told_at_once(cluster: str) -> None:
    with pytest.raises(
        EnvironmentFault,
        match=r"^999 replicas take 999 GPUs, and Ray at .* has \d+ on 1 machine; give fewer",
    ):
        load(ReplicasSpec(each=(STEADY,), count=999, device="gpu", address=cluster))


def test_more_cores_than_there_are_is_told_at_once(cluster: str) -> None:
    started_s = time.monotonic()
    with pytest.raises(
        EnvironmentFault,
        match=r"^999 replicas take 999 cores, and Ray at .* has \d+ on 1 machine; give fewer",
    ):
        load(ReplicasSpec(each=(STEADY,), count=999, device="cores", address=cluster))
    assert time.monotonic() - started_s < 60.0


def test_a_long_prompt_arrives_at_the_cores_that_were_asked_for(cluster: str) -> None:
    spec = ReplicasSpec(each=(STEADY,), count=1, device="cores", cores_each=1, address=cluster)
    executor = load(spec)
    try:
        executor.submit([Request(1, np.arange(200_000, dtype=np.int32), 8)])
        assert answers(executor, 1) == {1: list(range(100, 108))}
        (told,) = executor.stats().replicas
        cpus = {int(cpu) for cpu in told.device.removeprefix("CPU ").split(", ")}
        assert num_physical([core for core in own_cores() if core.cpu in cpus]) == 1
    finally:
        executor.close()


def test_machines_are_asked_for_their_cores_where_these_matter(cluster: str) -> None:
    (here,) = survey("local", cores=True).cores
    assert here == num_physical(own_cores())
    assert survey(cluster).cores == ()


def test_an_address_where_nobody_listens_is_told() -> None:
    with pytest.raises(
        EnvironmentFault, match=r"^No connection to Ray at 127\.0\.0\.1:1: .*refused; this machine"
    ):
        survey("127.0.0.1:1")


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_an_ipv6_address_is_asked_as_one() -> None:
    with pytest.raises(EnvironmentFault, match=r"^No connection to Ray at \[::1\]:1: .*refused"):
        survey("[::1]:1")
