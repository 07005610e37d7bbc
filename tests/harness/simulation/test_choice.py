"""`run --simulate`: LoadGen against a planned engine in real time, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import ConfigError, RecipeRefused, UnknownName, UsageError
from harness.plan.choice import PlanChoice
from harness.progress import NullProgress
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.execution import execute
from harness.runs.integrity import edits
from harness.runs.packable import no_result
from harness.runs.recomputed import contradictions
from harness.runs.request import RunRequest
from harness.runs.run import Run
from harness.simulation.beside import in_virtual_time
from harness.simulation.choice import SimulatedChoice
from newsbrief import CHECKPOINT
from runtime.simulated import SimulatedSpec
from tests.harness.cli.conftest import news

__all__ = ["news"]

LLAMA: dict[str, Any] = {"model": "llama3.1-8b", "target": "a30", "recipe": "int8_sq"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


class Notes(NullProgress):
    """What was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def request(
    progress: Notes | None = None, engine: dict[str, Any] | None = None, **run: Any
) -> RunRequest:
    named = EngineChoice(**{**LLAMA, **(engine or {})})
    asked = RunChoice(**{"scenario": "Server", "workload": "llama3.1-8b", **run})
    return SimulatedChoice(named, asked).request(progress or Notes())


def test_the_engine_and_its_prompts_are_those_of_the_plan() -> None:
    notes = Notes()
    found = request(notes)
    plan = PlanChoice(**LLAMA, workload=None).asked(load_round(DEFAULT))[0]
    assert found.engine is None and found.simulated is not None
    assert found.simulated.limits == plan.limits
    assert (found.simulated.model, found.simulated.target) == ("llama3.1-8b", "a30")
    assert found.modes == ("performance",)
    assert found.marks == ("simulated", "other data")
    spec = found.executor
    assert isinstance(spec, SimulatedSpec) and spec.engine is not None
    assert spec.engine.max_batch_size == plan.limits.max_batch_size
    assert spec.num_tokens == 128
    record = found.dataset.record
    assert found.scope.whole_dataset and record.num_samples == 13_368
    assert record.prompt_tokens.total / 13_368 == pytest.approx(870.6, rel=0.02)
    assert record.prompt_tokens.max <= 2540
    assert record.source_kind == "drawn" and record.benchmark is None
    assert notes.told[0].startswith("Asked are prompts without text")
    assert "Accuracy is skipped, as a time model writes no text." in notes.told
    assert request().dataset.folder == found.dataset.folder


def test_sizes_and_settings_are_those_that_are_given() -> None:
    given = {"max_batch_size": 16, "max_num_tokens": 4096, "set": ("recipe.kv_cache=fp16",)}
    found = request(engine=given)
    assert isinstance(found.executor, SimulatedSpec) and found.executor.engine is not None
    model = found.executor.engine
    assert (model.max_batch_size, model.max_num_tokens, model.chunked_context) == (16, 4096, True)
    assert "changed recipe" in found.marks
    for words in ("--simulate", "--max-batch-size 16", "--set recipe.kv_cache=fp16"):
        assert words in found.command


def test_a_model_of_few_positions_is_asked_shorter_prompts(tmp_path: Path) -> None:
    said = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    said["max_position_embeddings"] = 256
    folder = tmp_path / "short"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(said), encoding="utf-8")
    notes = Notes()
    found = request(notes, {"model": str(folder), "recipe": "bf16"}, count=20)
    assert found.dataset.record.prompt_tokens.max == 128
    assert "has 256 positions: this is for prompts of up to 128" in notes.told[0]


def test_articles_are_asked_where_they_are_named(news: Path) -> None:
    found = request(engine={"model": "newsbrief"}, dataset=str(news), workload="newsbrief")
    assert found.dataset.record.source_kind == "articles"
    assert found.dataset.num_samples == 4


def test_more_queries_than_are_answered_are_told_of() -> None:
    notes = Notes()
    request(notes, qps=30.0)
    (told,) = (told for told in notes.told if "than such an engine answers (" in told)
    assert told.startswith("30 queries/s are more")
    assert "the last of 26,736 is answered" in told  # 18,000 fill the time, and passes are whole
    few = Notes()
    request(few, qps=5.0)
    assert not any("more than such an engine" in told for told in few.told)


