"""`enginebench recipes`."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cli.here import TRIED, next_with_cpu
from harness.cli.output import Output

_ALGORITHMS = {"none": "-", "round_to_nearest": "rounding"}  # the others by their own names


def recipes(*, target: str | None = None, json: bool = False) -> None:
    """List the quantisation recipes: what is quantised to what, where it helps, what it costs, and
    where it can run.

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
        rows.append(
            [
                recipe.name,
                f"{recipe.weights}/{recipe.group_size}" if recipe.group_size else recipe.weights,
                recipe.activations,
                recipe.kv_cache,
                _ALGORITHMS.get(recipe.algorithm, recipe.algorithm),
                str(recipe.calibration_samples or "-"),
                _places([t.name for t in chosen], refusals[recipe.name]),
            ]
        )
    columns = [
        "recipe",
        "weights",
        "computes\nin",
        "KV\ncache",
        "algorithm",
        "texts",
        "runs on",
    ]
    out.table(columns, rows)
    out.table(
        ["recipe", "helps", "costs"],
        [[recipe.name, recipe.helps, recipe.costs] for recipe in found],
    )
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


def _places(targets: list[str], refusing: Mapping[str, str]) -> str:
    """Where a recipe runs; where most do, those that do not are named."""
    supporting = [target for target in targets if target not in refusing]
    if len(targets) == 1 or not supporting:
        return ", ".join(supporting) or "-"
    return f"not {', '.join(refusing)}" if refusing else "all"
