"""Free memory is the machine's, or what is left to a container."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from build_engine.errors import EnvironmentFault
from build_engine.free_memory import available_bytes, require_free


def write(group: Path, limit: str, stat: str = "anon 1000000\ninactive_file 4000000\n") -> None:
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text("5000000\n")
    (group / "memory.stat").write_text(stat)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 8 MB to spare."""
    memory = SimpleNamespace(available=8_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


@pytest.mark.parametrize(
    ("limit", "free"),
    [
        ("max", 8_000_000),
        ("6000000", 5_000_000),
        ("100000000", 8_000_000),
        ("900000", 0),
    ],
)
def test_the_smaller_of_machine_and_container(tmp_path: Path, limit: str, free: int) -> None:
    write(tmp_path, limit)
    assert available_bytes(tmp_path) == free


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == 8_000_000


def test_a_group_that_does_not_tell_its_file_pages(tmp_path: Path) -> None:
    write(tmp_path, "6000000", stat="anon 1000000\n")
    assert available_bytes(tmp_path) == 1_000_000


def test_this_machine_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert available_bytes() > 0


def test_a_container_of_the_first_version_has_limits_too(tmp_path: Path) -> None:
    group = tmp_path / "memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("6000000\n")
    (group / "memory.usage_in_bytes").write_text("5000000\n")
    (group / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 2000000\n")
    assert available_bytes(tmp_path) == 3_000_000
    (group / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")  # none
    assert available_bytes(tmp_path) == 8_000_000


def test_what_is_not_free_is_told_with_how_much_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("build_engine.free_memory._GROUPS", ())
    require_free(8_000_000, "this needs", "do less")
    with pytest.raises(EnvironmentFault) as caught:
        require_free(9_500_000, "this needs", "do less")
    assert str(caught.value) == (
        "8.0 MB of host memory is free here, and this needs about 9.5 MB, 1.5 MB more; end other "
        "programs, raise the container's limit, or do less."
    )
