"""The system JSON has every field that the checker asks for, and says what a person must add."""

from __future__ import annotations

import ast
import json
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import EXIT_ENVIRONMENT, EXIT_OK
from harness.cli.main import run
from harness.machine.facts import MachineFacts
from harness.machine.gpus import Gpu, GpuReport
from harness.machine.hardware import Disk, Hardware, NetworkPort
from harness.machine.system import SystemDescription, describe

# SYSTEM_DESC_REQUIRED_FIELDS of the checker; * = must not be empty (mlperf-rules.md, 3.2).
REQUIRED = [
    "division*",
    "submitter*",
    "status*",
    "system_name*",
    "number_of_nodes*",
    "host_processor_model_name*",
    "host_processors_per_node*",
    "host_processor_core_count*",
    "host_memory_capacity*",
    "host_storage_capacity*",
    "host_storage_type*",
    "accelerators_per_node*",
    "accelerator_model_name*",
    "accelerator_memory_capacity*",
    "framework*",
    "operating_system*",
    "system_type*",
    "other_software_stack*",
    "host_processor_frequency",
    "host_processor_caches",
    "host_memory_configuration*",
    "host_processor_interconnect",
    "host_networking*",
    "host_networking_topology*",
    "accelerator_frequency",
    "accelerator_host_interconnect*",
    "accelerator_interconnect*",
    "accelerator_interconnect_topology",
    "accelerator_memory_configuration*",
    "accelerator_on-chip_memories",
    "cooling*",
    "hw_notes",
    "sw_notes",
    "host_network_card_count*",
    "system_type_detail",
]
NAMES = [name.rstrip("*") for name in REQUIRED]
MEANINGFUL = [name.rstrip("*") for name in REQUIRED if name.endswith("*")]

SERVER = Hardware(
    num_sockets=2,
    cores_per_socket=32,
    max_mhz=3500.0,
    caches=("L1d 48K", "L3 105M"),
    disks=(Disk("nvme0n1", 1_920_000_000_000, "NVMe SSD"),) * 2,
    ports=(NetworkPort("ens1f0", "17:00", "mlx5_core", 25000),) * 2,
)
A30 = Gpu(
    name="NVIDIA A30",
    memory_bytes=24 << 30,
    ecc=True,
    sm_clock_mhz=1440,
    memory_clock_mhz=1215,
    memory_bus_bits=3072,
    pcie_generation=4,
    pcie_lanes=16,
    num_nvlinks=4,
)
ONE_A30 = GpuReport(gpus=(A30,), reason="NVML", driver="550.54.15", cuda="12.4")
MACHINE = MachineFacts(
    host="example",
    cpu="Intel Xeon",
    num_cpus=64,
    memory_gib=503.5,
    operating_system="Ubuntu 24.04 LTS",
    kernel="6.8.0",
    python="3.12.3",
)
LIBRARIES = {"numpy": "1.26.4", "openvino-genai": None, "mlcommons-loadgen": "6.0.17"}


def _describe(
    hardware: Hardware = SERVER, gpus: GpuReport = ONE_A30, **libraries: str
) -> SystemDescription:
    return describe(hardware, gpus, MACHINE, {**LIBRARIES, **libraries})


def test_every_field_is_there_as_text() -> None:
    fields = _describe().fields
    assert sorted(fields) == sorted(NAMES)
    assert {type(value) for value in fields.values()} == {str}
    assert [name for name in MEANINGFUL if not fields[name]] == []


def test_an_a30_server() -> None:
    system = _describe()
    fields = system.fields
    assert fields["number_of_nodes"] == "1"
    assert (fields["host_processors_per_node"], fields["host_processor_core_count"]) == ("2", "32")
    assert fields["host_processor_frequency"] == "3,500 MHz maximum"
    assert fields["host_storage_capacity"] == "2x 1.92 TB"
    assert fields["host_storage_type"] == "2x NVMe SSD"
    assert fields["host_networking"] == "2x 25 Gb/s mlx5_core"
    assert fields["host_network_card_count"] == "1"
    assert fields["accelerators_per_node"] == "1"
    assert fields["accelerator_model_name"] == "NVIDIA A30"
    assert fields["accelerator_memory_capacity"] == "24 GiB"
    assert fields["accelerator_memory_configuration"] == "3072 bit, 1215 MHz, ECC on"
    assert fields["accelerator_host_interconnect"] == "PCIe Gen4 x16"
    assert fields["accelerator_interconnect"] == "N/A"
    assert fields["accelerator_frequency"] == "1440 MHz maximum"
    assert (
        "NVIDIA driver 550.54.15, CUDA 12.4, Python 3.12.3, numpy 1.26.4"
        in (fields["other_software_stack"])
    )
    assert system.closed_problems == ()


def test_what_a_person_must_fill_is_listed_and_nothing_else() -> None:
    by_hand = [name for name, _ in _describe().to_fill]
    assert by_hand == [
        "division",
        "submitter",
        "status",
        "system_name",
        "system_type",
        "host_memory_configuration",
        "host_networking_topology",
        "cooling",
        "framework",
    ]
    assert all(what for _, what in _describe().to_fill)


