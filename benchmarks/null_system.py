"""LoadGen with a system that answers inside the callback: a process of its own, one plan.

It shows what LoadGen and the machine cost without a harness, and in which order LoadGen asks for
samples: LoadGen draws from fixed seeds, so a test with the same plan asks in the same order.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.loadgen import logs
from harness.loadgen.job import StartTest
from harness.loadgen.settings import LoadgenPlan

_ORDER = "order.json"


def loadgen_order(plan: LoadgenPlan) -> list[int]:
    """Sample indexes in the order in which LoadGen issues them under `plan`."""
    with tempfile.TemporaryDirectory() as name:
        _run_apart(plan, Path(name), 2)
        order: list[int] = json.loads((Path(name) / _ORDER).read_text(encoding="utf-8"))
        return order


def null_test(plan: LoadgenPlan, folder: Path, answer_tokens: int) -> dict[str, Any]:
    """The detail log's values of a test in the new `folder` with answers of `answer_tokens` ids."""
    folder.mkdir()
    _run_apart(plan, folder, answer_tokens)
    return dict(logs.read_detail(folder).values)


def _run_apart(plan: LoadgenPlan, folder: Path, answer_tokens: int) -> None:
    (folder / "user.conf").write_text(plan.user_conf, encoding="utf-8")
    start = folder / "start.json"
    start.write_text(StartTest(plan, folder).to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.null_system", str(start), str(answer_tokens)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _run(start: StartTest, answer_tokens: int) -> list[int]:
    """Run the test here; the sample indexes in the order in which they were asked for."""
    import mlperf_loadgen as lg
    import numpy as np

    ids = np.zeros(answer_tokens, np.int32)
    address, num_bytes = ids.ctypes.data, ids.nbytes
    indexes: list[int] = []

    def issue(samples: Sequence[Any]) -> None:
        indexes.extend(sample.index for sample in samples)
        response = lg.QuerySampleResponse
        responses = [response(s.id, address, num_bytes, answer_tokens) for s in samples]
        lg.FirstTokenComplete(responses)
        lg.QuerySamplesComplete(responses)

    def nothing(*_: object) -> None:
        """Samples need no loading, queries no flushing."""

    settings = start.plan.test_settings(start.folder / "user.conf")
    log_settings = lg.LogSettings()
    log_settings.enable_trace = False
    log_settings.log_output.outdir = str(start.folder)
    sut = lg.ConstructSUT(issue, nothing)
    qsl = lg.ConstructQSL(start.plan.num_samples, start.plan.num_samples, nothing, nothing)
    gc.disable()
    none = start.folder / "no-audit.config"
    lg.StartTestWithLogSettings(sut, qsl, settings, log_settings, str(none))
    return indexes


if __name__ == "__main__":
    asked = StartTest.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    order = _run(asked, int(sys.argv[2]))
    (asked.folder / _ORDER).write_text(json.dumps(order), encoding="utf-8")
    os._exit(0)  # LoadGen's destructors have nothing to add
