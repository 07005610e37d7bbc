"""`job.json` is read as it was written; one that is wrong is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import UsageError
from build_engine.files import write_json
from harness.loadgen.job import Job, read_job
from runtime.openvino.spec import OpenVINOSpec
from runtime.simulated import SimulatedSpec

JOB = Job(
    executor=OpenVINOSpec(folder=Path("/engines/x"), num_threads=2),
    dataset=Path("/data/news"),
    num_samples=16,
    max_new_tokens=128,
    min_new_tokens=1,
    stop_ids=(2, 5),
    warmup_samples=8,
    stall_s=7.5,
)


@pytest.mark.parametrize("executor", [JOB.executor, SimulatedSpec(num_tokens=3, ttft_s=0.5)])
def test_a_job_comes_back_as_it_went(tmp_path: Path, executor: Any) -> None:
    job = JOB.model_copy(update={"executor": executor})
    write_json(tmp_path / "job.json", job.to_json())
    assert read_job(tmp_path / "job.json") == job


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({**JOB.to_json(), "executor": 7}, "`executor`: it has no `backend`. Run again with a new"),
        ({**JOB.to_json(), "executor": "{"}, "`executor`: it has no `backend`."),
        ({**JOB.to_json(), "schema_version": 1}, "was written by an older enginebench"),
        ({**JOB.to_json(), "stop_ids": "2"}, "`stop_ids` must be"),
        ({**JOB.to_json(), "sample": 2}, "`sample` is not a key."),
        ({**JOB.to_json(), "schema_version": 4}, "was written by a newer enginebench"),
        ([], "it is no record of ours"),
    ],
)
def test_a_job_that_is_wrong_is_one_sentence(tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        read_job(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