def test_a_machine_that_hides_everything_leaves_it_all_to_a_person() -> None:
    nothing = Hardware(
        num_sockets=None, cores_per_socket=None, max_mhz=None, caches=(), disks=(), ports=()
    )
    blind = GpuReport(gpus=(), reason="NVML does not start", blind=True)
    bare = MACHINE.model_copy(update={"cpu": platform.machine(), "memory_gib": None})
    system = describe(nothing, blind, bare, {})
    names = {name for name, _ in system.to_fill}
    assert {"host_storage_type", "host_networking", "accelerators_per_node"} <= names
    assert {"accelerator_model_name", "framework", "host_processors_per_node"} <= names
    assert {"host_processor_model_name", "host_memory_capacity"} <= names
    assert "unknown GPUs: NVML does not start" in system.notes
    (problem,) = system.closed_problems
    assert problem == "the ECC state of the GPUs cannot be read (NVML does not start); fix that"
    assert system.blind


def test_an_architecture_is_no_processor_name() -> None:
    """What the kernel of an ARM machine gives."""
    none = GpuReport(gpus=(), reason="no driver")
    system = describe(SERVER, none, MACHINE.model_copy(update={"cpu": platform.machine()}), {})
    assert "host_processor_model_name" in dict(system.to_fill)


def test_a_cpu_system() -> None:
    none = GpuReport(gpus=(), reason="no driver")
    fields = describe(SERVER, none, MACHINE, {"openvino-genai": "2026.4.1"}).fields
    assert fields["accelerators_per_node"] == "0"
    assert fields["accelerator_model_name"] == "N/A"
    assert fields["accelerator_memory_capacity"] == "N/A"
    assert fields["framework"] == "OpenVINO GenAI 2026.4.1"


@pytest.mark.parametrize(
    ("gpus", "installed", "framework"),
    [
        (ONE_A30, {"tensorrt-llm": "1.2.1", "openvino-genai": "2026.4.1"}, "TensorRT-LLM 1.2.1"),
        (ONE_A30, {"openvino-genai": "2026.4.1"}, None),
        (GpuReport(gpus=(), reason="no driver"), {"tensorrt-llm": "1.2.1"}, None),
    ],
)
def test_the_framework_is_one_for_this_kind_of_machine(
    gpus: GpuReport, installed: dict[str, str | None], framework: str | None
) -> None:
    system = describe(SERVER, gpus, MACHINE, installed)
    if framework is None:
        assert "framework" in dict(system.to_fill)
    else:
        assert system.fields["framework"] == framework


@pytest.mark.parametrize(("num_links", "told"), [(4, "NVLink, 4 links per GPU"), (0, "PCIe")])
def test_several_gpus(num_links: int, told: str) -> None:
    gpu = replace(A30, num_nvlinks=num_links)
    fields = _describe(gpus=replace(ONE_A30, gpus=(gpu, gpu))).fields
    assert fields["accelerators_per_node"] == "2"
    assert fields["accelerator_model_name"] == "NVIDIA A30"
    assert fields["accelerator_interconnect"] == told


def test_ecc_off_is_an_error_for_closed() -> None:
    off = replace(ONE_A30, gpus=(replace(A30, ecc=False),))
    system = _describe(gpus=off)
    assert "has ECC off" in system.closed_problems[0]
    assert system.fields["accelerator_memory_configuration"].endswith("ECC off")


def test_the_command_writes_the_json_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.machine.system.detect_gpus", lambda: ONE_A30)
    assert run(["doctor", "--system-json"]) == EXIT_OK
    shown = capsys.readouterr()
    fields: dict[str, Any] = json.loads(shown.out)
    assert sorted(fields) == sorted(NAMES)
    assert "fields are for a person to fill in" in shown.err
    assert "submitter" in shown.err
    off = replace(ONE_A30, gpus=(replace(A30, ecc=False),))
    monkeypatch.setattr("harness.machine.system.detect_gpus", lambda: off)
    assert run(["doctor", "--system-json"]) == EXIT_ENVIRONMENT
    assert "ERROR for a closed datacenter result on these GPUs: GPU 0 (NVIDIA A30) has ECC off" in (
        capsys.readouterr().err
    )


def test_the_fields_are_those_of_the_checker() -> None:
    repo = os.environ.get("MLPERF_INFERENCE_REPO")
    if repo is None:
        pytest.skip("MLPERF_INFERENCE_REPO names no checkout of mlcommons/inference")
    path = Path(repo) / "tools/submission/submission_checker/constants.py"
    names = ("REQUIRED_FIELDS", "MEANINGFUL_RESPONSE_REQUIRED_FIELDS")
    lists = {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in {f"SYSTEM_DESC_{name}" for name in names}
    }
    assert sorted(NAMES) == sorted(lists["SYSTEM_DESC_REQUIRED_FIELDS"])
    meaningful = lists["SYSTEM_DESC_MEANINGFUL_RESPONSE_REQUIRED_FIELDS"]
    assert sorted(MEANINGFUL) == sorted(meaningful)
