"""A machine and its GPUs are the same under two addresses, and not those of another."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace

import pytest

from build_engine.errors import EnvironmentFault
from runtime.replicas import identity
from runtime.replicas.identity import cards, machine


def nvml(monkeypatch: pytest.MonkeyPatch, *uuids: str | None) -> None:
    """It tells of these; nothing where there are none."""

    def visible() -> list[SimpleNamespace]:
        if not uuids:
            raise EnvironmentFault("NVML does not start")
        return [SimpleNamespace(uuid=uuid) for uuid in uuids]

    monkeypatch.setattr(identity, "visible_gpus", visible)


def test_a_machine_is_its_kernel_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("1-2-3\n")
    assert machine(tmp_path / "boot_id") == f"{platform.node()} 1-2-3"
    assert machine(tmp_path / "nothing") == platform.node()
    assert machine() == machine()


def test_a_gpu_is_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, "GPU-a")
    assert cards(["0"]) == ("GPU-a",)
    assert cards([]) == ()


@pytest.mark.parametrize("told", [(), (None,), ("GPU-a", "GPU-b")])
def test_where_no_uuid_is_told_it_is_where_it_is(
    monkeypatch: pytest.MonkeyPatch, told: tuple[str | None, ...]
) -> None:
    nvml(monkeypatch, *told)
    assert cards(["1"]) == (f"1 of {machine()}",)
    assert cards(["MIG-c"]) == ("MIG-c",)
