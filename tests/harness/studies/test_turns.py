"""By what a study knows a run again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.progress import NullProgress
from harness.rules.workload import load_workload
from harness.runs.choice import RunChoice
from harness.search.choice import SearchChoice
from harness.search.prober import Prober
from harness.studies.turns import Turn

ENGINE: Any = SimpleNamespace(key="0123")


def dataset(num_samples: int = 8, *, own_set: bool = False, digest: str = "abcd") -> Any:
    record = SimpleNamespace(own_set=own_set)
    return SimpleNamespace(digest=digest, num_samples=num_samples, record=record)


def digest(workload: Path | str = "newsbrief", asked: Any = None, **options: Any) -> str:
    choice = RunChoice(**{"scenario": "Server", "workload": str(workload), "qps": 2.0, **options})
    return Turn(ENGINE, choice, asked or dataset(), 1, "bf16").digest


def searched(workload: Path, asked: Any) -> str:
    """The same of a search."""
    choice = SearchChoice(scenario="Server", workload=str(workload))
    return Prober(choice, ENGINE, asked, (), Path(), NullProgress()).asked


def written(path: Path, **changes: Any) -> Path:
    """The bundled workload as a user's own file, changed."""
    path.write_text(json.dumps(load_workload("newsbrief").model_dump(mode="json") | changes))
    return path


def slower(ttft_ms: float) -> dict[str, Any]:
    rules: dict[str, Any] = load_workload("newsbrief").model_dump(mode="json")["scenarios"]
    return {**rules, "Server": {**rules["Server"], "ttft_ms": ttft_ms}}


@pytest.mark.parametrize(
    "changes",
    [
        {"min_duration_s": 7.0},
        {"scenarios": slower(7.0)},
        {"equal_issue": not load_workload("newsbrief").equal_issue},
        {"max_new_tokens": 7},
    ],
)
def test_an_edited_workload_is_another_run(changes: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path / "w.yaml")
    first, search = digest(path), searched(path, dataset())
    assert digest(written(tmp_path / "moved.yaml")) == first
    written(path, **changes)
    assert digest(path) != first
    assert searched(path, dataset()) != search


def test_a_trial_is_never_taken_for_the_whole_set(tmp_path: Path) -> None:
    """Of a user's own articles: all of them, or as many by --count."""
    path = written(tmp_path / "w.yaml")
    assert digest(path, dataset(own_set=True)) != digest(path, dataset(own_set=False))
    assert searched(path, dataset(own_set=True)) != searched(path, dataset(own_set=False))


def test_whatever_else_is_asked_is_another_run() -> None:
    others = [
        digest(),
        digest(scenario="Interactive"),
        digest(mode="performance"),
        digest(qps=3.0),
        digest(duration_s=3.0),
        digest(asked=dataset(9)),
        digest(asked=dataset(digest="other")),
    ]
    assert len(set(others)) == len(others)
