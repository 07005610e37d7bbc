"""A real LoadGen test of a system that does one thing wrong, in this process: for the verdict's
tests.

`python -m tests.harness.misbehave FOLDER MODE FAULT`, under a plan as JSON on standard input.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness.loadgen.settings import LoadgenPlan
from harness.rules.scenario import Scenario

NUM_TOKENS = 8


def misbehave(folder: Path, plan: LoadgenPlan, fault: str = "none") -> Path:
    """Run it in a child process; the folder with LoadGen's logs and our token counts.

    Faults: `no first token` (every tenth), `one token` (one answer), `129 tokens` (one answer),
    `129 each`, `twice` (one answer completed twice), `count` (tells LoadGen one token too many).
    """
    folder.mkdir(parents=True)
    (folder / "user.conf").write_text(plan.user_conf)
    subprocess.run(
        [sys.executable, "-m", "tests.harness.misbehave", str(folder), fault],
        input=json.dumps(asdict(plan)),
        text=True,
        check=True,
        timeout=60,
    )
    return folder


def _serve(folder: Path, plan: LoadgenPlan, fault: str) -> None:
    import mlperf_loadgen as lg

    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    counts: list[int] = []

    def address(ids: np.ndarray[tuple[int], np.dtype[np.int32]]) -> int:
        return int(ids.__array_interface__["data"][0])

    def work() -> None:
        number = 0
        while True:
            query = waiting.get()
            number += 1
            num_tokens = 129 if fault == "129 each" else NUM_TOKENS
            if number == 5:
                num_tokens = {"one token": 1, "129 tokens": 129}.get(fault, num_tokens)
            ids = np.arange(num_tokens, dtype=np.int32)
            if plan.scenario.has_first_tokens and not (
                fault == "no first token" and number % 10 == 0
            ):
                lg.FirstTokenComplete([lg.QuerySampleResponse(query, address(ids), 4)])
                time.sleep(0.0005)
            told = num_tokens + (fault == "count")
            response = [lg.QuerySampleResponse(query, address(ids), ids.nbytes, told)]
            counts.append(num_tokens)
            if fault == "twice" and number == 5:
                lg.QuerySamplesComplete(response)
            lg.QuerySamplesComplete(response)

    def issue(samples: list[lg.QuerySample]) -> None:
        for sample in samples:
            waiting.put(sample.id)

    threading.Thread(target=work, daemon=True).start()
    logs = lg.LogSettings()
    logs.enable_trace = False
    logs.log_output.outdir = str(folder)
    num = plan.num_samples
    sut = lg.ConstructSUT(issue, lambda: None)
    qsl = lg.ConstructQSL(num, num, lambda indices: None, lambda indices: None)
    settings = plan.test_settings(folder / "user.conf")
    lg.StartTestWithLogSettings(sut, qsl, settings, logs, str(folder / "none"))
    (folder / "token_counts.json").write_text(json.dumps(counts))
    os._exit(0)


if __name__ == "__main__":
    fields = json.load(sys.stdin)
    plan = LoadgenPlan(**{**fields, "scenario": Scenario(fields["scenario"])})
    _serve(Path(sys.argv[1]), plan, sys.argv[2])
