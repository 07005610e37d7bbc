"""A system description from what a run detected and what a person filled in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import ConfigError
from harness.machine.system import detect_system
from harness.rules.rounds import load_round
from harness.runs.record import RunRecord, SystemFacts
from harness.submission.contradictions import contradictions
from harness.submission.system import describe, detected, field_problems
from tests.harness.runs.claims import claim
from tests.harness.submission.finished_runs import engine_manifest

V61 = load_round("v6.1")
FILLED = {
    "status": "available",
    "system_name": "A server",
    "system_type": "datacenter",
    "host_processors_per_node": "1",
    "host_processor_core_count": "8",
    "host_memory_capacity": "64 GB",
    "host_memory_configuration": "2x 32GB DDR5-4800",
    "host_storage_capacity": "1 TB",
    "host_storage_type": "NVMe SSD",
    "host_networking": "N/A",
    "host_networking_topology": "N/A",
    "host_network_card_count": "N/A",
    "accelerators_per_node": "0",
    "accelerator_model_name": "N/A",
    "accelerator_memory_capacity": "N/A",
    "accelerator_host_interconnect": "N/A",
    "accelerator_memory_configuration": "N/A",
    "accelerator_interconnect": "N/A",
    "cooling": "passive",
}


@pytest.fixture
def here(tmp_path: Path) -> RunRecord:
    """As run.json describes the machine that the test runs on."""
    system = SystemFacts(fields=detect_system().fields, closed_problems=())
    return claim(tmp_path / "run", engine=engine_manifest(), system=system).record


def test_what_doctor_prints_is_accepted_once_it_is_filled_in(
    here: RunRecord, tmp_path: Path
) -> None:
    file = tmp_path / "system.json"
    file.write_text(json.dumps(here.system.fields))
    with pytest.raises(ConfigError, match=r"cooling \(air, liquid or passive\)"):
        describe(file, here, V61, "ExampleOrg", "open")
    file.write_text(json.dumps(here.system.fields | FILLED))
    fields = describe(file, here, V61, "ExampleOrg", "open")
    assert field_problems(fields, V61) == []
    assert set(fields) >= set(V61.system_fields)
    assert (fields["submitter"], fields["division"]) == ("ExampleOrg", "open")


def test_a_person_wins_over_the_detection_and_the_engine_names_the_framework(
    here: RunRecord,
) -> None:
    assert detected(here)["framework"] == "OpenVINO GenAI 2026.4.1.0"
    assert "FILL IN" not in str(detected(here))


@pytest.mark.parametrize(
    "text",
    [
        "TODO",
        "to do",
        "tbd",
        "To be determined",
        "<your cooling>",
        "FILL IN: air",
        "FILL",
        "xxx",
        "???",
        "...",
        "-",
        "change me",
        "Fill-me",
    ],
)
def test_a_placeholder_is_recognised(text: str) -> None:
    problems = field_problems(dict.fromkeys(V61.system_fields, "1") | {"cooling": text}, V61)
    assert f"field cooling still holds a placeholder ({text})." in problems


@pytest.mark.parametrize(
    "text",
    [
        "Autodoor cooling",
        "Fillmore",
        "nothing to do with water",
        "N/A",
        "air; todos los santos",
        "liquid, filling of glycol",
        "heat exchange medium is water",
    ],
)
def test_ordinary_text_is_no_placeholder(text: str) -> None:
    problems = field_problems(dict.fromkeys(V61.system_fields, "1") | {"cooling": text}, V61)
    assert not [problem for problem in problems if "cooling" in problem]


@pytest.mark.parametrize("said", [False, "no", "", None])
def test_a_system_that_is_no_network_says_nothing_of_it(
    here: RunRecord, tmp_path: Path, said: Any
) -> None:
    """The official checker takes any text there for a yes."""
    file = tmp_path / "system.json"
    file.write_text(json.dumps({**FILLED, "is_network": said}))
    assert "is_network" not in describe(file, here, V61, "ExampleOrg", "closed")
    file.write_text(json.dumps({**FILLED, "is_network": True}))
    with pytest.raises(ConfigError, match="the network division is not supported"):
        describe(file, here, V61, "ExampleOrg", "closed")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC"),  # what the kernel left out is added
        ("2x AMD EPYC 9654 (Genoa)", "AMD EPYC 9654 96-Core Processor"),
        ("Xeon 8370C, Ice Lake", "Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz"),
        ("Intel Xeon Platinum 8168", "Intel Xeon Processor (Skylake, IBRS)"),
        ("NVIDIA Grace", ""),
        ("", "AMD EPYC 9654"),
    ],
)
def test_a_processor_may_be_written_in_many_ways(said: str, found: str) -> None:
    key = "host_processor_model_name"
    assert list(contradictions({key: said}, {key: found}, on_gpu=False)) == []


@pytest.mark.parametrize(
    ("key", "said", "found"),
    [
        ("host_processor_model_name", "Intel Core i7-1185G7", "AMD EPYC"),
        ("host_processor_model_name", "AMD EPYC 7543", "AMD EPYC 9654 96-Core Processor"),
        ("framework", "OpenVINO GenAI 2025.1", "OpenVINO GenAI 2026.4.1.0"),
        ("framework", "OpenVINO GenAI 2026.4.10", "OpenVINO GenAI 2026.4.1.0"),
        ("framework", "TensorRT-LLM 1.2.1, CUDA 13.1", "OpenVINO GenAI 2026.4.1.0"),
        ("accelerator_model_name", "NVIDIA A100 80GB", "NVIDIA H100 80GB HBM3"),
        ("accelerators_per_node", "4", "2"),
        ("accelerators_per_node", "0", "2"),
    ],
)
def test_what_cannot_be_of_the_run_contradicts_it(key: str, said: str, found: str) -> None:
    assert list(contradictions({key: said}, {key: found}, on_gpu=True)) == [key]
    of_gpus = key.startswith("accelerator")
    assert bool(list(contradictions({key: said}, {key: found}, on_gpu=False))) is not of_gpus


@pytest.mark.parametrize(
    ("key", "said", "found"),
    [
        ("framework", "OpenVINO GenAI 2026.4", "OpenVINO GenAI 2026.4.1.0"),
        ("framework", "TensorRT-LLM v1.2.1, CUDA 13.1", "TensorRT-LLM 1.2.1"),
        ("framework", "OpenVINO", "OpenVINO GenAI 2026.4.1.0"),
        ("accelerator_model_name", "NVIDIA H100-SXM-80GB", "NVIDIA H100 80GB HBM3"),
        ("accelerator_model_name", "NVIDIA A30-PCIE-24GB", "NVIDIA A30"),
        ("accelerators_per_node", "1", "8"),
    ],
)
def test_other_words_for_what_ran_do_not(key: str, said: str, found: str) -> None:
    assert list(contradictions({key: said}, {key: found}, on_gpu=True)) == []


def test_a_file_of_another_machine_is_refused(here: RunRecord, tmp_path: Path) -> None:
    found = here.system.fields | {"host_processor_model_name": "AMD EPYC 9654 96-Core Processor"}
    run = here.model_copy(update={"system": SystemFacts(fields=found, closed_problems=())})
    file = tmp_path / "system.json"
    file.write_text(json.dumps({**FILLED, "host_processor_model_name": "Intel Xeon 8481C"}))
    with pytest.raises(ConfigError, match=r"is Intel Xeon 8481C, and the run found AMD EPYC 9654"):
        describe(file, run, V61, "O", "open")
    file.write_text(json.dumps({**FILLED, "host_processor_model_name": "EPYC 9654"}))
    assert describe(file, run, V61, "O", "open")["host_processor_model_name"] == "EPYC 9654"


def test_a_system_name_must_name_a_folder(here: RunRecord, tmp_path: Path) -> None:
    file = tmp_path / "system.json"
    file.write_text(json.dumps({**FILLED, "system_name": "---"}))
    with pytest.raises(ConfigError, match="system_name needs a letter or a digit"):
        describe(file, here, V61, "ExampleOrg", "closed")


def test_a_missing_file_says_how_to_begin_one(here: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="begin one with `enginebench doctor --system-json`"):
        describe(tmp_path / "none.yaml", here, V61, "ExampleOrg", "open")
