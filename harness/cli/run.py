"""`enginebench run`."""

from __future__ import annotations

from pathlib import Path

from harness.cli.output import Output


def run(
    *,
    model: str,
    recipe: str,
    scenario: str,
    output: Path,
    target: str = "cpu",
    workload: str = "newsbrief",
    dataset: str | None = None,
    mode: str = "both",
    count: int | None = None,
    qps: float | None = None,
    duration: float | None = None,
    calibration: str | None = None,
    max_batch_size: int | None = None,
    max_input_len: int | None = None,
    round: str = "v6.1",
    set: list[str] | None = None,
    json: bool = False,
) -> int:
    """Benchmark an engine with MLPerf LoadGen; the engine is built first if the store lacks it.

    Parameters
    ----------
    model
        A checkpoint: a Hugging Face folder, a hub id (org/name), or `newsbrief`.
    recipe
        How it is quantised; see `enginebench recipes`.
    scenario
        Offline, Server, Interactive or SingleStream.
    output
        The run's folder; it must be new or empty.
    target
        What the engine runs on; see `enginebench targets`.
    workload
        newsbrief, llama3.1-8b, llama3.1-8b-edge, or a .yaml file.
    dataset
        The official cnn_eval.json, a .jsonl of article/highlights, a folder with a copy of the
        hub's dataset, `cnn_dailymail` to fetch it (the default of an MLPerf workload; needs
        enginebench[hub]), or `newsbrief`.
    mode
        performance, accuracy, or both.
    count
        A short trial over the first COUNT samples, without a minimum duration.
    qps
        Queries a second for Server and Interactive (half of the warm-up's rate when left out); in
        Offline the samples a second that LoadGen shall expect.
    duration
        Minimum seconds of a performance test, instead of the workload's.
    calibration
        Articles for recipes that are calibrated: a .jsonl or the official calibration file;
        invented news when left out.
    max_batch_size
        Requests in flight at once.
    max_input_len
        Tokens of the longest prompt.
    round
        The MLPerf round whose LoadGen and seeds the run must have: v5.1, v6.0 or v6.1.
    set
        Change a field of the recipe or the workload: `--set recipe.group_size=64`,
        `--set workload.max_new_tokens=64`.
    json
        Write run.json to standard output.
    """
    from harness.cli.summary import show_run
    from harness.progress import make_progress
    from harness.runs.choice import RunChoice, split_settings
    from harness.runs.engine_choice import EngineChoice
    from harness.runs.execution import execute

    out = Output(as_json=json)
    recipe_settings, workload_settings = split_settings(set or ())
    choice = RunChoice(
        engine=EngineChoice(
            model=model,
            target=target,
            recipe=recipe,
            calibration=calibration,
            max_batch_size=max_batch_size,
            max_input_len=max_input_len,
            overrides=recipe_settings,
        ),
        workload=workload,
        workload_overrides=workload_settings,
        dataset=dataset,
        scenario=scenario,
        mode=mode,
        count=count,
        qps=qps,
        duration_s=duration,
        output=output,
        round=round,
    )
    progress = make_progress()
    try:
        finished = execute(choice.request(progress), progress)
    finally:
        progress.close()
    show_run(out, finished)
    out.result(finished.content)
    return finished.exit_code