@pytest.mark.parametrize(
    ("engine", "run", "kind", "told"),
    [
        ({"target": "a31"}, {}, UnknownName, "Did you mean `a30`"),
        ({"model": "llama9"}, {}, UnknownName, "a folder with a config.json"),
        ({"recipe": "int8sq"}, {}, UnknownName, "Did you mean `int8_sq`"),
        ({"recipe": "fp8"}, {}, RecipeRefused, "no FP8 tensor cores"),
        (
            {"recipe": "bf16", "max_batch_size": 20_000},
            {},
            ConfigError,
            "It does not fit: .*lower --max-batch-size",
        ),
        ({"target": "cpu"}, {}, ConfigError, "cannot be simulated, as no speed .*doctor --measure"),
        (
            {"max_new_tokens": 16},
            {},
            ConfigError,
            "of 128 tokens, and this engine gives 16",
        ),
        ({"calibration": "none.jsonl"}, {}, UsageError, "leave out --calibration"),
        ({}, {"count": 20_000}, UsageError, "has 13,368 samples, fewer than --count 20000"),
        ({"emulate": True}, {}, UsageError, "give one of them"),
        ({"tensor_parallel": 2}, {}, UsageError, "leave out --tensor-parallel"),
        ({}, {"mode": "accuracy"}, UsageError, "a time model writes no text; leave out --mode"),
        ({}, {"replicas": "2"}, UsageError, "on one device; leave out --replicas"),
        ({}, {"tolerate_failures": True}, UsageError, "leave out --tolerate-failures"),
        ({}, {"count": 1}, UsageError, "give --count 2 or more"),
        ({}, {"qps": 2e6}, UsageError, "--qps is 2e"),
        ({}, {"qps": 100_000.0}, UsageError, "LoadGen holds all of them in memory"),
        ({}, {"scenario": "Srver"}, UnknownName, "Did you mean `Server`"),
    ],
)
def test_what_cannot_be_simulated_is_told_before_anything_is_made(
    engine: dict[str, Any], run: dict[str, Any], kind: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=told):
        request(engine=engine, **run)
    assert not (tmp_path / "home" / "datasets").exists()


def test_a_folder_without_config(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match=r"has no config\.json"):
        request(engine={"model": str(tmp_path / "empty")})


def rehearsed(folder: Path, scenario: Scenario, count: int, qps: float | None = None) -> Run:
    """A run of a small model on a large GPU, which takes seconds."""
    asked: dict[str, Any] = {"workload": "newsbrief", "output": folder, "count": count, "qps": qps}
    few = ("workload.max_new_tokens=8",)
    small: dict[str, Any] = {
        "model": "newsbrief",
        "recipe": "bf16",
        "target": "h200-sxm",
        "set": few,
    }
    return execute(request(engine=small, scenario=str(scenario), **asked), NullProgress())


@pytest.mark.parametrize(
    ("scenario", "count", "qps"),
    [
        (Scenario.OFFLINE, 60, None),
        (Scenario.SERVER, 500, 250.0),
        (Scenario.SINGLE_STREAM, 80, None),
    ],
)
def test_loadgen_runs_against_it_and_virtual_time_agrees(
    tmp_path: Path, scenario: Scenario, count: int, qps: float | None
) -> None:
    run = rehearsed(tmp_path / "run", scenario, count, qps)
    assert (run.record.status, run.exit_code) == ("complete", 0)
    assert run.record.marks[0] == "simulated"
    assert (run.record.model, run.record.target, run.record.recipe) == (
        "newsbrief",
        "h200-sxm",
        "bf16",
    )
    assert Run.read(tmp_path / "run") == run and list(edits(run)) == []
    assert list(contradictions(run)) == []
    assert no_result(run.record) == "it is a simulated run, never a result; run a real engine."
    test, beside = run.record.tests.performance, in_virtual_time(run)
    assert test is not None and test.metrics is not None and beside is not None
    assert beside.num_queries == count
    measured, virtual = test.metrics.latency_p50_s, beside.metrics.latency_p50_s
    assert measured is not None and virtual is not None
    assert measured >= 0.9 * virtual  # the harness takes time, and gives none back


def test_a_run_whose_prompts_are_gone_is_not_told_of_in_virtual_time(tmp_path: Path) -> None:
    run = rehearsed(tmp_path / "run", Scenario.OFFLINE, 10)
    shutil.rmtree(tmp_path / "home" / "datasets")
    assert in_virtual_time(run) is None
