"""A run of a cheating engine: a real tokenizer, real LoadGen tests, and made-up answers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.store.contents import seal_files
from build_engine.store.engine import Engine
from build_engine.store.manifest import write_manifest
from harness.dataset.preparation import prepare
from harness.dataset.sources.source import Source
from harness.loadgen.settings import Mode
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.execution import execute
from harness.runs.request import RunRequest
from harness.runs.run import Run
from harness.runs.scope import RunScope
from newsbrief import CHECKPOINT
from runtime.backend import ENTRY_POINTS
from tests.build_engine.manifests import make_manifest, resealed
from tests.build_engine.specs import CONFIG
from tests.cheats.spec import CheatSpec

ROOT = Path(__file__).parents[2]
NUM_SAMPLES = 48
BOTH: Sequence[Mode] = ("performance", "accuracy")


def install_cheats(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the backend known, here and in all that is started."""
    distribution = folder / "cheat_backend-1.0.dist-info"
    distribution.mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: cheat-backend\nVersion: 1.0\n"
    (distribution / "METADATA").write_text(about)
    (distribution / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\ncheat = tests.cheats.executor:BACKEND\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))


def run_cheat(
    folder: Path,
    cheat: str,
    scenario: Scenario,
    modes: Sequence[Mode] = BOTH,
    *,
    in_one_test: bool = False,
    count: int = NUM_SAMPLES,
) -> Run:
    """The run in `folder/run`, over the first `count` articles of newsbrief."""
    config = replace(CONFIG, vocab_size=4096, eos_token_ids=(1,))
    home = folder / "engine"
    home.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copyfile(CHECKPOINT / name, home / name)
    files = {"files": seal_files(home)}
    engine = Engine(home, resealed(make_manifest(config=config).model_copy(update=files)))
    write_manifest(home, engine.manifest)
    workload = load_workload("newsbrief")
    dataset = prepare(
        workload, Source.find("newsbrief"), engine.folder, folder / "data", count, NullProgress()
    )
    spec: dict[str, Any] = {"folder": engine.folder, "dataset": dataset.folder}
    request = RunRequest(
        scope=RunScope(workload=workload, scenario=scenario, num_samples=count, qps=150.0),
        modes=modes,
        dataset=dataset,
        engine=engine,
        executor=CheatSpec(**spec, cheat=cheat, in_one_test=in_one_test),
        folder=folder / "run",
        command="enginebench run",
    )
    return execute(request, NullProgress())
