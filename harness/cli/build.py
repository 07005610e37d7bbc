"""`enginebench build`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError
from harness.cli.output import Output

if TYPE_CHECKING:
    from build_engine.store.manifest import Precision


def build(
    *,
    model: str,
    target: str = "cpu",
    recipe: str,
    calibration: str | None = None,
    workload: str = "newsbrief",
    max_batch_size: int | None = None,
    max_input_len: int | None = None,
    set: list[str] | None = None,
    json: bool = False,
) -> None:
    """Build an engine from a checkpoint, once; a built one is found at once.

    Parameters
    ----------
    model
        A checkpoint: a Hugging Face folder, a hub id (org/name), or `newsbrief`.
    target
        What the engine is for; see `enginebench targets`.
    recipe
        How it is quantised; see `enginebench recipes`.
    calibration
        Articles for recipes that are calibrated: a .jsonl or the official calibration file;
        invented news when left out.
    workload
        Whose prompt the calibration articles are put in; no matter to other recipes.
    max_batch_size
        Requests in flight at once.
    max_input_len
        Tokens of the longest prompt.
    set
        Change a field of the recipe: `--set recipe.group_size=64`.
    json
        Write the engine's manifest to standard output.
    """
    from harness.progress import make_progress
    from harness.rules.workload import load_workload
    from harness.runs.choice import split_settings
    from harness.runs.engine_choice import EngineChoice

    out = Output(as_json=json)
    recipe_settings, workload_settings = split_settings(set or ())
    if workload_settings:
        raise ConfigError(
            f"`--set workload.{workload_settings[0]}` is for `enginebench run`; an engine does not "
            "depend on it, so leave it out."
        )
    choice = EngineChoice(
        model=model,
        target=target,
        recipe=recipe,
        calibration=calibration,
        max_batch_size=max_batch_size,
        max_input_len=max_input_len,
        overrides=recipe_settings,
    )
    rules = load_workload(workload)
    progress = make_progress()
    try:
        engine = choice.build(rules, progress)
    finally:
        progress.close()
    built = engine.manifest.build
    out.say(f"{engine.folder}")
    out.say(
        f"{engine.size_bytes / 1e6:,.1f} MB; {_precision(engine.manifest.precision)}; built in "
        f"{built.duration_s:.1f} s on {built.host}"
    )
    out.result({"folder": str(engine.folder), **engine.manifest.to_json()})
    trial = ["--workload", workload, "--scenario", "Offline", "--count", "200"]
    words = ["enginebench", "run", *choice.options, *trial, "--output", "results/first"]
    out.next(shlex.join(words))


def _precision(precision: Precision) -> str:
    return (
        f"weights {precision.weights}, activations {precision.activations}, "
        f"kv cache {precision.kv_cache}"
    )
