"""`enginebench run --simulate`: what is shown, compared, listed and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.cli.line import Line

SMALL = ("run", "--simulate", "--model", "newsbrief", "--target", "h200-sxm", "--recipe", "bf16")


@pytest.fixture
def pair(line: Line, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs under different limits of the scheduler."""
    many, few = tmp_path / "many", tmp_path / "few"
    for folder, sizes in ((many, ()), (few, ("--max-batch-size", "2"))):
        said = line(*SMALL, "--scenario", "Offline", "--count", "12", "--output", folder, *sizes)
        assert said.code == 0, said.err
    return many, few


def test_two_limits_of_the_scheduler_are_compared(line: Line, pair: tuple[Path, Path]) -> None:
    many, few = pair
    said = line("compare", many, few, "--json")
    assert said.code == 0
    fast, slow = said.document["candidates"]
    assert fast["label"].startswith("bf16 simulated h200-sxm (max_batch_size ")
    assert slow["label"] == "bf16 simulated h200-sxm (max_batch_size 2)"
    tokens = [
        next(f["value"] for f in each["figures"] if f["metric"] == "throughput")
        for each in (fast, slow)
    ]
    assert tokens[0] > 1.5 * tokens[1]
    (settings,) = [pair["settings"] for pair in said.document["pairs"]]
    assert {"engine.limits.max_batch_size", "executor.engine.max_batch_size"} <= {
        each["field"] for each in settings
    }
    listed = line("runs", "list", many, few, "--target", "h200-sxm", "--json").document
    assert {entry["target"] for entry in listed["runs"]} == {"h200-sxm"}
    assert {entry["recipe"] for entry in listed["runs"]} == {"bf16"}


def test_a_report_shows_what_was_simulated(line: Line, pair: tuple[Path, Path]) -> None:
    said = line("report", *pair, "--output", "report.html")
    assert said.code == 0
    text = Path("report.html").read_text(encoding="utf-8")
    assert "h200-sxm, simulated" in text and "A time model answered" in text


def test_a_run_is_shown_beside_virtual_time_and_packed_nowhere(line: Line, tmp_path: Path) -> None:
    words = ("--scenario", "Server", "--qps", "100", "--count", "40", "--output", tmp_path / "run")
    said = line(*SMALL, *words, "--json")
    assert "newsbrief bf16 simulated h200-sxm, newsbrief Server [simulated, " in said.err
    assert "in virtual time " in said.err
    assert "accuracy: skipped, as a time model writes no text" in said.err
    found = said.document
    assert found["simulated"]["limits"]["max_batch_size"] > 100
    assert (found["engine"], found["accuracy"]) == (None, None)
    assert "--simulate" in found["command"]
    refused = line("audit", tmp_path / "run")
    assert refused.code and "it is a simulated run, never a result" in refused.err
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["simulated"]["target"] == "h200-sxm"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scenario", "Server", "--mode", "accuracy"), "leave out --mode accuracy"),
        (("--scenario", "Server", "--emulate"), "give one of them"),
        (("--scenario", "Offline", "--replicas", "2"), "leave out --replicas"),
        (("--scenario", "Offline", "--set", "recipe.weights=int3"), "weights"),
    ],
)
def test_what_cannot_be_simulated(line: Line, words: tuple[str, ...], told: str) -> None:
    assert told in line.refused(2, *SMALL, *words)


def test_a_failed_command_can_be_given_again(line: Line, tmp_path: Path) -> None:
    words = ("--scenario", "Offline", "--count", "20", "--output", tmp_path / "one")
    last = line(*SMALL, *words).err.splitlines()[-1]
    assert last.startswith("Next: ") and " run --simulate --model newsbrief " in last
    assert "--count" not in last
