"""What was done to the weights: measurements.json and the calibration description, from the
engine's manifest and from whether its weights are the reference's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.backend import backend

if TYPE_CHECKING:
    from build_engine.store.manifest import EngineManifest

_METHODS = {
    "none": "left as they are in the checkpoint",
    "round_to_nearest": "quantised by rounding to the nearest value",
    "smoothquant": "quantised by SmoothQuant, which moves the range of activations into weights",
    "awq": "quantised by AWQ, which scales weight channels by how strongly they are used",
    "max": "quantised with scales from the largest absolute value",
}
_TAKEN = "the checkpoint was taken as it was given"


def measurements(manifest: EngineManifest, reference: str | None) -> dict[str, str]:
    """The fields of measurements.json for an engine, by MLPerf's names.

    `reference` is the benchmark's model when the engine was built from its very weights; of any
    others nobody here knows how they were trained.
    """
    model = manifest.model
    return {
        "input_data_types": "int32",  # token ids
        "retraining": "No" if reference else f"none by the build; {_TAKEN}",
        "starting_weights_filename": f"{', '.join(sorted(model.weights))} of "
        f"{reference or model.name} (checkpoint sha256 {manifest.identity.checkpoint})",
        "weight_data_types": ", ".join(manifest.weights.types),
        "weight_transformations": _method(manifest),
    }


def calibration_description(manifest: EngineManifest, reference: str | None) -> str:
    """The calibration document, in Markdown; `reference` as in `measurements`."""
    identity, recipe, precision = manifest.identity, manifest.identity.recipe, manifest.precision
    lines = [
        f"# Quantisation of {manifest.model.name}, recipe {recipe.name}",
        "",
        f"- Weights: {', '.join(manifest.weights.types)}, {_method(manifest)}.",
        f"- Activations: {recipe.activations}; KV cache: {recipe.kv_cache}.",
        f"- As executed: weights {precision.weights}; activations {precision.activations}; "
        f"KV cache {precision.kv_cache}.",
    ]
    if precision.note:
        lines.append(f"- Note: {precision.note}")
    lines.append(f"- {_calibration(manifest)}")
    made_with = identity.backend
    libraries = ", ".join(f"{name} {version}" for name, version in made_with.libraries.items())
    lines += [
        f"- Starting weights: {f'those of {reference}, by sha256' if reference else _TAKEN}. The "
        "build retrained no weight, and pruned none that is not zero.",
        f"- Made with {backend(made_with.name).framework} ({libraries}).",
        f"- Checkpoint digest (sha256): {identity.checkpoint}.",
        f"- Engine key (sha256 of all of this): {manifest.key}.",
        "",
    ]
    return "\n".join(lines)


def _method(manifest: EngineManifest) -> str:
    recipe, group = manifest.identity.recipe, manifest.weights.group_size
    text = _METHODS[recipe.algorithm]
    if recipe.algorithm == "none":
        return text
    span = f"group of {group} weights" if group else "output channel"
    if group and "int8" in manifest.weights.types:
        span += " (of the int8 embedding and head: for each row)"
    kind = "symmetric" if recipe.symmetric else "asymmetric"
    return f"{text}, with a {kind} scale for each {span}; no retraining"


def _calibration(manifest: EngineManifest) -> str:
    identity, seen = manifest.identity.calibration, manifest.calibration
    if seen is None or identity is None:
        return "No calibration data was used."
    which = (
        "the benchmark's calibration set" if identity.official else "data of the submitter's own"
    )
    given = manifest.identity.recipe.calibration_samples
    return (
        f"Calibrated on the first {seen.num_prompts} prompts of {seen.name}, {which}; sha256 "
        f"of the token ids of its first {given} prompts: {identity.digest}."
    )
