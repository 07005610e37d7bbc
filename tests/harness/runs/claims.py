"""What is known of a run before its first test, of an engine that does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from build_engine.store.manifest import EngineManifest
from harness.machine.facts import MachineFacts, library_versions
from harness.rules.scenario import Scenario
from harness.rules.workload import Workload, load_workload
from harness.runs.record import SystemFacts
from harness.runs.run import Run
from runtime.openvino.spec import OpenVINOSpec
from tests.harness.dataset.records import make_record

MACHINE = MachineFacts(
    host="example",
    cpu="Example CPU 9000",
    num_cpus=64,
    memory_gib=251.6,
    operating_system="Debian GNU/Linux 13",
    kernel="6.12",
    python="3.11.7",
)
SYSTEM = SystemFacts(
    fields={
        "status": "FILL IN: available, preview or rdi",
        "host_processor_model_name": "Example CPU 9000",
        "host_memory_capacity": "251.6 GiB",
        "cooling": "FILL IN: air, liquid or passive",
        "operating_system": "Debian GNU/Linux 13, Linux 6.12",
        "other_software_stack": "Python 3.11.7",
        "accelerators_per_node": "0",
        "accelerator_model_name": "N/A",
        "accelerator_memory_capacity": "N/A",
        "accelerator_host_interconnect": "N/A",
        "accelerator_memory_configuration": "N/A",
        "accelerator_interconnect": "N/A",
        "hw_notes": "",
    },
    closed_problems=(),
)


def claim(
    folder: Path,
    workload: Workload | None = None,
    scenario: Scenario = Scenario.OFFLINE,
    engine: EngineManifest | None = None,
    **changes: Any,
) -> Run:
    """A run in `folder` that has just begun: both tests of the whole set of `workload`, newsbrief
    unless another one is given, on a machine that is not this one.
    """
    workload = workload or load_workload("newsbrief")
    official = workload.benchmark is not None
    known: dict[str, Any] = {
        "command": "enginebench run --model newsbrief --count 12 --output runs/first",
        "marks": () if official else ("demo workload",),
        "round": "v6.1",
        "workload": workload,
        "benchmark": workload.benchmark,
        "scenario": scenario,
        "modes": ("performance", "accuracy"),
        "num_samples": workload.num_samples,
        "dataset": make_record(
            workload.num_samples,
            workload=workload.name,
            benchmark=workload.benchmark,
            source="cnn_eval.json" if official else "newsbrief",
            source_kind="official" if official else "bundled",
            digest="d" * 64,
        ),
        "engine": engine,
        "engine_folder": Path("/engines/int8_wo"),
        "executor": OpenVINOSpec(folder=Path("/engines/int8_wo")),
        "machine": MACHINE,
        "system": SYSTEM,
        "versions": library_versions(),
    }
    return Run.claim(folder, **known | changes)
