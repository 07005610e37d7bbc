"""LoadGen with a system that answers inside the callback: a process of its own, one plan.

It shows what LoadGen and the machine cost without a harness, and in which order LoadGen asks for
samples: LoadGen draws from fixed seeds, so a test with the same plan asks in the same order.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from build_engine.errors import RunFailed
from harness.loadgen import logs
from harness.loadgen.folder import TestFolder
from harness.loadgen.messages import StartTest
from harness.loadgen.settings import LoadgenPlan
from runtime.process import Child, Hangup, Line

_END_S = 10.0


def loadgen_order(plan: LoadgenPlan) -> list[int]:
    """Sample indexes in the order in which LoadGen issues them under `plan`."""
    with tempfile.TemporaryDirectory() as name:
        return _run_apart(plan, Path(name), 2)


def null_test(plan: LoadgenPlan, folder: Path, answer_tokens: int) -> dict[str, Any]:
    """The detail log's values of a test in the new `folder` with answers of `answer_tokens` ids."""
    folder.mkdir()
    _run_apart(plan, folder, answer_tokens)
    return dict(logs.read_detail(folder).values)


def _run_apart(plan: LoadgenPlan, folder: Path, answer_tokens: int) -> list[int]:
    """Run the test in a process of its own; see `_run`. Raises RunFailed."""
    TestFolder(folder).user_conf.write_text(plan.user_conf, encoding="utf-8")
    child = Child("LoadGen alone", "benchmarks.null_system", str(answer_tokens))
    try:
        child.line.send(StartTest(plan, folder))
        order = child.line.receive()
        assert isinstance(order, list)
        return order
    except Hangup:
        raise RunFailed(child.obituary()) from None
    finally:
        child.end(_END_S)


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

    files = TestFolder(start.folder)
    settings = start.plan.test_settings(files.user_conf)
    log_settings = lg.LogSettings()
    log_settings.enable_trace = False
    log_settings.log_output.outdir = str(files.path)
    sut = lg.ConstructSUT(issue, nothing)
    qsl = lg.ConstructQSL(start.plan.num_samples, start.plan.num_samples, nothing, nothing)
    gc.disable()
    lg.StartTestWithLogSettings(sut, qsl, settings, log_settings, str(files.no_audit_config))
    return indexes


if __name__ == "__main__":
    parent = Line.to_parent()
    asked = parent.receive()
    assert isinstance(asked, StartTest)
    parent.send(_run(asked, int(sys.argv[1])))
    os._exit(0)  # LoadGen's destructors have nothing to add
