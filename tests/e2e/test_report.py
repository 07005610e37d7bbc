"""The numbers on the page, in run.json and in LoadGen's own log are the same numbers."""

from __future__ import annotations

from pathlib import Path

from build_engine.files import parse_json
from harness.cli.main import run
from harness.loadgen.logs import read_detail
from harness.runs.run import Run
from tests.harness.report.html.cells import Cells


def test_the_page_shows_what_loadgen_logged(tmp_path: Path) -> None:
    folder, page = tmp_path / "run", tmp_path / "report.html"
    command = ["run", "--model", "newsbrief", "--recipe", "bf16", "--scenario", "Server"]
    more = ["--mode", "performance", "--count", "8", "--qps", "20"]
    run([*command, *more, "--output", str(folder)])
    assert run(["report", str(folder), "--output", str(page)]) == 0
    logged = read_detail(folder / "performance")
    recorded = Run.read(folder).record.performance_tests[0].metrics
    assert recorded is not None
    cells = Cells(page)
    shown = {name: value for (row, name), value in cells.found.items() if row == "run/performance"}
    assert {"tokens_per_s", "ttft_p99_s", "tpot_p99_s", "latency_p99_s"} <= shown.keys()
    for name, value in shown.items():
        assert value == getattr(recorded, name) == getattr(logged.metrics(), name), name
    key = "result_first_token_99.00_percentile_latency_ns"
    assert shown["ttft_p99_s"] == logged.values[key] / 1e9
    (candidate,) = parse_json(cells.json)["candidates"]
    (throughput,) = (f for f in candidate["figures"] if f["metric"] == "throughput")
    assert throughput["value"] == shown["tokens_per_s"]
