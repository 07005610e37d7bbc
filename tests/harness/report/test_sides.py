"""Which folders are which side, and which side is the baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import UnknownName, UsageError
from harness.report.sides import baseline_of, sides_of
from tests.harness.report.results import make_run
from tests.harness.runs.claims import claim


def labels(*paths: Path) -> list[str]:
    return [candidate.label for candidate in sides_of(paths)[0]]


def test_repeats_are_taken_together_and_recipes_apart(tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / f"{recipe}-{n}", recipe).folder.path
        for recipe in ("bf16", "int8_wo")
        for n in range(2)
    ]
    assert labels(*folders) == ["bf16", "int8_wo"]
    assert labels(tmp_path) == ["bf16", "int8_wo"]


def test_of_one_configuration_each_named_run_is_a_side(tmp_path: Path) -> None:
    first, second = (make_run(tmp_path / name).folder.path for name in ("monday", "today"))
    assert labels(first, second) == ["monday", "today"]
    assert labels(second, first) == ["today", "monday"]
    assert labels(first, first) == ["monday", "monday (2)"]


def test_one_side_is_too_few(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b")
    with pytest.raises(UsageError, match="one configuration only, bf16; name the folder"):
        sides_of([tmp_path])


def test_a_named_run_without_a_result_is_refused_by_name(tmp_path: Path) -> None:
    sound = make_run(tmp_path / "sound").folder.path
    claim(tmp_path / "stopped", modes=()).ended("interrupted", "stopped by the user")
    with pytest.raises(UsageError, match=r"stopped holds a run that is interrupted \(stopped by"):
        sides_of([sound, tmp_path / "stopped"])
    claim(tmp_path / "study" / "stopped", modes=()).ended("interrupted", "stopped by the user")
    with pytest.raises(UsageError, match=r"No run there is complete and unaltered: .*interrupted"):
        sides_of([tmp_path / "study"])


def test_the_baseline_goes_by_label_recipe_or_folder(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", "bf16").folder.path
    second = make_run(tmp_path / "b", "int8_wo").folder.path
    sides, _ = sides_of([first, second])
    assert baseline_of(sides, None) is sides[0]
    assert baseline_of(sides, "int8_wo") is sides[1]
    assert baseline_of(sides, str(second)) is sides[1]
    with pytest.raises(UnknownName, match=r"Unknown baseline `int8`\. Did you mean `int8_wo`"):
        baseline_of(sides, "int8")
