"""Whole LoadGen tests of a TensorRT-LLM engine whose library is a strict double: each scenario to
its end, and each way the library behaves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.loadgen import logs
from harness.loadgen.settings import Mode
from harness.loadgen.supervise import Outcome, run_test
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from runtime.trtllm.spec import TRTLLMSpec
from tests.contract.doubled import install_doubles, journal, write_engine
from tests.harness.rehearsal import NUM_SAMPLES, make_dataset, make_job, make_plan

ALL = [Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLE_STREAM]
STOP = 2  # of make_job
ENDS = [11, 12, 13, STOP]


@pytest.fixture(autouse=True)
def doubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMIX_RANK", "0")  # as a batch system leaves it
    install_doubles(tmp_path / "machine", monkeypatch)


def run(
    tmp_path: Path,
    scenario: Scenario,
    mode: Mode = "accuracy",
    spec: dict[str, Any] | None = None,
    **script: Any,
) -> tuple[Outcome, Path]:
    """A test in `tmp_path/test`, over the engine `tmp_path/engine`."""
    engine = write_engine(tmp_path / "engine", **script)
    dataset = make_dataset(tmp_path / "dataset")
    job = make_job(dataset, TRTLLMSpec(folder=engine, **spec or {}))
    job = job.model_copy(update={"first_tokens": scenario.has_first_tokens})
    plan = make_plan(scenario, mode)
    folder = tmp_path / "test"
    folder.mkdir()
    return run_test(job, lambda probe: plan, folder, NullProgress()), folder


def answers(folder: Path) -> list[list[int]]:
    return [answer.ids.tolist() for answer in logs.read_answers(folder)]


@pytest.mark.parametrize("scenario", ALL)
def test_a_test_runs_to_its_end_and_each_sample_has_its_answer(
    tmp_path: Path, scenario: Scenario
) -> None:
    outcome, folder = run(tmp_path, scenario, answer=ENDS, step_s=0.002)
    assert (outcome.status, outcome.cause) == ("complete", None)
    assert outcome.probe is not None
    assert not outcome.probe.prefix_caching
    assert answers(folder) == [ENDS] * NUM_SAMPLES  # the last id is none of the library's
    assert logs.read_detail(folder).errors == ()
    requests = journal(tmp_path / "engine", "request")
    assert {request["streaming"] for request in requests} == {scenario.has_first_tokens}
    assert {request["max_tokens"] for request in requests} == {128}
    assert journal(tmp_path / "engine", "shutdown") == []


@pytest.mark.parametrize(
    ("scenario", "script"),
    [
        (Scenario.SERVER, {"answer": ENDS, "hold": 3}),  # several of one request at once
        (Scenario.SERVER, {"answer": ENDS, "empties": True, "late": True}),
        (Scenario.SINGLE_STREAM, {"answer": ENDS, "hold": 50}),  # the first with the last
        (Scenario.SINGLE_STREAM, {"answer": [STOP]}),  # masked at first, and then the end
        (Scenario.OFFLINE, {"answer": [7], "hold": 3}),  # never ends but by its length
    ],
)
def test_however_responses_come_the_answers_are_the_same(
    tmp_path: Path, scenario: Scenario, script: dict[str, Any]
) -> None:
    outcome, folder = run(tmp_path, scenario, **script)
    assert (outcome.status, outcome.cause) == ("complete", None)
    expected = {STOP: [STOP + 1, STOP], 7: [7] * 128}.get(script["answer"][0], ENDS)
    assert answers(folder) == [expected] * NUM_SAMPLES
    assert logs.read_detail(folder).errors == ()


def test_a_performance_test_in_server_is_valid_and_has_first_tokens(tmp_path: Path) -> None:
    outcome, folder = run(tmp_path, Scenario.SERVER, "performance", answer=ENDS, step_s=0.001)
    assert (outcome.status, outcome.cause) == ("complete", None)
    assert (logs.read_detail(folder).metrics().ttft_p99_s or 0.0) > 0
    counts = np.array([len(ENDS)] * NUM_SAMPLES).tolist()
    assert (folder / "token_counts.json").read_text() == str(counts)


def test_an_engine_that_loads_slowly_is_waited_for(tmp_path: Path) -> None:
    spec = {"silence_s": 0.5}  # loading is no silence
    outcome, _ = run(tmp_path, Scenario.SINGLE_STREAM, spec=spec, answer=ENDS, load_s=1.5)
    assert (outcome.status, outcome.cause) == ("complete", None)
    assert outcome.probe is not None
    assert outcome.probe.load_s > 1.5


@pytest.mark.parametrize(
    ("scenario", "fault", "cause"),
    [
        (Scenario.SINGLE_STREAM, "request", "the engine failed on sample "),
        (Scenario.SERVER, "step", "the engine failed on sample "),
        (Scenario.OFFLINE, "steps", "the engine "),  # on a sample, or died: whichever comes first
        (Scenario.SERVER, "cuda", "the engine died: Encountered an error in forwardAsync function"),
        (Scenario.OFFLINE, "abort", "the engine died: its process was ended by SIGABRT; its last"),
        (Scenario.OFFLINE, "silence", "the engine died: it gave no sign for 1 s, with "),
        (Scenario.SERVER, "silence", "the engine died: it gave no sign for 1 s, with "),
    ],
)
def test_what_goes_wrong_ends_the_test_with_its_cause(
    tmp_path: Path, scenario: Scenario, fault: str, cause: str
) -> None:
    after = 12  # the warm-up has eight at most
    outcome, _ = run(
        tmp_path, scenario, spec={"silence_s": 1.0}, answer=ENDS, fault=fault, fault_at=after
    )
    assert outcome.status == "failed"
    assert outcome.cause is not None
    assert outcome.cause.startswith(cause), outcome.cause
    assert "\n" not in outcome.cause
    assert "0x7f" not in outcome.cause
    assert journal(tmp_path / "engine", "shutdown") == []


def test_an_engine_that_does_not_load_says_why_in_one_line(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, Scenario.OFFLINE, fault="load")
    assert outcome.status == "failed"
    assert outcome.cause == (
        "the engine died: Assertion failed: Failed to deserialize cuda engine. "
        "(/src/tensorrt_llm/double.cpp:1)"
    )
