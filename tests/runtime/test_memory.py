"""Free memory is the machine's, or what is left to a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.memory import available_bytes


def write(root: Path, limit: str | None) -> None:
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\nHugePages: 0\n")
    if limit is not None:
        group = root / "sys/fs/cgroup"
        group.mkdir(parents=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text("5000000\n")
        (group / "memory.stat").write_text("anon 1000000\ninactive_file 4000000\n")


@pytest.mark.parametrize(
    ("limit", "free"),
    [
        (None, 8_192_000),
        ("max", 8_192_000),
        ("6000000", 5_000_000),
        ("100000000", 8_192_000),
        ("900000", 0),
    ],
)
def test_the_smaller_of_machine_and_container(tmp_path: Path, limit: str | None, free: int) -> None:
    write(tmp_path, limit)
    assert available_bytes(tmp_path) == free


def test_this_machine_has_some() -> None:
    assert available_bytes() > 0
