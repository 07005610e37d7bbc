"""One machine of a cluster: what it refuses, how long it waits, and when it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from build_engine.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from harness.cli.node import main
from runtime.replicas import node

ROOT = Path(__file__).parents[3]


@pytest.fixture
def port() -> Iterator[int]:
    """One that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli.node", *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_it_heeds(process: subprocess.Popen[str]) -> None:
    """Until it has a handler for SIGTERM."""
    until_s = time.monotonic() + 20.0
    while time.monotonic() < until_s:
        assert process.poll() is None
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1):
            return
        time.sleep(0.05)
    raise AssertionError("it never heeded SIGTERM")


def run(*words: str, given: str = "token\n\n") -> tuple[int, str]:
    with start(*words) as process:
        _, told = process.communicate(given, timeout=30.0)
    return process.returncode, told


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ((), EXIT_USAGE, "A node takes versions, address NAME, worker"),
        (("worker", "10.0.0.1", "5"), EXIT_USAGE, "`10.0.0.1` is no address and port; set HEAD_"),
        (("worker", "a..b:80", "5"), EXIT_USAGE, "`a..b:80` is no address and port; set HEAD_"),
        (("address", "a..b"), EXIT_ENVIRONMENT, "knows no address of a..b (no machine has such"),
        (("worker", "fd00::1:6379", "5"), EXIT_USAGE, "`fd00::1:6379` is no address and port; set"),
        (("head", "[fe80::1%eth0]:6379", "2", "5", "run"), EXIT_USAGE, "no address and port; set"),
        (("head", "203.0.113.1:6379", "2", "5", "run"), EXIT_ENVIRONMENT, "set HEAD_ADDRESS to"),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str, ...], code: int, sentence: str) -> None:
    found, told = run(*words)
    assert found == code
    (line,) = told.splitlines()
    assert line.startswith("enginebench: ") and sentence in line


def test_a_port_that_is_in_use_is_told(port: int) -> None:
    code, told = run("head", f"127.0.0.1:{port}", "2", "5", "run")
    assert code == EXIT_ENVIRONMENT
    assert f"Port {port} of 127.0.0.1 is in use; end what listens there (an older Ray:" in told


def test_a_node_without_a_token_is_refused() -> None:
    code, told = run("worker", "127.0.0.1:1", "5", given="")
    assert code == EXIT_USAGE
    assert "no token on standard input" in told


def test_a_head_that_does_not_answer_is_waited_for_within_the_bound() -> None:
    with start("worker", "127.0.0.1:1", "1") as process:
        assert process.stdin is not None
        process.stdin.write("token\n\n")
        process.stdin.flush()
        assert process.wait(20.0) == EXIT_ENVIRONMENT
        assert process.stderr is not None
        assert "could not reach Ray at 127.0.0.1:1 within 1 s; set HEAD_" in process.stderr.read()


@pytest.mark.parametrize("by", ["hangup", "signal"])
def test_a_node_ends_when_nobody_holds_it(by: str) -> None:
    with start("worker", "127.0.0.1:1", "60") as process:
        assert process.stdin is not None
        process.stdin.write("token\n\n")
        process.stdin.flush()
        wait_until_it_heeds(process)
        if by == "hangup":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10.0) == EXIT_INTERRUPTED


def test_versions_are_told_and_a_missing_ray_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {"enginebench": "1.2", "ray": "2.60.0"}
    monkeypatch.setattr(node, "installed_version", versions.get)
    assert main(["versions"]) == EXIT_OK
    assert capsys.readouterr().out.startswith("enginebench 1.2, Ray 2.60.0, Python 3.")
    del versions["ray"]
    assert main(["versions"]) == EXIT_ENVIRONMENT
    assert "pip install" in capsys.readouterr().err


def test_an_address_that_is_not_known_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["address", "127.0.0.1"]) == EXIT_OK
    assert capsys.readouterr().out == "127.0.0.1\n"

    def unknown(name: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    assert main(["address", "one"]) == EXIT_ENVIRONMENT
    assert "knows no address of one (Name or service not known); set HEAD_ADDRESS." in (
        capsys.readouterr().err
    )
