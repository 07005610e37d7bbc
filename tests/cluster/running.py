"""Runs over the cluster, as a user starts them, and what is left of them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from harness.loadgen.replicas import ReplicaLoads, read_replicas
from tests.cluster.hosts import PORT, Host

# of a replica: Ray's actor, and the engine's process below it
ACTOR, ENGINE = "ray::_RayReplica", "runtime.openvino.worker"


def words(host: Host, folder: Path, *more: str) -> list[str]:
    """A run over both hosts."""
    return [
        *(sys.executable, "-m", "enginebench", "run", "--model", "newsbrief"),
        *("--recipe", "int8_wo", "--output", str(folder)),
        *("--replicas", "2", "--ray-address", f"{host.address}:{PORT}", *more),
    ]


class Going:
    """A run that goes on."""

    def __init__(self, host: Host, folder: Path, *more: str) -> None:
        self.folder = folder
        self.process = host.start(*words(host, folder, "--mode", "performance", *more))

    def __enter__(self) -> Going:
        until_s = time.monotonic() + 180.0
        while self.answered < 20:
            if self.process.poll() is not None or time.monotonic() > until_s:
                self.process.kill()
                raise AssertionError(self.process.communicate()[1])
            time.sleep(0.2)
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def answered(self) -> int:
        """Samples, as far as it has told."""
        try:
            lines = (self.folder / "progress.jsonl").read_text().splitlines()
            return int(json.loads(lines[-1])["done"]) if lines else 0
        except (FileNotFoundError, ValueError):
            return 0

    def end(self, timeout_s: float) -> tuple[int, str]:
        """Its exit code and what it told; it must end in this time."""
        _, told = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, told

    @property
    def record(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return content


def loads(folder: Path, test: str = "performance") -> ReplicaLoads:
    return read_replicas(folder / test / "replicas.json")


def left_on(host: Host, timeout_s: float = 15.0) -> list[str]:
    """What of a run is still there on a host after a moment."""
    until_s = time.monotonic() + timeout_s
    while True:
        left = [
            name
            for name in (ACTOR, ENGINE, "harness.loadgen.worker", "runtime.replicas.worker")
            if host.pids_of(name)
        ]
        if not left or time.monotonic() > until_s:
            return left
        time.sleep(0.2)
