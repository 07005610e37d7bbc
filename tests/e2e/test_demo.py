"""The demo in miniature: every recipe's row, and a second start that takes up what is there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from build_engine.errors import EnvironmentFault, OutputError, UsageError
from harness.demo import RECIPES, DemoRuns, DemoSize, run_demo
from harness.progress import NullProgress
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.runs.record import ProcessRecord
from harness.studies.record import read_study


class Notes(NullProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def run_order(demo: list[DemoRuns]) -> list[tuple[str, str]]:
    """When each run began, and which recipe it was."""
    return [
        (run.record.started_utc, runs.engine.recipe)
        for runs in demo
        for run in (*runs.offline, runs.server, runs.single_stream)
    ]


def test_the_demo_has_a_row_for_each_recipe_and_goes_on_where_it_was(tmp_path: Path) -> None:
    chosen = load_round(DEFAULT)

    def start(progress: NullProgress) -> list[DemoRuns]:
        size = DemoSize(offline=2, samples=6, server_samples=4, latency_samples=4)
        return run_demo(tmp_path, progress, fresh=False, chosen=chosen, size=size)

    first = start(NullProgress())
    rows = [runs.row for runs in first]
    assert [row.recipe for row in rows] == list(RECIPES)
    assert rows[0].size_bytes > rows[1].size_bytes > rows[2].size_bytes
    for row in rows:
        assert row.samples_per_s > 0
        assert len(row.offline_tokens_per_s) == 2
        assert min(row.offline_tokens_per_s) <= row.tokens_per_s <= max(row.offline_tokens_per_s)
        assert row.server.ttft_p99_s is not None
        assert row.server.ttft_p99_s > 0
        assert row.single_stream.tpot_p50_s is not None
        assert row.single_stream.tpot_p50_s > 0
        assert row.accuracy.gen_num == 6
        assert row.num_latency_samples == 4
        assert row.verdicts[Scenario.OFFLINE] == ("meets the rules of a short run",)
        said, *rules = row.verdicts[Scenario.SERVER]
        assert said == "INVALID"
        assert rules
    starts = sorted(run_order(first))
    assert [recipe for _, recipe in starts[:6]] == [*RECIPES, *RECIPES]  # they take turns
    notes = Notes()
    again = start(notes)
    assert [runs.row for runs in again] == rows
    assert sum("measured" in text for text in notes.said) == 12

    study = read_study(tmp_path)
    assert {point.status for point in study.points} == {"complete"}
    assert len({point.folder for point in study.points}) == 12
    assert study.rate is not None
    for server in (runs.server.record.tests.performance for runs in first):
        assert server is not None and server.plan is not None
        assert server.plan.target_qps == study.rate.queries_per_s

    offline = first[0].offline[0]
    elsewhere = ProcessRecord(host="deadbeef0123", pid=7, started_s=1.0)
    offline.changed(status="running", process=elsewhere)  # of a container that was killed
    notes = Notes()
    start(notes)
    assert sum("measured" in text for text in notes.said) == 11  # the one is made again

    parent = psutil.Process(os.getppid())
    alive = ProcessRecord(
        host=socket.gethostname(),
        pid=parent.pid,
        started_s=round(parent.create_time() - psutil.boot_time(), 2),
    )
    offline.changed(status="running", process=alive)
    with pytest.raises(UsageError, match=rf"process {parent.pid} on .*, since 20.*or remove that"):
        start(NullProgress())


def test_what_keeps_a_demo_from_running_is_found_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file is a file"):
        run_demo(tmp_path / "file", NullProgress(), fresh=False, chosen=load_round(DEFAULT))
    with pytest.raises(EnvironmentFault, match=r"does not fit round v6\.0"):
        run_demo(tmp_path / "demo", NullProgress(), fresh=False, chosen=load_round("v6.0"))
    assert not (tmp_path / "home").exists()
