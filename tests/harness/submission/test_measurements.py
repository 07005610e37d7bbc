"""The documents of a submission say what was done, not what the recipe asked for."""

from __future__ import annotations

from build_engine.store.manifest import (
    CalibrationIdentity,
    CalibrationRecord,
    EngineManifest,
    WeightsRecord,
)
from harness.submission.measurements import calibration_description, measurements
from tests.build_engine.manifests import resealed
from tests.harness.submission.finished_runs import engine_manifest


def awq_manifest(*, official: bool) -> EngineManifest:
    """INT4 AWQ whose groups had to be halved and whose calibration stopped at 38 prompts."""
    looked_at = CalibrationIdentity(digest="d" * 64, official=official)
    manifest = resealed(engine_manifest("int4_awq"), calibration=looked_at)
    return manifest.model_copy(
        update={
            "calibration": CalibrationRecord(name="news.jsonl", options=(), num_prompts=38),
            "weights": WeightsRecord(types=("int4", "int8"), group_size=64),
        }
    )


def test_groups_types_and_prompts_are_those_of_the_engine() -> None:
    manifest = awq_manifest(official=False)
    fields = measurements(manifest, None)
    assert fields["weight_data_types"] == "int4, int8"
    assert "a symmetric scale for each group of 64 weights" in fields["weight_transformations"]
    assert "(of the int8 embedding and head: for each row)" in fields["weight_transformations"]
    document = calibration_description(manifest, None)
    assert "Calibrated on the first 38 prompts of news.jsonl, data of the submitter's" in document
    assert f"of its first 32 prompts: {'d' * 64}" in document


def test_the_official_calibration_set_is_named() -> None:
    document = calibration_description(awq_manifest(official=True), None)
    assert "of news.jsonl, the benchmark's calibration set" in document


def test_whole_channels_have_one_scale() -> None:
    fields = measurements(engine_manifest(), None)
    assert fields["weight_data_types"] == "int8"
    assert "for each output channel; no retraining" in fields["weight_transformations"]


def test_only_the_references_own_weights_are_called_not_retrained() -> None:
    manifest = engine_manifest()
    known = measurements(manifest, "meta-llama/Llama-3.1-8B-Instruct")
    assert known["retraining"] == "No"
    assert "model-00001-of-00004.safetensors" in known["starting_weights_filename"]
    assert "of meta-llama/Llama-3.1-8B-Instruct (" in known["starting_weights_filename"]
    document = calibration_description(manifest, "meta-llama/Llama-3.1-8B-Instruct")
    assert "Starting weights: those of meta-llama/Llama-3.1-8B-Instruct, by sha256." in document

    unknown = measurements(manifest, None)
    assert unknown["retraining"] == "none by the build; the checkpoint was taken as it was given"
    assert "Starting weights: the checkpoint was taken as it was given." in calibration_description(
        manifest, None
    )
