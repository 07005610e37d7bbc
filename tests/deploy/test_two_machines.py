"""The scripts for real: two hosts as network namespaces, without a Ray before or after them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.loadgen.replicas import read_replicas
from tests.cluster.conftest import engine_store as engine_store
from tests.cluster.hosts import ROOT, Host, NotPermitted, two_hosts

pytestmark = pytest.mark.cluster

SSH = ("ssh.sh", "second", "--")
SLURM = ("slurm.sh",)
HEAD = "10.77.0.1"
RUN = ("run", "--model", "newsbrief", "--recipe", "int8_wo", "--mode", "performance")


class Pair:
    """The hosts, and the scripts on the first, whose `ssh` and `srun` lead to the second."""

    def __init__(self, a: Host, b: Host, folder: Path) -> None:
        self.a, self.b, self.output = a, b, folder / "run"
        programs = folder / "programs"
        programs.mkdir()
        names = ("ENGINEBENCH_HOME", "PYTHONPATH", "RAY_USAGE_STATS_ENABLED")
        variables = [f"{name}={b.environment[name]}" for name in names]
        variables += [f"RAY_TMPDIR={b.folder}", f"SSH_CONNECTION={a.address} 1 {b.address} 22"]
        there = b.words(["env", "-i", *variables, f"PATH={os.defpath}"], pinned=True)
        second = f"exec {_joined(there)}"
        shims = {
            "ssh": f'while [[ $1 == -o ]]; do shift 2; done\n{second} sh -c "${{*:2}}"',
            "scontrol": "echo first; echo second",
            "srun": "while [[ $1 == --* ]]; do\n"
            "[[ $1 == --nodelist=* ]] && on=${1#*=}\nshift\ndone\n"
            f'[[ $on == first ]] && exec "$@"\n{second} "$@"',
        }
        for name, text in shims.items():
            (programs / name).write_text(f"#!/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        self.environment = {
            **{name: text for name, text in a.environment.items() if "TOKEN" not in name},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ENGINEBENCH_PYTHON": sys.executable,
            "RAY_TMPDIR": str(a.folder),
            "SLURM_JOB_NODELIST": "first,second",
            "SLURM_SUBMIT_DIR": str(ROOT),
        }

    def start(
        self, *more: str, script: Sequence[str] = SSH, **changes: str
    ) -> subprocess.Popen[str]:
        words = [str(ROOT / "deploy" / script[0]), *script[1:], *RUN, "--output"]
        return subprocess.Popen(
            self.a.words([*words, str(self.output), *more], pinned=True),
            env={**self.environment, **changes},
            cwd=self.a.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: str, script: Sequence[str] = SSH, **changes: str) -> tuple[int, str]:
        """Its exit code, and what it told."""
        with self.start(*more, script=script, **changes) as process:
            _, told = process.communicate(timeout=300.0)
        return process.returncode, told

    def started(self, *more: str, **changes: str) -> subprocess.Popen[str]:
        """A run that has answers."""
        process = self.start(*more, **changes)
        until_s = time.monotonic() + 200.0
        while not (self.output / "progress.jsonl").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until_s
            time.sleep(0.3)
        return process

    def left(self, timeout_s: float = 60.0) -> list[int]:
        """The processes of both hosts after a moment: there were none before."""
        until_s = time.monotonic() + timeout_s
        while (left := [*self.a.pids(), *self.b.pids()]) and time.monotonic() < until_s:
            time.sleep(0.3)
        return left


def _joined(words: list[str]) -> str:
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


@pytest.fixture
def pair(engine_store: Path, tmp_path: Path) -> Iterator[Pair]:
    pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    try:
        with two_hosts(tmp_path) as (a, b):
            shutil.copytree(engine_store, a.home, dirs_exist_ok=True)
            yield Pair(a, b, tmp_path)
    except NotPermitted as reason:
        pytest.skip(f"No network namespaces here: {reason}")


@pytest.mark.parametrize(("script", "changes"), [(SSH, {}), (SLURM, {"HEAD_ADDRESS": HEAD})])
def test_a_run_over_both_and_nothing_is_left(
    pair: Pair, script: Sequence[str], changes: dict[str, str]
) -> None:
    offline = ("--scenario", "Offline", "--count", "100")
    code, told = pair.run(*offline, script=script, **changes)
    assert code == 0, told
    loads = read_replicas(pair.output / "performance" / "replicas.json").replicas
    assert sorted(load.node[-11:] for load in loads) == ["(10.77.0.1)", "(10.77.0.2)"]
    assert all(load.requests > 20 for load in loads)
    assert list(pair.b.home.glob("engines/newsbrief/cpu/*/engine.json"))  # fetched from the head
    assert pair.left() == []


def test_a_run_over_ipv6(pair: Pair) -> None:
    """The address is as ssh tells it, without brackets."""
    code, told = pair.run("--scenario", "Offline", "--count", "100", HEAD_ADDRESS=pair.a.ipv6)
    assert code == 0, told
    loads = read_replicas(pair.output / "performance" / "replicas.json").replicas
    assert sorted(load.node[-12:] for load in loads) == ["(fd00:77::1)", "(fd00:77::2)"]
    assert pair.left() == []


def test_a_worker_that_never_joins_is_told_within_the_bound(pair: Pair) -> None:
    pair.b.link("down")
    started_s = time.monotonic()
    code, told = pair.run("--scenario", "Offline", "--count", "10", JOIN_S="8")
    assert time.monotonic() - started_s < 90.0
    assert code == 3, told
    assert "could not reach Ray at 10.77.0.1:6379 within 8 s; set HEAD_ADDRESS" in told
    assert "Not every one of the 2 machines joined Ray" in told
    assert "Traceback" not in told
    assert not pair.output.exists()
    assert pair.left() == []


def test_a_node_that_is_lost_fails_the_run_and_ends_the_rest(pair: Pair) -> None:
    server = ("--scenario", "Server", "--qps", "20", "--count", "500")
    with pair.started(*server) as process:
        for pid in pair.b.pids_of("raylet/raylet"):
            os.kill(pid, signal.SIGKILL)
        _, told = process.communicate(timeout=120.0)
    assert process.returncode == 4, told
    assert json.loads((pair.output / "run.json").read_text())["status"] == "failed"
    assert "The Ray node on second ended." in told
    assert "Traceback" not in told
    assert pair.left() == []


def test_ctrl_c_interrupts_the_run_and_ends_both_nodes(pair: Pair) -> None:
    server = ("--scenario", "Server", "--qps", "20", "--count", "500")
    with pair.started(*server) as process:
        for pid in pair.a.pids_of("deploy/ssh.sh"):
            os.kill(pid, signal.SIGINT)
        _, told = process.communicate(timeout=120.0)
    assert process.returncode == 130, told
    assert json.loads((pair.output / "run.json").read_text())["status"] == "interrupted"
    assert pair.left() == []


def test_nothing_is_left_when_the_script_is_killed(pair: Pair) -> None:
    with pair.started("--scenario", "Server", "--qps", "20", "--count", "500") as process:
        for pid in pair.a.pids_of("deploy/ssh.sh second"):
            os.kill(pid, signal.SIGKILL)
        assert pair.left(timeout_s=120.0) == []
        process.kill()
        process.communicate()


def test_nothing_is_left_when_the_head_is_killed(pair: Pair) -> None:
    with pair.started("--scenario", "Server", "--qps", "20", "--count", "500") as process:
        for pid in pair.a.pids_of("harness.cli.node head"):
            os.kill(pid, signal.SIGKILL)
        _, told = process.communicate(timeout=200.0)
    assert process.returncode == 137, told
    assert json.loads((pair.output / "run.json").read_text())["status"] in ("interrupted", "failed")
    assert pair.left() == []
