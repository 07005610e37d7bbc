"""The peak of a process is its own: not that of its past, nor of the process that started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import build_engine.peak_memory as peak_memory
from build_engine.peak_memory import forget_peak, peak_bytes

MIB = 1 << 20
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def _hold(size_bytes: int) -> int:
    return int(np.ones(size_bytes, np.uint8).sum())


@ON_LINUX
def test_what_is_held_raises_the_peak() -> None:
    forget_peak()
    before = peak_bytes()
    _hold(256 * MIB)

    assert before + 200 * MIB < peak_bytes() < before + 400 * MIB


@ON_LINUX
def test_what_was_given_back_is_forgotten() -> None:
    _hold(256 * MIB)
    before = peak_bytes()
    forget_peak()

    assert peak_bytes() < before - 200 * MIB


@ON_LINUX
def test_a_new_process_does_not_claim_the_memory_of_its_parent() -> None:
    held = np.ones(256 * MIB, np.uint8)
    code = "from build_engine.peak_memory import peak_bytes; print(peak_bytes())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(said.stdout) < held.size


def test_a_system_without_proc_is_asked_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(peak_memory, "_FORGET", tmp_path / "no" / "clear_refs")
    forget_peak()

    assert MIB < peak_bytes() < 1 << 40
