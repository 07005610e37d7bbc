"""The order in which LoadGen asks for samples under a plan: a process of its own, one plan, one
JSON list.

LoadGen draws from fixed seeds, so a test with the same plan asks in the same order, and the bare
executor can be given the very requests that LoadGen gives.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.loadgen.job import StartTest
from harness.loadgen.settings import LoadgenPlan


def loadgen_order(plan: LoadgenPlan) -> list[int]:
    """Sample indexes in the order in which LoadGen issues them under `plan`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "user.conf").write_text(plan.user_conf, encoding="utf-8")
        start = folder / "start.json"
        start.write_text(StartTest(plan, folder).to_json(), encoding="utf-8")
        order = folder / "order.json"
        command = [sys.executable, "-m", "benchmarks.loadgen_order", str(start), str(order)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        indexes: list[int] = json.loads(order.read_text(encoding="utf-8"))
        return indexes


def _record(start: StartTest) -> list[int]:
    """Run the test with a system that answers at once and remembers what it was asked."""
    import mlperf_loadgen as lg
    import numpy as np

    token = np.zeros(2, np.int32)
    address = token.ctypes.data
    indexes: list[int] = []

    def issue(samples: Sequence[Any]) -> None:
        indexes.extend(sample.index for sample in samples)
        responses = [lg.QuerySampleResponse(s.id, address, token.nbytes, 2) for s in samples]
        lg.FirstTokenComplete(responses)
        lg.QuerySamplesComplete(responses)

    def nothing(*_: object) -> None:
        """Samples need no loading, queries no flushing."""

    settings = start.plan.test_settings(start.folder / "user.conf")
    logs = lg.LogSettings()
    logs.enable_trace = False
    logs.log_output.outdir = str(start.folder)
    sut = lg.ConstructSUT(issue, nothing)
    qsl = lg.ConstructQSL(start.plan.num_samples, start.plan.num_samples, nothing, nothing)
    lg.StartTestWithLogSettings(sut, qsl, settings, logs, str(start.folder / "no-audit.config"))
    return indexes


if __name__ == "__main__":
    asked = _record(StartTest.from_json(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(asked), encoding="utf-8")
    os._exit(0)  # LoadGen's destructors have nothing to add
