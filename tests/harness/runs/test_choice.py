"""What a user asks for is refused before an engine is built; what passes becomes a run."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import configs
from build_engine.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
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
from harness.runs.asking import check_output
from harness.runs.request import RunRequest
from newsbrief import CHECKPOINT
from tests.build_engine.checkpoints import write_checkpoint
from tests.harness.runs.choices import Choice, refused, with_engine, with_run, write_news


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
    request = with_run(choice, count=2).request()
    assert request.marks == ("demo workload", "short")


@pytest.mark.parametrize(("setting", "marked"), [("kv_cache=int8", True), ("kv_cache=bf16", False)])
def test_a_changed_recipe_is_marked(
    choice: Choice, built: list[EngineSpec], setting: str, marked: bool
) -> None:
    request = with_engine(choice, set=(setting,)).request()
    assert ("changed recipe" in request.marks) == marked


def test_a_tokenizer_of_another_model_is_refused_before_the_build(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    model = write_checkpoint(tmp_path / "other", vocab_size=200)
    shutil.copyfile(CHECKPOINT / "tokenizer.json", model / "tokenizer.json")
    told = r"gives id \d+, and the model has 200 tokens; take the tokenizer\.json"
    refused(with_engine(choice, model=str(model)), built, DatasetError, told)


def test_names_are_taken_in_any_case(choice: Choice, built: list[EngineSpec]) -> None:
    request = with_run(choice, scenario="singlestream", mode="Accuracy").request()
    assert request.scope.scenario is Scenario.SINGLE_STREAM
    assert request.modes == ("accuracy",)


def test_a_count_and_the_bundled_articles(choice: Choice, built: list[EngineSpec]) -> None:
    request = with_run(choice, dataset=None, count=3).request()
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
    refused(with_run(choice, **{field: name}), built, UnknownName, told)


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("target", "a3O", r"Unknown target `a3O`. Did you mean `a30`\?"),
        ("recipe", "int8", r"Unknown recipe `int8`. Did you mean `int8_\w\w`\?"),
        ("model", "nosuchfolder", r"Unknown checkpoint `nosuchfolder`. Valid: newsbrief, a folder"),
        ("model", "newsbreif", r"Unknown checkpoint `newsbreif`. Did you mean `newsbrief`\?"),
    ],
)
def test_an_unknown_name_of_an_engine(
    choice: Choice, built: list[EngineSpec], field: str, name: str, told: str
) -> None:
    refused(with_engine(choice, **{field: name}), built, UnknownName, told)


def test_flags_that_would_do_nothing(choice: Choice, built: list[EngineSpec]) -> None:
    single = with_run(choice, scenario="SingleStream", qps=5.0)
    refused(single, built, UsageError, r"SingleStream has no rate.*leave out --qps")
    timed = with_run(choice, mode="accuracy", duration_s=5.0)
    refused(timed, built, UsageError, r"accuracy test asks each sample once.*leave out --duration")


def test_one_sample_has_no_rate(choice: Choice, built: list[EngineSpec]) -> None:
    one = with_run(choice, scenario="Server", count=1)
    refused(one, built, UsageError, r"Server needs 2 samples to have a rate; give --count 2")


def test_a_scenario_that_the_workload_has_not(choice: Choice, built: list[EngineSpec]) -> None:
    edge = with_run(choice, workload="llama3.1-8b-edge", scenario="Server")
    refused(edge, built, UnknownName, r"scenario of llama3.1-8b-edge `Server`.* Valid: ")


@pytest.mark.parametrize(("target", "told"), [("cpu", "FP8"), ("a30", "sm_89")])
def test_fp8_where_there_is_none(
    choice: Choice, built: list[EngineSpec], target: str, told: str
) -> None:
    fp8 = with_engine(choice, target=target, recipe="fp8", model="/nowhere/at/all")
    refused(fp8, built, RecipeRefused, rf"`fp8` is refused on `{target}`: .*{told}.*try `")


def test_a_gpu_engine_without_tensorrt_llm(choice: Choice, built: list[EngineSpec]) -> None:
    refused(with_engine(choice, target="a30"), built, EnvironmentFault, r"--target cpu")
    assert not (choice.output.parent.parent / "home" / "datasets").exists()


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
    refused(with_engine(choice, model=model), built, CheckpointError, told)


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_below_one(choice: Choice, built: list[EngineSpec], count: int) -> None:
    refused(with_run(choice, count=count), built, UsageError, f"--count is {count}; give 1 or")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
def test_rates_and_durations_are_above_zero(
    choice: Choice, built: list[EngineSpec], value: float
) -> None:
    refused(with_run(choice, qps=value), built, UsageError, r"--qps is .*; give a number above 0")
    refused(with_run(choice, duration_s=value), built, UsageError, r"--duration is .*above 0")


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"qps": 1e6, "duration_s": 86_400.0, "count": 4}, "86,400,000,000 queries in 86,400 s"),
        ({"qps": 200_000.0, "duration_s": 60.0, "count": 4}, "12,000,000 queries in 60 s"),
        ({"qps": 20_000.0, "count": None}, "12,000,000 queries in 600 s"),  # the workload's own
    ],
)
def test_more_queries_than_memory_holds_are_refused(
    choice: Choice, built: list[EngineSpec], numbers: dict[str, Any], told: str
) -> None:
    asked = with_run(choice, scenario="Server", **numbers)
    refused(asked, built, UsageError, rf"{told}.* or a shorter --duration, for 10,000,000 or fewer")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_batch_size": 0}, r"max_batch_size is 0; give 1 or more"),
        ({"max_input_len": 0}, r"--max-input-len is 0; give 1 or more"),
        ({"max_input_len": 4000}, r"`tiny` has 2048 positions; give --max-input-len 1920"),
        ({"set": ("group_sise=64",)}, r"--set: `group_sise` is not a key.*`group_size`\?"),
        ({"set": ("weights=int3",)}, r"--set: `weights` is not one of"),
        ({"set": ("weights",)}, r"--set weights: write it as key=value"),
    ],
)
def test_settings_that_make_no_engine(
    choice: Choice, built: list[EngineSpec], changes: dict[str, Any], told: str
) -> None:
    refused(with_engine(choice, **changes), built, ConfigError, told)


def test_a_workload_without_its_data(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    shipped = files(configs) / "workloads" / "newsbrief.yaml"
    text = shipped.read_text(encoding="utf-8").replace("name: newsbrief", "name: mine")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    own = with_run(choice, workload=str(tmp_path / "mine.yaml"), dataset=None)
    refused(own, built, UsageError, r"`mine` needs its data: --dataset FILE")


def test_a_dataset_that_is_not_there(choice: Choice, built: list[EngineSpec]) -> None:
    refused(
        with_run(choice, dataset="no.jsonl"), built, DatasetError, r"no dataset file `no.jsonl`"
    )
    refused(with_run(choice, dataset=""), built, DatasetError, r"no dataset file ``; give")


def test_a_broken_dataset_is_found_before_the_build(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    (tmp_path / "news.jsonl").write_text("{broken")
    refused(choice, built, DatasetError, r"news.jsonl line 1 is not valid JSON")


def test_a_calibration_file_that_is_too_small(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    few = write_news(tmp_path / "few.jsonl", ["One."])
    calibrated = with_engine(choice, recipe="int4_awq", calibration=str(few))
    refused(calibrated, built, DatasetError, r"few.jsonl has 1 prompts and the recipe needs")


def test_calibration_with_a_damaged_tokenizer(choice: Choice, built: list[EngineSpec]) -> None:
    Path(choice.engine.model, "tokenizer.json").write_text("{}")
    calibrated = with_engine(choice, recipe="int4_awq")
    refused(calibrated, built, CheckpointError, r"tokenizer.json is damaged")


def test_prompts_longer_than_the_workload_or_the_engine(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    write_news(tmp_path / "news.jsonl", ["Short.", "word " * 700])
    refused(choice, built, DatasetError, r"1 of 2 .* workload `newsbrief`, 640 tokens")
    write_news(tmp_path / "news.jsonl", ["Short.", "word " * 100])
    tight = with_engine(choice, max_input_len=50)
    refused(tight, built, DatasetError, r"1 of 2 .* the engine, 50 tokens .*--max-input-len 1")


def test_an_output_that_is_taken(choice: Choice, built: list[EngineSpec]) -> None:
    choice.output.mkdir(parents=True)
    (choice.output / "run.json").write_text("{}")
    with pytest.raises(RunExists, match=r"is not empty; choose another --output"):
        choice.request()
    assert built == []
    assert (choice.output / "run.json").read_text() == "{}"


def test_an_output_that_is_a_file(choice: Choice, built: list[EngineSpec], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(with_run(choice, output=tmp_path / "file"), built, RunExists, r"file is a file; choose")
    below = with_run(choice, output=tmp_path / "file" / "below" / "that")
    refused(below, built, OutputError, r"Cannot write to .*that \(.*file is a file\)")


def test_an_output_that_cannot_be_written(
    choice: Choice, built: list[EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused(choice, built, OutputError, r"Cannot write to .* is not writable\).*another --output")


def test_an_empty_or_new_output_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path, None)
    check_output(tmp_path / "new" / "and" / "deep", None)
    monkeypatch.chdir(tmp_path)
    check_output(Path("relative"), None)
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


def test_a_run_goes_by_the_target_file_that_was_given_and_as_it_is_now(
    choice: Choice, built: list[EngineSpec], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"

    def built_for(gb_s: int) -> RunRequest:
        mine.write_text(
            f"{{name: mine, title: Mine, kind: cpu, backend: openvino, bandwidth_gb_s: {gb_s}, "
            "dense_tflops: {bf16: 0.39, fp32: 0.2}, sources: [measured by hand]}",
            "utf-8",
        )
        return with_engine(choice, target=str(mine)).request()

    for gb_s in (28, 56):
        request = built_for(gb_s)
        assert request.engine is not None
        for engine in (
            request.engine,
            choice.run.request_on(request.engine, request.dataset).engine,
        ):
            assert engine is not None and engine.built_for is not None
            assert engine.built_for.bandwidth_gb_s == gb_s
    assert len(built) == 1  # peaks are no part of an engine
