"""`trtllm-build` as a child process: watched, logged, and never left behind.

It runs in a process of its own, so that what it takes of the GPU is free afterwards, in a folder of
its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from build_engine.errors import BuildFailed, EnvironmentFault
from build_engine.gpu import read_gpu
from build_engine.launch import launched
from build_engine.progress import BuildProgress, size_text
from build_engine.trtllm.environment import without_launchers
from build_engine.trtllm.facts import build_tool_facts

_POLL_S = 0.2
_TOLD_EVERY_S = 30.0
_LAST_MOMENT_S = 10.0
_LAST_WORDS_BYTES = 64 * 1024

# These change what is built without being seen in the command.
_HIDDEN = ("BUILDER_FORCE_NUM_PROFILES", "TLLM_LLMAPI_BUILD_CACHE", "TLLM_LOG_LEVEL")

# What the log says when a phase begins, in their order. The library echoes its plugin fields first,
# then TensorRT speaks, and the time is said when all is done.
_PHASES = (
    ("trtllm-build: configuration", re.compile(r"\bSet \S+ to ")),
    ("trtllm-build: kernels", re.compile(r"\[TRT\]")),
    ("trtllm-build: saving", re.compile(r"Total time of building")),
)


def run_tool(command: Sequence[str], folder: Path, log: Path, progress: BuildProgress) -> None:
    """Run the command in `folder`; it and what it says are kept in `log`.

    Raises BuildFailed, which names the cause and the log, when it ends badly. Whatever ends the
    wait, Ctrl-C too, ends the command with all that it started.
    """
    progress.phase("trtllm-build: start")
    with log.open("w+b") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            launched([*command], signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,  # the file's place is shared, so it goes on after the command
            cwd=folder,
            env=child_environment(),
            start_new_session=True,
        )
        with _ended(process):
            _watch(process, log, progress)
        if process.returncode != 0:
            raise BuildFailed(_obituary(command[0], process.returncode, output, log))


def child_environment() -> dict[str, str]:
    """Our environment without what a process manager left in it, or what changes the engine."""
    return {
        name: value
        for name, value in without_launchers(os.environ).items()
        if not name.startswith(_HIDDEN)
    }


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_LAST_MOMENT_S)


def _watch(process: subprocess.Popen[bytes], log: Path, progress: BuildProgress) -> None:
    phases = list(_PHASES)
    began = told = time.monotonic()
    with log.open("r", encoding="utf-8", errors="replace") as lines:
        while True:
            running = process.poll() is None
            for line in lines:
                _begin(phases, line, progress)
            if not running:
                return
            now = time.monotonic()
            if now - told >= _TOLD_EVERY_S:
                told = now
                progress.note(f"{round(now - began)} s, {_memory(process.pid)}")
            time.sleep(_POLL_S)


def _begin(phases: list[tuple[str, re.Pattern[str]]], line: str, progress: BuildProgress) -> None:
    """Tell the last of the `phases` to come that a line announces, and drop those up to it."""
    for index in reversed(range(len(phases))):
        name, pattern = phases[index]
        if pattern.search(line):
            del phases[: index + 1]
            progress.phase(name)
            return


def _memory(pid: int) -> str:
    import psutil

    try:
        host = size_text(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return "ending"
    try:
        gpu = read_gpu()
    except EnvironmentFault:
        return f"{host} of host memory"
    if gpu.total_bytes is None or gpu.free_bytes is None:
        return f"{host} of host memory"
    used = size_text(gpu.total_bytes - gpu.free_bytes)
    return f"{host} of host memory, {used} of GPU memory in use"


def _obituary(program: str, code: int, output: IO[bytes], log: Path) -> str:
    size = os.fstat(output.fileno()).st_size
    start = max(0, size - _LAST_WORDS_BYTES)
    text = os.pread(output.fileno(), _LAST_WORDS_BYTES, start).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    known = (
        (line, error.when)
        for line in lines
        for error in build_tool_facts().errors
        if error.text in line and "warning" not in error.when
    )
    line, when = next(known, (lines[-1] if lines else "it said nothing", ""))
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        how += " (out of memory?)"
    meaning = f" (known: {when})" if when else ""
    return f"{program} {how}: {line}{meaning}; all that it said is in {log}."
