"""What is refused is refused first; a rate, a number of repeats and a folder that are left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import (
    ConfigError,
    EnginebenchError,
    EnvironmentFault,
    OutputError,
    RecipeRefused,
    UnknownName,
    UsageError,
)
from build_engine.store.spec import EngineSpec
from harness.progress import NullProgress
from harness.rules.workload import load_workload
from harness.runs.folder import new_folder
from tests.harness.runs.choices import Choice, refused, with_engine, with_run


def test_without_an_output_a_run_lies_under_its_time_recipe_and_scenario(
    choice: Choice, built: list[EngineSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = with_run(choice, output=None, scenario="singlestream").request()
    assert request.folder.parent == tmp_path / "results"
    assert re.fullmatch(r"\d{8}-\d{6}-int8_wo-singlestream", request.folder.name)
    assert "--output" not in request.command
    request.folder.mkdir(parents=True)
    assert with_run(choice, output=None).request().folder != request.folder


def test_results_that_cannot_be_written(
    choice: Choice, built: list[EngineSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("")
    with pytest.raises(OutputError, match="results is a file"):
        with_run(choice, output=None).request()
    assert built == []


def test_a_new_folder_has_the_first_free_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_folder("results/first") == "results/first"
    (tmp_path / "results" / "first").mkdir(parents=True)
    assert new_folder("results/first") == "results/first-2"
    (tmp_path / "results" / "first-2").touch()
    assert new_folder("results/first") == "results/first-3"


@pytest.mark.parametrize(
    ("engine", "kind", "told"),
    [
        ({"target": "a30"}, EnvironmentFault, "--target cpu"),
        ({"target": "nowhere"}, UnknownName, "Unknown target"),
        ({"recipe": "fp8"}, RecipeRefused, "`fp8` is refused"),
        ({"profile": "latency"}, ConfigError, "have no profiles"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_fetched(
    choice: Choice,
    built: list[EngineSpec],
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, Any],
    kind: type[EnginebenchError],
    told: str,
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("a dataset or a checkpoint was looked for")

    monkeypatch.setattr("harness.runs.choice.Source.for_workload", fetched)
    monkeypatch.setattr("build_engine.checkpoint.resolve.resolve_checkpoint", fetched)
    chosen = with_engine(choice, **engine)
    refused(chosen, built, kind, told)
    with pytest.raises(kind, match=told):
        chosen.engine.build(load_workload("newsbrief"), NullProgress())


def test_a_number_of_repeats(choice: Choice, built: list[EngineSpec]) -> None:
    request = with_run(choice, repeat=3).request()
    assert list(request.tests) == [
        ("performance", 1),
        ("performance", 2),
        ("performance", 3),
        ("accuracy", 1),
    ]
    assert " --repeat 3 " in request.command
    built.clear()
    none = with_run(choice, repeat=0)
    with pytest.raises(UsageError, match="--repeat is 0; give 1 to 1,000"):
        none.request()
    scored = with_run(choice, repeat=2, mode="accuracy")
    with pytest.raises(UsageError, match="same answers every time; leave out --repeat"):
        scored.request()


def test_a_rate_that_loadgen_cannot_space(choice: Choice, built: list[EngineSpec]) -> None:
    absurd = with_run(choice, scenario="Server", qps=1e12)
    refused(absurd, built, UsageError, r"--qps is 1e\+12; give 1,000,000 or less")
    endless = with_run(choice, scenario="Server", qps=1e-9)
    refused(endless, built, UsageError, r"--qps is 1e-09; give 0\.001 or more")


def test_a_duration_for_which_loadgen_cannot_keep_the_samples(
    choice: Choice, built: list[EngineSpec]
) -> None:
    absurd = with_run(choice, scenario="Offline", duration_s=1e9)
    refused(absurd, built, UsageError, r"--duration is 1e\+09; give 86,400 .*--repeat for more")
    stated = with_engine(choice, set=("workload.min_duration_s=1000000000",))
    refused(stated, built, ConfigError, r"min_duration_s.*86400")
