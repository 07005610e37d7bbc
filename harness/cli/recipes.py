"""`enginebench recipes`."""

from __future__ import annotations

from harness.cli.here import TRIED, next_with_cpu
from harness.cli.output import Output


def recipes(*, target: str | None = None, json: bool = False) -> None:
    """List the quantisation recipes, and where each can run.

    Parameters
    ----------
    target
        Say for this target which recipes it refuses, and why.
    json
        Write the recipes to standard output as JSON.
    """
    from build_engine.recipe import load_recipe, recipe_names, refusal
    from build_engine.target import load_target, target_names

    out = Output(as_json=json)
    found = [load_recipe(name) for name in recipe_names()]
    chosen = [load_target(name) for name in ([target] if target else target_names())]
    refusals = {
        recipe.name: {t.name: reason for t in chosen if (reason := refusal(recipe, t))}
        for recipe in found
    }
    rows = []
    for recipe in found:
        supported = [t.name for t in chosen if t.name not in refusals[recipe.name]]
        rows.append(
            [
                recipe.name,
                recipe.weights,
                recipe.activations,
                recipe.kv_cache,
                recipe.algorithm,
                str(recipe.calibration_samples or "-"),
                ", ".join(supported) or "-",
            ]
        )
    columns = [
        "recipe",
        "weights",
        "computes\nin",
        "KV\ncache",
        "algorithm",
        "prompts",
        "runs on",
    ]
    out.table(columns, rows)
    if target:
        for recipe in found:
            for reason in refusals[recipe.name].values():
                out.say(reason)
    out.result(
        [{**recipe.model_dump(), "refused": refusals[recipe.name]} for recipe in found],
    )
    if target in (None, "cpu"):
        next_with_cpu(out, "build", "--target", "cpu", *TRIED)
    else:
        out.next("doctor")  # it says whether this machine builds for that target
