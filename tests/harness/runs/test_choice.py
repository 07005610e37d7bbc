"""What a user asks for is refused before an engine is built; what passes becomes a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import configs
from build_engine.backend import BACKENDS, backend
from build_engine.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
    EnginebenchError,
    EnvironmentFault,
    OutputError,
    RecipeRefused,
    RunExists,
    UnknownName,
    UsageError,
)
from build_engine.store import store as store_module
from build_engine.store.spec import EngineSpec
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.choice import RunChoice, check_output
from harness.runs.engine_choice import EngineChoice
from harness.runs.request import RunRequest
from newsbrief import CHECKPOINT
from tests.build_engine import specs
from tests.build_engine.checkpoints import write_checkpoint


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[EngineSpec]:
    """The specs that a builder was given; it takes no time."""
    specs.BUILT.clear()
    noting = replace(backend("openvino"), compile="tests.build_engine.specs:note_and_write")
    monkeypatch.setitem(BACKENDS, "openvino", noting)
    return specs.BUILT


@dataclass(frozen=True)
class Choice:
    """An engine and how it is run."""

    engine: EngineChoice
    run: RunChoice

    def request(self) -> RunRequest:
        return self.run.request(self.engine, NullProgress())


@pytest.fixture
def choice(tmp_path: Path) -> Choice:
    """A good one: tests change one thing."""
    news = _news(tmp_path / "news.jsonl", ["Rain fell.", "The sun shone all day."])
    return Choice(
        EngineChoice(model=str(write_checkpoint(tmp_path / "tiny")), recipe="int8_wo"),
        RunChoice(scenario="Offline", dataset=str(news), output=tmp_path / "results" / "first"),
    )


def _news(path: Path, articles: list[str]) -> Path:
    rows = [json.dumps({"article": article, "highlights": "h"}) for article in articles]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def _with_engine(choice: Choice, **changes: Any) -> Choice:
    return replace(choice, engine=replace(choice.engine, **changes))


def _with_run(choice: Choice, **changes: Any) -> Choice:
    return replace(choice, run=replace(choice.run, **changes))


def _refused(
    choice: Choice, built: list[EngineSpec], kind: type[EnginebenchError], told: str
) -> None:
    with pytest.raises(kind, match=told):
        choice.request()
    assert built == []
    assert not (choice.run.output.is_dir() and any(choice.run.output.iterdir()))


def test_a_good_choice_becomes_a_run(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    request = choice.request()
    assert len(built) == 1
    assert request.modes == ("performance", "accuracy")
    assert request.dataset.num_samples == request.scope.num_samples == 2
    assert request.engine is not None
    assert request.engine.recipe == "int8_wo"
    assert request.folder == tmp_path / "results" / "first"
    assert not request.folder.exists()
    assert request.marks == ("demo workload",)  # all of a user's own articles
    choice.request()
    assert len(built) == 1


def test_a_count_makes_a_trial_of_own_articles(choice: Choice, built: list[EngineSpec]) -> None:
    request = _with_run(choice, count=2).request()
    assert request.marks == ("demo workload", "short")


@pytest.mark.parametrize(("setting", "marked"), [("kv_cache=int8", True), ("kv_cache=bf16", False)])
def test_a_changed_recipe_is_marked(
    choice: Choice, built: list[EngineSpec], setting: str, marked: bool
) -> None:
    request = _with_engine(choice, set=(setting,)).request()
    assert ("changed recipe" in request.marks) == marked


def test_a_tokenizer_of_another_model_is_refused_before_the_build(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    model = write_checkpoint(tmp_path / "other", vocab_size=200)
    shutil.copyfile(CHECKPOINT / "tokenizer.json", model / "tokenizer.json")
    told = r"gives id \d+, and the model has 200 tokens; take the tokenizer\.json"
    _refused(_with_engine(choice, model=str(model)), built, DatasetError, told)


def test_names_are_taken_in_any_case(choice: Choice, built: list[EngineSpec]) -> None:
    request = _with_run(choice, scenario="singlestream", mode="Accuracy").request()
    assert request.scope.scenario is Scenario.SINGLE_STREAM
    assert request.modes == ("accuracy",)


def test_a_count_and_the_bundled_articles(choice: Choice, built: list[EngineSpec]) -> None:
    request = _with_run(choice, dataset=None, count=3).request()
    assert request.dataset.num_samples == 3
    assert request.dataset.record.source == "newsbrief"


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("workload", "newsbreif", r"Unknown workload `newsbreif`. Did you mean `newsbrief`\?"),
        ("scenario", "Ofline", r"Unknown scenario `Ofline`. Did you mean `Offline`\? Valid: Int"),
        ("mode", "acuracy", r"Unknown mode `acuracy`. Did you mean `accuracy`\?"),
    ],
)
def test_an_unknown_name_of_a_run(
    choice: Choice, built: list[EngineSpec], field: str, name: str, told: str
) -> None:
    _refused(_with_run(choice, **{field: name}), built, UnknownName, told)


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("target", "a3O", r"Unknown target `a3O`. Did you mean `a30`\?"),
        ("recipe", "int8", r"Unknown recipe `int8`. Did you mean `int8_\w\w`\?"),
        ("model", "newsbreif", r"Unknown checkpoint `newsbreif`. Did you mean `newsbrief`\?"),
    ],
)
def test_an_unknown_name_of_an_engine(
    choice: Choice, built: list[EngineSpec], field: str, name: str, told: str
) -> None:
    _refused(_with_engine(choice, **{field: name}), built, UnknownName, told)


def test_flags_that_would_do_nothing(choice: Choice, built: list[EngineSpec]) -> None:
    single = _with_run(choice, scenario="SingleStream", qps=5.0)
    _refused(single, built, UsageError, r"SingleStream has no rate.*leave out --qps")
    timed = _with_run(choice, mode="accuracy", duration_s=5.0)
    _refused(timed, built, UsageError, r"accuracy test asks each sample once.*leave out --duration")


def test_one_sample_has_no_rate(choice: Choice, built: list[EngineSpec]) -> None:
    one = _with_run(choice, scenario="Server", count=1)
    _refused(one, built, UsageError, r"Server needs 2 samples to have a rate; give --count 2")


def test_a_scenario_that_the_workload_has_not(choice: Choice, built: list[EngineSpec]) -> None:
    edge = _with_run(choice, workload="llama3.1-8b-edge", scenario="Server")
    _refused(edge, built, UnknownName, r"scenario of llama3.1-8b-edge `Server`.* Valid: ")


@pytest.mark.parametrize(("target", "told"), [("cpu", "FP8"), ("a30", "sm_89")])
def test_fp8_where_there_is_none(
    choice: Choice, built: list[EngineSpec], target: str, told: str
) -> None:
    refused = _with_engine(choice, target=target, recipe="fp8", model="/nowhere/at/all")
    _refused(refused, built, RecipeRefused, rf"`fp8` is refused on `{target}`: .*{told}.*try `")


def test_a_gpu_engine_without_tensorrt_llm(choice: Choice, built: list[EngineSpec]) -> None:
    _refused(_with_engine(choice, target="a30"), built, EnvironmentFault, r"--target cpu")
    assert not (choice.run.output.parent.parent / "home" / "datasets").exists()


@pytest.mark.parametrize(
    ("model", "told"),
    [("no/such/folder/here", r"There is no checkpoint folder"), ("tests", r"tests lacks config")],
)
def test_a_model_that_is_not_there(
    choice: Choice,
    built: list[EngineSpec],
    model: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    _refused(_with_engine(choice, model=model), built, CheckpointError, told)


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_below_one(choice: Choice, built: list[EngineSpec], count: int) -> None:
    _refused(_with_run(choice, count=count), built, UsageError, f"--count is {count}; give 1 or")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
def test_rates_and_durations_are_above_zero(
    choice: Choice, built: list[EngineSpec], value: float
) -> None:
    _refused(_with_run(choice, qps=value), built, UsageError, r"--qps is .*; give a number above 0")
    _refused(_with_run(choice, duration_s=value), built, UsageError, r"--duration is .*above 0")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_batch_size": 0}, r"max_batch_size is 0; give 1 or more"),
        ({"max_input_len": 0}, r"max_input_len is 0; give 1 or more"),
        ({"max_input_len": 4000}, r"more than the 2048 positions of `tiny`; lower it"),
        ({"set": ("group_sise=64",)}, r"--set: `group_sise` is not a key.*`group_size`\?"),
        ({"set": ("weights=int3",)}, r"--set: `weights` is not one of"),
        ({"set": ("weights",)}, r"--set weights: write it as key=value"),
    ],
)
def test_settings_that_make_no_engine(
    choice: Choice, built: list[EngineSpec], changes: dict[str, Any], told: str
) -> None:
    _refused(_with_engine(choice, **changes), built, ConfigError, told)


def test_a_workload_without_its_data(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    shipped = files(configs) / "workloads" / "newsbrief.yaml"
    text = shipped.read_text(encoding="utf-8").replace("name: newsbrief", "name: mine")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    own = _with_run(choice, workload=str(tmp_path / "mine.yaml"), dataset=None)
    _refused(own, built, UsageError, r"`mine` needs its data: --dataset FILE")


def test_a_dataset_that_is_not_there(choice: Choice, built: list[EngineSpec]) -> None:
    _refused(
        _with_run(choice, dataset="no.jsonl"), built, DatasetError, r"no dataset file `no.jsonl`"
    )
    _refused(_with_run(choice, dataset=""), built, DatasetError, r"no dataset file ``; give")


def test_a_broken_dataset_is_found_before_the_build(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    (tmp_path / "news.jsonl").write_text("{broken")
    _refused(choice, built, DatasetError, r"news.jsonl line 1 is not valid JSON")


def test_a_calibration_file_that_is_too_small(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    few = _news(tmp_path / "few.jsonl", ["One."])
    calibrated = _with_engine(choice, recipe="int4_awq", calibration=str(few))
    _refused(calibrated, built, DatasetError, r"few.jsonl has 1 prompts and the recipe needs")


def test_calibration_with_a_damaged_tokenizer(choice: Choice, built: list[EngineSpec]) -> None:
    Path(choice.engine.model, "tokenizer.json").write_text("{}")
    calibrated = _with_engine(choice, recipe="int4_awq")
    _refused(calibrated, built, CheckpointError, r"tokenizer.json is damaged")


def test_prompts_longer_than_the_workload_or_the_engine(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    _news(tmp_path / "news.jsonl", ["Short.", "word " * 700])
    _refused(choice, built, DatasetError, r"1 of 2 .* workload `newsbrief`, 640 tokens")
    _news(tmp_path / "news.jsonl", ["Short.", "word " * 100])
    tight = _with_engine(choice, max_input_len=50)
    _refused(tight, built, DatasetError, r"1 of 2 .* the engine, 50 tokens .*--max-input-len 1")


def test_an_output_that_is_taken(choice: Choice, built: list[EngineSpec]) -> None:
    choice.run.output.mkdir(parents=True)
    (choice.run.output / "run.json").write_text("{}")
    with pytest.raises(RunExists, match=r"is not empty; choose another --output"):
        choice.request()
    assert built == []
    assert (choice.run.output / "run.json").read_text() == "{}"


def test_an_output_that_is_a_file(choice: Choice, built: list[EngineSpec], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _refused(
        _with_run(choice, output=tmp_path / "file"), built, RunExists, r"file is a file; choose"
    )
    below = _with_run(choice, output=tmp_path / "file" / "below" / "that")
    _refused(below, built, OutputError, r"Cannot write to .*that \(.*file is a file\)")


def test_an_output_that_cannot_be_written(
    choice: Choice, built: list[EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    _refused(choice, built, OutputError, r"Cannot write to .* is not writable\).*another --output")


def test_an_empty_or_new_output_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path)
    check_output(tmp_path / "new" / "and" / "deep")
    monkeypatch.chdir(tmp_path)
    check_output(Path("relative"))
    assert list(tmp_path.iterdir()) == []


def test_a_build_says_its_steps(
    choice: Choice, built: list[EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(NullProgress):
        def __init__(self) -> None:
            self.said: list[str] = []

        def phase(self, name: str) -> None:
            self.said.append(name)

        def note(self, text: str) -> None:
            self.said.append(f"  {text}")

    told = Told()
    choice.engine.build(load_workload("newsbrief"), told)
    assert told.said[0] == "Engine tiny, int8_wo for cpu"
    assert "  network" in told.said
    monkeypatch.setattr(store_module.EngineStore, "_build", None)  # found, so not built again
    choice.engine.build(load_workload("newsbrief"), told)
