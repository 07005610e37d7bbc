"""`enginebench build --stage quantise` makes what a GPU engine is compiled from, without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_engine.specs import versions
from tests.harness.cli.line import Line

QUANTISE = ("build", "--model", "newsbrief", "--stage", "quantise", "--target")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))


def test_a_weight_only_checkpoint_is_made_here(line: Line) -> None:
    said = line(*QUANTISE, "a30", "--recipe", "int8_wo", "--json")
    folder = Path(said.document["folder"])

    assert said.code == 0
    assert folder.parts[-3:-1] == ("quantised", "newsbrief")
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.json",
        "config.json",
        "rank0.safetensors",
    ]


@pytest.mark.parametrize(
    ("code", "target", "recipe", "words"),
    [
        (3, "a30", "int8_sq", "`nvidia-modelopt` is not installed, and this recipe is calibrated"),
        (2, "a30", "fp8", "`fp8` is refused on `a30`"),
        (2, "cpu", "int8_wo", "leave out `--stage quantise`"),
    ],
)
def test_what_cannot_be_quantised_is_one_sentence(
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    target: str,
    recipe: str,
    words: str,
) -> None:
    versions(monkeypatch)

    assert words in line.refused(code, *QUANTISE, target, "--recipe", recipe)


def test_a_setting_of_the_workload_is_refused(line: Line) -> None:
    told = line.refused(2, *QUANTISE, "a30", "--recipe", "bf16", "--set", "workload.count=3")

    assert "`--set workload.count=3` is for `enginebench run`" in told
