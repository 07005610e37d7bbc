"""The kernel's own files are read, and what they do not tell is not made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.machine.hardware import Disk, Hardware, NetworkPort, read_hardware


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Two sockets of two cores with two threads each, three disks, one card with two ports."""
    cpu = "sys/devices/system/cpu"
    for number in range(8):
        topology = f"{cpu}/cpu{number}/topology"
        socket, core = number // 2 % 2, number % 2
        _write(
            tmp_path,
            {f"{topology}/physical_package_id": str(socket), f"{topology}/core_id": str(core)},
        )
    for index, (level, kind, size) in enumerate(
        [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("3", "Unified", "105M")]
    ):
        folder = f"{cpu}/cpu0/cache/index{index}"
        _write(tmp_path, {f"{folder}/level": level, f"{folder}/type": kind, f"{folder}/size": size})
    _write(
        tmp_path,
        {
            f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq": "3500000",
            "sys/block/nvme0n1/size": "3750748848",
            "sys/block/sda/size": "1000",
            "sys/block/sda/queue/rotational": "1",
            "sys/block/sdb/size": "1000",
            "sys/block/sdb/queue/rotational": "0",
            "sys/block/vda/size": "1000",
            "sys/block/loop0/size": "1000",
            "sys/block/sdc/size": "0",
            "sys/class/net/lo/speed": "10",
            "sys/class/net/ens1f0/speed": "25000",
            "sys/class/net/ens1f1/speed": "-1",
        },
    )
    (tmp_path / "sys/bus/pci/drivers/mlx5_core").mkdir(parents=True)
    for function in "01":
        device = tmp_path / f"sys/devices/pci0000:00/0000:17:00.{function}"
        device.mkdir(parents=True)
        (device / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers/mlx5_core")
        (tmp_path / f"sys/class/net/ens1f{function}/device").symlink_to(device)
    return tmp_path


def test_a_server(server: Path) -> None:
    assert read_hardware(server) == Hardware(
        num_sockets=2,
        cores_per_socket=2,
        max_mhz=3500.0,
        caches=("L1d 48K", "L1i 32K", "L3 105M"),
        disks=(
            Disk("nvme0n1", 3750748848 * 512, "NVMe SSD"),
            Disk("sda", 512_000, "HDD"),
            Disk("sdb", 512_000, "SSD"),
            Disk("vda", 512_000, "virtual disk"),
        ),
        ports=(
            NetworkPort("ens1f0", "0000:17:00", "mlx5_core", 25000),
            NetworkPort("ens1f1", "0000:17:00", "mlx5_core", None),
        ),
    )


def test_a_kernel_that_tells_nothing(tmp_path: Path) -> None:
    assert read_hardware(tmp_path) == Hardware(
        num_sockets=None, cores_per_socket=None, max_mhz=None, caches=(), disks=(), ports=()
    )


def test_this_machine_can_be_read() -> None:
    hardware = read_hardware()
    assert hardware.num_sockets is None or hardware.num_sockets >= 1
    assert all(disk.num_bytes > 0 for disk in hardware.disks)
