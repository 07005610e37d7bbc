"""A run over two hosts gives the answers of one engine, from an engine that was built once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import PORT, Host, NotPermitted
from tests.cluster.running import left_on, loads, words

pytestmark = pytest.mark.cluster


def result(folder: Path) -> tuple[Any, dict[int, str]]:
    """Scores, and the answers by sample."""
    scores = json.loads((folder / "accuracy.json").read_text())["scores"]
    log = json.loads((folder / "accuracy" / "mlperf_log_accuracy.json").read_text())
    return scores, {entry["qsl_idx"]: entry["data"] for entry in log}


def test_both_answer_and_the_scores_are_those_of_one_engine(
    cluster: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = cluster
    both = tmp_path / "both"
    more = ("--scenario", "Offline", "--count", "150")
    done = a.run(*words(a, both, *more))
    assert done.returncode == 0, done.stderr
    for test in ("performance", "accuracy"):
        each = loads(both, test).replicas
        assert sorted(load.node[-11:] for load in each) == ["(10.77.0.1)", "(10.77.0.2)"]
        assert sum(load.requests for load in each) == 150
        assert all(load.requests > 40 for load in each)
    fetched = list(b.home.glob("engines/newsbrief/cpu/*/engine.json"))
    assert len(fetched) == 1  # once, for two tests
    one = tmp_path / "one"
    alone = a.run(
        *(sys.executable, "-m", "enginebench", "run", "--model", "newsbrief"),
        *("--recipe", "int8_wo", "--output", str(one), "--mode", "accuracy", *more),
    )
    assert alone.returncode == 0, alone.stderr
    assert result(both) == result(one)
    assert left_on(a) == left_on(b) == []


def test_a_slow_link_makes_a_run_slower_and_no_more(
    cluster: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = cluster
    try:
        b.delay(300)
    except NotPermitted as reason:
        pytest.skip(f"No slow links here: {reason}")
    more = ("--scenario", "Offline", "--count", "100", "--mode", "performance")
    done = a.run(*words(a, tmp_path / "run", *more))
    assert done.returncode == 0, done.stderr
    each = {load.node[-11:]: load for load in loads(tmp_path / "run").replicas}
    assert sum(load.requests for load in each.values()) == 100
    far = each["(10.77.0.2)"]
    assert far.dispatch_p99_s is not None and far.dispatch_p99_s > 0.3
    assert left_on(a) == left_on(b) == []


def test_who_may_not_join_is_told_how(cluster: tuple[Host, Host], tmp_path: Path) -> None:
    a, _ = cluster
    command = words(a, tmp_path / "run", "--scenario", "Offline", "--count", "10")
    stranger = a.run("env", "RAY_AUTH_TOKEN=another", *command)
    assert stranger.returncode == 3
    assert f"No connection to Ray at {a.address}:{PORT}" in stranger.stderr
    assert "the same RAY_AUTH_TOKEN" in stranger.stderr
    assert "Traceback" not in stranger.stderr
    assert not (tmp_path / "run").exists()
