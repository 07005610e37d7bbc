"""What a program does with engines and runs: it fills the same choices as the command line, and
calls the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.progress import Progress
    from harness.runs.engine_choice import EngineChoice
    from harness.runs.run import Run


def build(
    model: str | Path,
    recipe: str,
    target: str = "cpu",
    *,
    workload: str = "newsbrief",
    calibration: str | Path | None = None,
    max_batch_size: int | None = None,
    max_input_len: int | None = None,
    max_new_tokens: int | None = None,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> Engine:
    """The engine of a checkpoint: found in the store, or built now and stored.

        engine = enginebench.build("newsbrief", "int4_wo", settings=["group_size=32"])

    `model` is a Hugging Face folder, a hub id (org/name) or `newsbrief`; `recipe`, `target` and
    `workload` are names that `enginebench recipes` and its like list, or .yaml files. The engine is
    built for the workload's lengths, in tokens, unless they are given. `calibration` holds articles
    for recipes that are calibrated, invented news when None. `settings` change fields of the
    recipe. `progress` shows the steps; nobody sees them when it is None.

    Raises UsageError for what cannot be built as asked (UnknownName, ConfigError, CheckpointError,
    DatasetError, RecipeRefused), EnvironmentFault for what the machine lacks.
    """
    from harness.progress import NullProgress
    from harness.rules.workload import load_workload
    from harness.runs.engine_choice import EngineChoice

    choice = EngineChoice(
        model=str(model),
        recipe=recipe,
        target=target,
        calibration=None if calibration is None else str(calibration),
        max_batch_size=max_batch_size,
        max_input_len=max_input_len,
        max_new_tokens=max_new_tokens,
        set=tuple(settings),
    )
    progress = progress or NullProgress()
    try:
        return choice.build(load_workload(workload), progress)
    finally:
        progress.close()


def run(
    engine: Engine | str | Path,
    scenario: str,
    *,
    output: str | Path | None = None,
    recipe: str | None = None,
    target: str | None = None,
    workload: str = "newsbrief",
    dataset: str | Path | None = None,
    mode: str = "both",
    count: int | None = None,
    qps: float | None = None,
    duration_s: float | None = None,
    repeat: int = 1,
    round: str | None = None,
    simulate: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Measure an engine with MLPerf LoadGen, in a process of its own; the run that has ended.

        run = enginebench.run("newsbrief", "Server", recipe="int8_wo", output="results/server",
                              qps=20.0, count=100)

    `engine` is what `build` gave, or a model, which is then built by `recipe` for `target` (the CPU
    when None). `scenario` is Offline, Server, Interactive or SingleStream, `mode` performance,
    accuracy or both; `output` must be new or empty, and is a new folder in `results` when None.
    `count` makes a short trial of the first samples, `duration_s` sets the seconds of a performance
    test, `qps` the queries a second; `repeat` runs that test so many times.
    `dataset` and `round` are those of the workload and the newest round when None. With `simulate`
    a time model of the planned engine answers, and nothing is built: a rehearsal, never a result,
    of prompts whose lengths are drawn when there is no `dataset`.

    A run that was interrupted, failed or is INVALID is returned as well: its `exit_code` says so,
    as the command line would. Raises UsageError and EnvironmentFault for what is wrong before
    LoadGen begins.
    """
    from build_engine.errors import UsageError
    from build_engine.store.engine import Engine
    from harness.progress import NullProgress
    from harness.rules.rounds import DEFAULT
    from harness.runs.choice import RunChoice
    from harness.runs.execution import execute
    from harness.simulation.choice import SimulatedChoice

    choice = RunChoice(
        scenario=scenario,
        output=None if output is None else Path(output),
        workload=workload,
        dataset=None if dataset is None else str(dataset),
        mode=mode,
        count=count,
        qps=qps,
        duration_s=duration_s,
        repeat=repeat,
        round=round or DEFAULT,
    )
    progress = progress or NullProgress()
    try:
        if isinstance(engine, Engine):
            _refuse_both(recipe, target)
            if simulate:
                raise UsageError("An engine that is there is measured; give the model instead.")
            request = choice.request_for(engine, progress)
        elif simulate:
            request = SimulatedChoice(_named(str(engine), recipe, target), choice).request(progress)
        else:
            request = choice.request(_named(str(engine), recipe, target), progress)
        return execute(request, progress)
    finally:
        progress.close()


def load_run(folder: str | Path) -> Run:
    """The run in a folder, as its record says it is.

        run = enginebench.load_run("results/first")

    Raises UsageError for a folder that holds no run, or one that this version cannot read.
    """
    from harness.runs.run import Run

    return Run.read(Path(folder).absolute())


def _named(model: str, recipe: str | None, target: str | None) -> EngineChoice:
    from build_engine.errors import UsageError
    from harness.runs.engine_choice import EngineChoice

    if recipe is None:
        raise UsageError(f"The model `{model}` needs a recipe to be run by; give recipe=.")
    return EngineChoice(model=model, recipe=recipe, target=target or "cpu")


def _refuse_both(recipe: str | None, target: str | None) -> None:
    from build_engine.errors import UsageError

    for name, value in (("recipe", recipe), ("target", target)):
        if value is not None:
            raise UsageError(f"An engine has its {name}; leave out {name}=, or give the model.")
