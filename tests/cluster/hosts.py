"""Two hosts on one machine: network namespaces with a link between them, a Ray on each.

Each has its own engine store; what the first one keeps is hidden from the second.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PORT = 6379
_RAY = [sys.executable, "-m", "ray.scripts.scripts"]


class NotPermitted(Exception):
    """Why namespaces cannot be made here."""


@dataclass(frozen=True)
class Host:
    """A network namespace, and what its processes find in their environment."""

    namespace: str
    device: str
    address: str
    home: Path
    hidden: Path | None
    cpu: int
    folder: Path
    token: str

    @property
    def ipv6(self) -> str:
        """Its other address."""
        return f"fd00:77::{self.address.rpartition('.')[2]}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ENGINEBENCH_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def words(self, command: Sequence[str], *, pinned: bool) -> list[str]:
        """A command as it is run on this host."""
        inside = ["ip", "netns", "exec", self.namespace]
        if self.hidden is not None:
            hide = f'mount -t tmpfs none {self.hidden} && exec "$@"'
            inside += ["unshare", "--mount", "sh", "-c", hide, "sh"]
        pin = ["taskset", "-c", str(self.cpu)] if pinned else []
        return [*inside, *pin, *command]

    def run(
        self, *command: str, pinned: bool = False, timeout_s: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this host to its end."""
        return subprocess.run(
            self.words(command, pinned=pinned),
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command on this host."""
        return subprocess.Popen(
            self.words(command, pinned=False),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_ray(self, *options: str) -> None:
        """A Ray node on this host, all of it on its core."""
        done = self.run(
            *_RAY,
            "start",
            f"--node-ip-address={self.address}",
            f"--temp-dir={self.folder}",
            "--num-cpus=1",
            "--object-store-memory=100000000",
            "--disable-usage-stats",
            *options,
            pinned=True,
            timeout_s=120.0,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def pids(self) -> list[int]:
        """Its processes."""
        told = _ip("netns", "pids", self.namespace)
        return [int(word) for word in told.split()]

    def pids_of(self, words: str) -> list[int]:
        """Its processes with these words in their command line."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                if words.encode() in line:
                    found.append(pid)
        return found

    def kill_all(self) -> None:
        """End every process on this host."""
        until_s = time.monotonic() + 20.0
        while (pids := self.pids()) and time.monotonic() < until_s:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def link(self, *words: str) -> None:
        """`ip link set` of its end of the link."""
        _ip("-n", self.namespace, "link", "set", self.device, *words)

    def delay(self, milliseconds: int) -> None:
        """Everything that it sends takes so much longer. Raises NotPermitted for a kernel that
        cannot do that.
        """
        netem = ["root", "netem", "delay", f"{milliseconds}ms"]
        _tool("tc", "-n", self.namespace, "qdisc", "replace", "dev", self.device, *netem)


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Two linked hosts without Ray. Raises NotPermitted."""
    for tool in ("ip", "tc", "unshare", "taskset"):
        if shutil.which(tool) is None:
            raise NotPermitted(f"`{tool}` is not installed (iproute2, util-linux)")
    tag, token = secrets.token_hex(2), secrets.token_hex(16)
    names = [f"eb-{tag}-{end}" for end in "ab"]
    cpus = sorted(os.sched_getaffinity(0))
    short = Path(tempfile.mkdtemp(prefix="ebh", dir="/tmp"))  # Ray's sockets have long names
    homes = [folder / f"home-{end}" for end in "ab"]
    hosts = [
        Host(
            namespace=name,
            device=f"{name}-0"[-15:],
            address=f"10.77.0.{number}",
            home=homes[number - 1],
            hidden=None if number == 1 else homes[0],
            cpu=cpus[(number - 1) % len(cpus)],
            folder=short / "ab"[number - 1],
            token=token,
        )
        for number, name in enumerate(names, start=1)
    ]
    try:
        for host in hosts:
            host.home.mkdir(parents=True)
            host.folder.mkdir()
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        a, b = hosts
        peer = ["type", "veth", "peer", "name", b.device, "netns", b.namespace]
        _ip("-n", a.namespace, "link", "add", a.device, *peer)
        for host in hosts:
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", host.device)
            host.link("up")
            ipv6 = ["address", "add", f"{host.ipv6}/64", "dev", host.device, "nodad"]
            _ip("-n", host.namespace, "-6", *ipv6)
        yield a, b
    finally:
        for host in hosts:
            with contextlib.suppress(NotPermitted):
                host.kill_all()
                _ip("netns", "del", host.namespace)
        shutil.rmtree(short, ignore_errors=True)


@contextlib.contextmanager
def ray_cluster(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Two hosts, the first of them Ray's head."""
    with two_hosts(folder) as (a, b):
        a.start_ray("--head", f"--port={PORT}", "--include-dashboard=false")
        b.start_ray(f"--address={a.address}:{PORT}")
        yield a, b


def _ip(*words: str) -> str:
    return _tool("ip", *words)


def _tool(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPermitted(f"`{' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout
