"""What each GPU recipe costs in accuracy, emulated on this CPU, and what it takes to quantise.

Every recipe answers the same articles, in an accuracy run as `enginebench run --emulate` makes it.
Where Model Optimizer is not installed, the recipes that it calibrates are left out, unless their
quantised checkpoints lie in the store.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.result import Figure, Result, Table
from build_engine.errors import EnvironmentFault, RunFailed, UnknownName
from build_engine.recipe import load_recipe
from build_engine.store.quantised import CheckpointManifest, open_quantised
from harness.rules.workload import load_workload
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.execution import execute

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.scoring.accuracy import Accuracy

NUM_SAMPLES = 200
KV_GOAL = -0.5  # ROUGE-1 that a quantised KV cache may cost
KV_PROMPTS = 512  # that an INT8 cache is calibrated on where the recipe looks at none


@dataclass(frozen=True, slots=True)
class Case:
    """A recipe on a GPU type, with another KV cache than its own where `kv_cache` names one."""

    recipe: str
    target: str
    kv_cache: str | None = None

    @property
    def label(self) -> str:
        """How tables call it."""
        return self.recipe if self.kv_cache is None else f"{self.recipe}, {self.kv_cache} KV"

    def settings(self, prompts: int | None) -> tuple[str, ...]:
        """What is changed in the recipe; calibrated on `prompts`, or as many as it says itself."""
        recipe = load_recipe(self.recipe)
        changed = () if self.kv_cache is None else (f"recipe.kv_cache={self.kv_cache}",)
        if self.kv_cache == "int8" and not recipe.is_calibrated:
            prompts = prompts or KV_PROMPTS
        elif not recipe.is_calibrated:
            return changed
        counted = () if prompts is None else (f"recipe.calibration_samples={prompts}",)
        return (*changed, *counted)


CASES = (
    Case("bf16", "a30"),
    Case("bf16", "a30", "int8"),
    Case("fp16", "a30"),
    Case("int8_wo", "a30"),
    Case("int4_wo", "a30"),
    Case("int4_awq", "a30"),
    Case("int8_sq", "a30", "fp16"),
    Case("int8_sq", "a30"),
    Case("int8_sq_static", "a30", "fp16"),
    Case("int8_sq_static", "a30"),
    Case("fp8", "l40s", "bf16"),
    Case("fp8", "l40s"),
    Case("w4a8_awq", "l40s", "fp16"),
    Case("w4a8_awq", "l40s"),
)
"""The first is what the others are compared with; one with a full KV cache comes before the same
with a quantised one.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The checkpoint and the articles, as `enginebench run` names them; the recipes, all where none
    is named; the calibration prompts, as many as each recipe says where None.
    """

    model: str
    workload: str
    dataset: str | None
    calibration: str | None
    count: int
    recipes: Sequence[str] = ()
    prompts: int | None = None


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one case gave: its answers in order of the samples, and the seconds of its run."""

    case: Case
    checkpoint: CheckpointManifest
    scores: Accuracy
    answers: tuple[str, ...]
    run_s: float


def measure(choice: Choice, progress: Progress) -> Result:
    """One accuracy run of each case. Raises UnknownName for a recipe that is no case's, RunFailed
    when a run does not complete.
    """
    done: list[_Measured] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for case in _chosen(choice.recipes):
            progress.phase(f"emulation: {case.label} for {case.target}")
            try:
                done.append(_measured(case, choice, Path(name) / f"{len(done)}", progress))
            except EnvironmentFault as fault:
                left_out.append(f"left out: {case.label}: {fault}")
    return Result(
        title=f"Emulated accuracy of GPU recipes ({choice.model}, {choice.count} samples)",
        figures=tuple(_cache_figures(done)),
        tables=(_table(done),) if done else (),
        notes=(
            "quantising: seconds and memory of the process that quantised, as the checkpoint's "
            "manifest has them; run: loading, warm-up, answers and scores",
            *left_out,
        ),
        details={"cases": [_details(item, done[0]) for item in done]},
    )


def _chosen(recipes: Sequence[str]) -> list[Case]:
    """The cases of these recipes, after the first of all."""
    for recipe in recipes:
        if recipe not in {case.recipe for case in CASES}:
            raise UnknownName("recipe", recipe, {case.recipe for case in CASES})
    return [case for case in CASES if not recipes or case.recipe in recipes or case == CASES[0]]


def _measured(case: Case, choice: Choice, folder: Path, progress: Progress) -> _Measured:
    engine = EngineChoice(
        model=choice.model,
        recipe=case.recipe,
        target=case.target,
        calibration=choice.calibration,
        emulate=True,
        set=case.settings(choice.prompts),
    )
    checkpoint = open_quantised(engine.quantise(load_workload(choice.workload), progress)).manifest
    asked = RunChoice(
        scenario="Offline",
        output=folder,
        workload=choice.workload,
        dataset=choice.dataset,
        mode="accuracy",
        count=choice.count,
    )
    request = asked.request(engine, progress)
    started_s = time.perf_counter()
    run = execute(request, progress)
    run_s = time.perf_counter() - started_s
    if run.record.accuracy is None:
        raise RunFailed(f"The run of {case.label} is {run.record.status}: {run.record.cause}")
    lines = run.folder.answers.read_text("utf-8").splitlines()
    answers = tuple(str(json.loads(line)["answer"]) for line in lines)
    return _Measured(case, checkpoint, run.record.accuracy.scores, answers, run_s)


def _cache_figures(done: Sequence[_Measured]) -> list[Figure]:
    """What a quantised KV cache does to each recipe that was also run with a full one."""
    found = []
    for full, quantised in itertools.pairwise(done):
        if full.case.recipe == quantised.case.recipe:
            gained = quantised.scores.rouge1 - full.scores.rouge1
            name = f"{full.case.recipe}: {_cache(quantised)} KV - {_cache(full)} KV"
            found.append(Figure(name, "ROUGE-1", (gained,), at_least=KV_GOAL))
    return found


def _table(done: Sequence[_Measured]) -> Table:
    first = done[0]
    return Table(
        "Accuracy and cost",
        (
            "recipe",
            "for",
            "KV cache",
            "ROUGE-1",
            "ROUGE-L",
            f"answers as {first.case.label}",
            "prompts",
            "quantising, s",
            "peak, MB",
            "run, s",
        ),
        tuple(
            (
                item.case.recipe,
                item.case.target,
                _cache(item),
                f"{item.scores.rouge1:.2f}",
                f"{item.scores.rougeL:.2f}",
                f"{_same(item, first)}/{len(item.answers)}",
                str(_num_prompts(item)),
                f"{item.checkpoint.build.duration_s:.1f}",
                f"{item.checkpoint.peak_host_bytes / 1e6:,.0f}",
                f"{item.run_s:.1f}",
            )
            for item in done
        ),
    )


def _details(item: _Measured, first: _Measured) -> dict[str, object]:
    return {
        "recipe": item.case.recipe,
        "target": item.case.target,
        "kv_cache": _cache(item),
        "scores": asdict(item.scores),
        "same_answers": _same(item, first),
        "num_prompts": _num_prompts(item),
        "quantising_s": item.checkpoint.build.duration_s,
        "peak_host_bytes": item.checkpoint.peak_host_bytes,
        "libraries": item.checkpoint.libraries,
        "run_s": item.run_s,
    }


def _cache(item: _Measured) -> str:
    return item.checkpoint.identity.recipe.kv_cache


def _same(item: _Measured, first: _Measured) -> int:
    return sum(ours == theirs for ours, theirs in zip(item.answers, first.answers, strict=True))


def _num_prompts(item: _Measured) -> int:
    return item.checkpoint.calibration.num_prompts if item.checkpoint.calibration else 0
