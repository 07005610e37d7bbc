"""One machine of a Ray cluster that lasts as long as one run: what `deploy/` starts on each, by
`harness/cli/node.py`.

Whoever starts it holds its standard input. The first two lines there are what must stand on no
command line: Ray's token, and Hugging Face's, or nothing. Another line says that a machine is lost.
When standard input ends, or at a signal, the run is stopped and Ray with it, so that nothing is
left when whoever started it is killed, or the network between them; and when we are killed, the
kernel tells both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from build_engine.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EnvironmentFault,
    Interrupted,
    MissingLibrary,
    UsageError,
)
from build_engine.launch import launched
from build_engine.libraries import installed_version
from build_engine.validation import may_be_host
from runtime.replicas.cluster import ENGINES_FIRST, STORE_BYTES, connected
from runtime.replicas.machines import nodes
from runtime.replicas.spec import host_and_port

_TICK_S = 0.5
_RUN_END_S = 60.0  # for a run that is told to stop: its record is written, its replicas are closed
_RAY_END_S = 45.0  # for Ray to end by itself: it drains a node for 30 at most
_SECRETS = ("RAY_AUTH_TOKEN", "HF_TOKEN")


class Leash:
    """Standard input, and the signals that mean the same as its end."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self.ended = threading.Event()
        self.lost = threading.Event()

    def secrets(self) -> dict[str, str]:
        """The lines that come first, by the names of their variables. Raises UsageError."""
        told = {name: self._line() for name in _SECRETS}
        if not told["RAY_AUTH_TOKEN"]:
            raise UsageError("There is no token on standard input; use the scripts in deploy/.")
        return {name: text for name, text in told.items() if text}

    def watch(self) -> None:
        """From now on the two events are set when they happen."""
        self.heed_signals()
        threading.Thread(target=self._listen, name="leash", daemon=True).start()

    def heed_signals(self) -> None:
        """Each of them is our end, also where they were ignored, as in a shell's background."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.ended.set())

    def wait(self, ready: Callable[[], bool], limit_s: float, late: Callable[[], str]) -> None:
        """Until `ready`. Raises EnvironmentFault `late` when it takes longer, or when a machine is
        lost; Interrupted at our end.
        """
        until_s = time.monotonic() + limit_s
        while not ready():
            if self.ended.wait(_TICK_S):
                raise Interrupted("Interrupted before the run began.")
            if self.lost.is_set() or time.monotonic() > until_s:
                raise EnvironmentFault(late())

    def _listen(self) -> None:
        while os.read(self._descriptor, 4096):
            self.lost.set()
        self.ended.set()

    def _line(self) -> str:
        line = b""  # read by bytes: what comes after it is not ours to take
        while (byte := os.read(self._descriptor, 1)) not in (b"", b"\n"):
            line += byte
        return line.decode(errors="replace").strip()


def versions() -> str:
    """What must be the same on every machine."""
    ray = installed_version("ray")
    if ray is None:
        raise MissingLibrary("ray", "ray")
    return f"enginebench {installed_version('enginebench')}, Ray {ray}, Python " + (
        platform.python_version()
    )


def address_of(name: str) -> str:
    """The IPv4 address that this machine knows another by. Raises EnvironmentFault."""
    try:
        if not may_be_host(name):
            raise socket.gaierror(socket.EAI_NONAME, "no machine has such a name")
        return socket.gethostbyname(name)
    except OSError as error:
        raise EnvironmentFault(
            f"{socket.gethostname()} knows no address of {name} ({error.strerror}); set "
            "HEAD_ADDRESS."
        ) from None


def worker(address: str, limit_s: float, leash: Leash) -> int:
    """A Ray node of the cluster at `address`, until the leash ends."""
    secrets, (host, port) = leash.secrets(), _host_and_port(address)
    leash.watch()
    here = socket.gethostname()
    late = (
        f"{here} could not reach Ray at {address} within {limit_s:.0f} s; set HEAD_ADDRESS to an "
        "address that it reaches, and open that port between the machines."
    )
    leash.wait(lambda: _listens(host, port), limit_s, lambda: late)
    with _ray([f"--address={address}"], secrets) as ray:
        while not leash.ended.wait(_TICK_S):
            ray.require_alive()
    return EXIT_OK


def head(address: str, num_nodes: int, limit_s: float, command: Sequence[str], leash: Leash) -> int:
    """Ray's head at `address`, of this machine; when `num_nodes` have joined, the exit code of
    `enginebench COMMAND` over them.
    """
    secrets, (host, port) = leash.secrets(), _host_and_port(address)
    _require_free(host, port)
    leash.watch()
    started = ["--head", f"--port={port}", f"--node-ip-address={host}", "--include-dashboard=false"]
    with _ray(started, secrets) as ray:

        def up() -> bool:
            ray.require_alive()
            return _listens(host, port)

        leash.wait(
            up, limit_s, lambda: f"Ray was not up within {limit_s:.0f} s; it said: {ray.last}."
        )
        os.environ.update(_for_ray(secrets))
        with connected(address):
            leash.heed_signals()  # importing Ray took one of them
            leash.wait(lambda: len(nodes().gpus) >= num_nodes, limit_s, lambda: _missing(num_nodes))
        return _run([*command, "--ray-address", address], secrets, leash)


class _Ray:
    """`ray start --block`: it ends its processes when it ends."""

    def __init__(self, options: Sequence[str], environment: dict[str, str]) -> None:
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        ours = ["--disable-usage-stats", f"--object-store-memory={STORE_BYTES}"]
        self._process = subprocess.Popen(
            launched([*words, *ours, *options], signal.SIGTERM),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # its group is its own, and gets no Ctrl-C
        )
        self._lines: deque[str] = deque(maxlen=1)
        threading.Thread(target=self._read, name="ray", daemon=True).start()

    @property
    def last(self) -> str:
        """What it said last."""
        return self._lines[0].rstrip(".") if self._lines else "nothing"

    def require_alive(self) -> None:
        """Raise EnvironmentFault where it has ended."""
        if self._process.poll() is not None:
            raise EnvironmentFault(f"Ray on {socket.gethostname()} ended; it said: {self.last}.")

    def end(self) -> None:
        """It is gone, and what it started."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_RAY_END_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                self._lines.append(line.strip())


