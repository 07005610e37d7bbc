"""Which marks a run carries by what it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.store.engine import Engine
from harness.dataset.prepared import Dataset
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.execution import execute
from harness.runs.marks import marks_of
from harness.runs.request import RunRequest
from harness.runs.scope import RunScope
from runtime.endpoint.identity import IdsBy, Way
from runtime.endpoint.spec import EndpointSpec
from runtime.openvino.spec import OpenVINOSpec
from runtime.simulated import SimulatedSpec
from tests.build_engine.manifests import make_manifest
from tests.harness.dataset.records import make_record
from tests.harness.rehearsal import NUM_SAMPLES, make_dataset
from tests.harness.submission.finished_runs import engine_manifest

WORKLOAD = load_workload("llama3.1-8b")
SPEC = OpenVINOSpec(folder=Path("/engines/one"))


@pytest.mark.parametrize("own", [True, False])
def test_the_benchmarks_weights_are_looked_for_when_a_run_begins(own: bool) -> None:
    scope = RunScope(workload=WORKLOAD, scenario=Scenario.OFFLINE, num_samples=13368)
    manifest = make_manifest(weights={"model.safetensors": "a" * 64}) if own else engine_manifest()
    dataset = make_record(13368, workload=WORKLOAD.name, benchmark=WORKLOAD.benchmark)
    marks = marks_of(scope, dataset, manifest, SPEC)
    assert marks == (("other weights",) if own else ())


def test_a_shipped_workload_that_was_changed_is_marked() -> None:
    shipped = load_workload("newsbrief")
    changed = shipped.model_copy(update={"max_new_tokens": 64})
    own = changed.model_copy(update={"name": "mine"})
    dataset = make_record(13368, workload=shipped.name)
    for workload, marked in ((shipped, False), (changed, True), (own, False)):
        scope = RunScope(workload=workload, scenario=Scenario.OFFLINE, num_samples=13368)
        marks = marks_of(scope, dataset, engine_manifest(), SPEC)
        assert ("changed workload" in marks) is marked
        assert "demo workload" in marks


def test_all_of_a_users_own_articles_are_not_short() -> None:
    mine = make_record(100, source="mine.jsonl", source_kind="articles", all_articles=True)
    assert mine.own_set
    assert not make_record(100, source_kind="articles").own_set  # by --count
    assert not make_record(100, source_kind="official", all_articles=True).own_set
    scope = RunScope(
        workload=WORKLOAD, scenario=Scenario.OFFLINE, num_samples=100, own_set=mine.own_set
    )
    assert marks_of(scope, mine, engine_manifest(), SPEC) == ("other data",)


def test_other_weights_are_said_at_the_start(tmp_path: Path) -> None:
    class Notes(NullProgress):
        """What was noted."""

        said: tuple[str, ...] = ()

        def note(self, text: str) -> None:
            self.said += (text,)

    made = make_dataset(tmp_path / "dataset")
    notes = Notes()
    request = RunRequest(
        scope=RunScope(workload=WORKLOAD, scenario=Scenario.OFFLINE, num_samples=NUM_SAMPLES),
        modes=["performance"],
        dataset=Dataset(made.folder, made.record),
        engine=Engine(tmp_path, make_manifest(weights={"model.safetensors": "a" * 64})),
        executor=SimulatedSpec(num_tokens=5),
        folder=tmp_path / "run",
        command="enginebench run",
    )
    record = execute(request, notes).record
    assert "other weights" in record.marks
    assert notes.said[0].startswith("These weights are, by sha256, not those of meta-llama/Llama")


@pytest.mark.parametrize("ids", ["return_token_ids", "text"])
def test_a_server_is_known_by_what_is_said_of_it(ids: IdsBy) -> None:
    spec = EndpointSpec(
        urls=("http://a:1",),
        model="m",
        way=Way(prompts="ids", ids=ids),
        tokenizer=Path("/tokenizer"),
        key_variable="KEY",
    )
    scope = RunScope(workload=WORKLOAD, scenario=Scenario.OFFLINE, num_samples=13368)
    dataset = make_record(13368, workload=WORKLOAD.name, benchmark=WORKLOAD.benchmark)
    counted = ("tokens by tokenizer",) if ids == "text" else ()
    unsaid = ("caching not declared",)
    assert marks_of(scope, dataset, None, spec) == ("declared engine", *unsaid, *counted)
    said = spec.model_copy(update={"prefix_caching": False})
    assert marks_of(scope, dataset, None, said) == ("declared engine", *counted)
