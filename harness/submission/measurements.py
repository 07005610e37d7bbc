"""What was done to the weights: measurements.json and the calibration description, from the
engine's manifest and from whether its weights are the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_METHODS = {
    "none": "left as they are in the checkpoint",
    "round_to_nearest": "quantised by rounding to the nearest value",
    "smoothquant": "quantised by SmoothQuant, which moves the range of activations into weights",
    "awq": "quantised by AWQ, which scales weight channels by how strongly they are used",
    "max": "quantised with scales from the largest absolute value",
}
_TAKEN = "the checkpoint was taken as it was given"


def measurements(manifest: Mapping[str, Any], reference: str | None) -> dict[str, str]:
    """The fields of measurements.json for an engine.

    `reference` is the benchmark's model when the engine was built from its very weights; of any
    others nobody here knows how they were trained.
    """
    identity, model = manifest["identity"], manifest["model"]
    return {
        "input_data_types": "int32",  # token ids
        "retraining": "No" if reference else f"none by the build; {_TAKEN}",
        "starting_weights_filename": f"{', '.join(sorted(model['weights']))} of "
        f"{reference or model['name']} (checkpoint sha256 {identity['checkpoint']})",
        "weight_data_types": ", ".join(manifest["weights"]["types"]),
        "weight_transformations": _method(manifest),
    }


def calibration_description(manifest: Mapping[str, Any], reference: str | None) -> str:
    """The calibration document, in Markdown; `reference` as in `measurements`."""
    identity, recipe = manifest["identity"], manifest["identity"]["recipe"]
    precision = manifest["precision"]
    lines = [
        f"# Quantisation of {manifest['model']['name']}, recipe {recipe['name']}",
        "",
        f"- Weights: {', '.join(manifest['weights']['types'])}, {_method(manifest)}.",
        f"- Activations: {recipe['activations']}; KV cache: {recipe['kv_cache']}.",
        f"- As executed: weights {precision.get('weights')}; activations "
        f"{precision.get('activations')}; KV cache {precision.get('kv_cache')}.",
    ]
    if precision.get("note"):
        lines.append(f"- Note: {precision['note']}")
    lines.append(f"- {_calibration(manifest)}")
    libraries = ", ".join(
        f"{name} {version}" for name, version in identity["backend"]["libraries"].items()
    )
    lines += [
        f"- Starting weights: {f'those of {reference}, by sha256' if reference else _TAKEN}. The "
        "build retrained no weight, and pruned none that is not zero.",
        f"- Made with {identity['backend']['name']} ({libraries}).",
        f"- Checkpoint digest (sha256): {identity['checkpoint']}.",
        f"- Engine key (sha256 of all of this): {manifest['key']}.",
        "",
    ]
    return "\n".join(lines)


def _method(manifest: Mapping[str, Any]) -> str:
    recipe, group = manifest["identity"]["recipe"], manifest["weights"]["group_size"]
    text = _METHODS.get(recipe["algorithm"]) or str(recipe["algorithm"])
    if recipe["algorithm"] == "none":
        return text
    span = f"group of {group} weights" if group else "output channel"
    if group and "int8" in manifest["weights"]["types"]:
        span += " (of the int8 embedding and head: for each row)"
    kind = "symmetric" if recipe["symmetric"] else "asymmetric"
    return f"{text}, with a {kind} scale for each {span}; no retraining"


def _calibration(manifest: Mapping[str, Any]) -> str:
    identity, seen = manifest["identity"]["calibration"], manifest["calibration"]
    if seen is None:
        return "No calibration data was used."
    official = identity["official"]
    which = "the benchmark's calibration set" if official else "data of the submitter's own"
    given = manifest["identity"]["recipe"]["calibration_samples"]
    return (
        f"Calibrated on the first {seen['num_prompts']} prompts of {seen['name']}, {which}; sha256 "
        f"of the token ids of its first {given} prompts: {identity['digest']}."
    )