@contextlib.contextmanager
def _ray(options: Sequence[str], secrets: dict[str, str]) -> Iterator[_Ray]:
    started = _Ray(options, {**_without_secrets(), **_for_ray(secrets)})
    try:
        yield started
    finally:
        started.end()


def _run(command: Sequence[str], secrets: dict[str, str], leash: Leash) -> int:
    process = subprocess.Popen(
        launched([sys.executable, "-m", "enginebench", *command], signal.SIGINT),
        env={**os.environ, **secrets},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches it once, through us
    )
    while process.poll() is None:
        if leash.ended.wait(_TICK_S):
            process.send_signal(signal.SIGINT)
            try:
                return process.wait(_RUN_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return EXIT_INTERRUPTED
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _missing(num_nodes: int) -> str:
    return (
        f"Not every one of the {num_nodes} machines joined Ray; look at what the others said, and "
        "open all ports between them."
    )


def _without_secrets() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name not in _SECRETS}


def _for_ray(secrets: dict[str, str]) -> dict[str, str]:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets["RAY_AUTH_TOKEN"]}
    return {**dict([ENGINES_FIRST]), **token}


def _host_and_port(address: str) -> tuple[str, int]:
    place = host_and_port(address)
    if place is None:
        raise UsageError(f"`{address}` is no address and port; set HEAD_ADDRESS and RAY_PORT.")
    return place


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_TICK_S).close()
    except OSError:
        return False
    return True


def _require_free(host: str, port: int) -> None:
    """Raise EnvironmentFault where Ray's head could not listen."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EnvironmentFault(
                f"Port {port} of {host} is in use; end what listens there (an older Ray: `ray "
                "stop`), or set RAY_PORT to another."
            ) from None
        raise EnvironmentFault(
            f"{host} is no address of {socket.gethostname()} ({error.strerror}); set HEAD_ADDRESS "
            "to one that the other machines reach."
        ) from None
