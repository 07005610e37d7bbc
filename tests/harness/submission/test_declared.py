"""Runs of servers in a submission: what only the submitter knows is asked for, and told as such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_engine.errors import ConfigError
from harness.rules.scenario import Scenario
from harness.runs.declared import DECLARABLE
from harness.runs.run import Run
from harness.runs.served import Served
from runtime.endpoint.identity import ServerIdentity, Way
from runtime.endpoint.spec import EndpointSpec
from tests.harness.submission.conftest import SYSTEM
from tests.harness.submission.finished_runs import edit_record
from tests.harness.submission.packing import pack_runs, refusal

URL = "http://gpu-1:8000"
WAY = Way(prompts="ids", ids="return_token_ids")
ALL = {name: f"my {name}" for name in DECLARABLE} | {"prefix_caching": "off"}


OF_ITS_MACHINE = (
    "host_processor_model_name",
    "host_memory_capacity",
    "accelerator_model_name",
    "accelerator_memory_capacity",
    "operating_system",
    "other_software_stack",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_memory_configuration",
)
COUNTS = "accelerators_per_node: 1\n"


def as_served(folder: Path, declared: dict[str, str]) -> None:
    """Make it a run of a server."""
    spec = EndpointSpec(
        urls=(URL,), model="llama", way=WAY, tokenizer=folder, key_variable="ENGINEBENCH_API_KEY"
    )
    served = Served(
        model="llama",
        folder=folder,
        tokenizer="a" * 64,
        vocab_size=128256,
        stop_ids=(2,),
        servers=(ServerIdentity(url=URL, model="llama", owned_by="vllm", version="0.11"),),
        way=WAY,
        declared=declared,
    )
    marks = (*Run.read(folder).record.marks, "declared engine")
    edit_record(folder, engine=None, engine_folder=None, served=served, executor=spec, marks=marks)


def test_what_only_the_submitter_knows_is_asked_for(tmp_path: Path, server: Path) -> None:
    as_served(server, {"engine": "vLLM 0.11"})
    told = refusal(tmp_path, server, division="open")
    assert (
        "server: its engine is a server's, of which only you know: run it again with --declare for "
        "checkpoint, precision, transformations, hardware, prefix_caching." in told
    )


def test_nothing_proves_the_benchmarks_weights(tmp_path: Path, server: Path) -> None:
    as_served(server, ALL)
    assert "server: its engine is a server's, whose weights nothing proves" in refusal(
        tmp_path, server
    )


def test_what_was_declared_is_in_the_tree_and_called_so(tmp_path: Path, server: Path) -> None:
    as_served(server, ALL)
    with pytest.raises(ConfigError, match="host_processor_model_name; host_memory_capacity"):
        pack_runs(tmp_path, server, division="open")  # the run was on the client's machine
    system = SYSTEM.format(system_type="datacenter") + "".join(
        f"{name}: something\n" for name in OF_ITS_MACHINE
    )
    packed = pack_runs(tmp_path, server, division="open", system=system + COUNTS)
    [result] = packed.results
    fields = json.loads(result.measurements.read_text(encoding="utf-8"))
    assert fields["weight_data_types"] == "my precision"
    assert fields["starting_weights_filename"].startswith("my checkpoint, as the submitter decl")
    readme = result.readme.read_text(encoding="utf-8")
    assert "- engine: my engine" in readme and "- Server 1: vLLM 0.11, model llama" in readme


def test_servers_that_say_something_else_are_another_engine(
    tmp_path: Path, runs: dict[str, Path]
) -> None:
    server, offline = runs[Scenario.SERVER], runs[Scenario.OFFLINE]
    as_served(server, ALL)
    as_served(offline, ALL | {"precision": "fp8"})
    told = refusal(tmp_path, server, offline, division="open")
    assert "is of another engine than" in told


@pytest.fixture
def server(runs: dict[str, Path]) -> Path:
    return runs[Scenario.SERVER]
