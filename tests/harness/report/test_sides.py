"""Which folders are which side, and which side is the baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import UnknownName, UsageError
from harness.report.sides import baseline_of, sides_of
from runtime.openvino.spec import OpenVINOSpec
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


def test_nothing_takes_the_place_of_a_folder_without_a_result(tmp_path: Path) -> None:
    claim(tmp_path / "main" / "bf16", modes=()).ended("failed", "The engine died.")
    for recipe in ("bf16", "int8_wo"):
        make_run(tmp_path / "branch" / recipe, recipe)
    with pytest.raises(UsageError, match=r"No run in .*main is complete .*The engine died"):
        sides_of([tmp_path / "main", tmp_path / "branch"])
    make_run(tmp_path / "branch" / "more" / "bf16")
    inside = [tmp_path / "branch", tmp_path / "branch" / "more"]
    assert labels(*inside) == ["bf16", "int8_wo"]  # its runs are there, by another name


def test_a_baseline_that_is_broken_is_never_another_one(tmp_path: Path) -> None:
    broken = make_run(tmp_path / "bf16", "bf16")
    record = broken.folder.record
    record.write_text(record.read_text().replace('"num_cpus": 64', '"num_cpus": 65'))
    for recipe in ("int8_wo", "int4_wo"):
        make_run(tmp_path / recipe, recipe)
    sides, found = sides_of([tmp_path])
    for name in ("bf16", str(tmp_path / "bf16")):
        with pytest.raises(UsageError, match=r"The baseline .*bf16 has no result: .*was changed"):
            baseline_of(sides, name, found.passed_over)


def test_a_name_that_fits_several_is_none(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a").folder.path
    executor = OpenVINOSpec(folder=Path("/engines/bf16"), num_threads=4)
    make_run(tmp_path / "b", executor=executor)
    sides, _ = sides_of([tmp_path])
    several = r"bf16 is said of several candidates: `bf16 \(num_threads null\)`, `bf16 \(num_thr"
    with pytest.raises(UsageError, match=several):
        baseline_of(sides, "bf16")
    assert baseline_of(sides, str(first)) is sides[0]
