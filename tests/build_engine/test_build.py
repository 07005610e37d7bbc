"""What is asked for is checked before anything is built, and a stored engine costs no backend."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from build_engine.build import build, make_spec
from build_engine.calibration import CalibrationSet, calibration_set
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.errors import ConfigError, DatasetError, EnvironmentFault, RecipeRefused
from build_engine.progress import BuildProgress, NullProgress, PhaseTimer
from build_engine.recipe import load_recipe
from build_engine.store.limits import EngineLimits
from build_engine.store.spec import BuildFacts, EngineSpec
from build_engine.store.store import EngineStore
from build_engine.target import Detected, load_target
from tests.build_engine.specs import PRECISION, Notes, make_checkpoint

BACKEND = "build_engine.openvino.compile"
CPU = load_target("cpu")
INT8 = load_recipe("int8_wo")
LIMITS = EngineLimits(max_input_len=64, max_seq_len=96)
AWQ = load_recipe("int4_awq").model_copy(update={"calibration_samples": 2})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return make_checkpoint(tmp_path / "tiny")


def prompts(count: int) -> CalibrationSet:
    return calibration_set("test", [np.array([i + 1], np.int32) for i in range(count)])


def test_the_backend_of_the_cpu_builds_once_and_is_not_imported_again(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        built.append(spec.recipe.name)
        (folder / "openvino_model.xml").write_text("<net/>")
        return BuildFacts({}, PRECISION, ("int8",))

    backend = ModuleType(BACKEND)
    monkeypatch.setattr(backend, "compile_engine", compile_engine, raising=False)
    monkeypatch.setitem(sys.modules, BACKEND, backend)
    store, spec = EngineStore(tmp_path / "store"), make_spec(checkpoint, CPU, INT8, LIMITS)
    engine = build(spec, store, NullProgress())
    monkeypatch.setitem(sys.modules, BACKEND, None)  # an import would now raise ImportError
    assert build(spec, store, NullProgress()) == engine
    assert built == ["int8_wo"]


def test_a_gpu_target_says_where_its_engines_are_built(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    spec = make_spec(checkpoint, load_target("a30"), INT8, LIMITS)
    assert spec.compute == "sm_80"
    with pytest.raises(EnvironmentFault, match=r"TensorRT-LLM.*`a30`.*in its container"):
        build(spec, EngineStore(tmp_path / "store"), NullProgress())
    assert not (tmp_path / "store").exists()


def test_the_arithmetic_is_that_of_this_cpu(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "build_engine.openvino.support.detect_cpu_compute",
        lambda: Detected("f32", "the test says so"),
    )
    assert make_spec(checkpoint, CPU, INT8, LIMITS).compute == "f32"


def test_a_recipe_that_the_target_cannot_execute_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(RecipeRefused, match="int8_sq_static"):
        make_spec(checkpoint, CPU, load_recipe("int8_sq_static"), LIMITS)
    with pytest.raises(RecipeRefused, match="fp8"):
        make_spec(checkpoint, load_target("a30"), load_recipe("fp8"), LIMITS)


@pytest.mark.parametrize(
    ("positions", "max_input_len", "max_seq_len"),
    [(131_072, 2540, 2668), (1024, 896, 1024), (200, 100, 200), (64, 32, 64), (2, 1, 2)],
)
def test_limits_are_the_workloads_or_what_the_model_allows(
    positions: int, max_input_len: int, max_seq_len: int
) -> None:
    limits = EngineLimits.for_lengths(2540, 128, positions)
    assert limits == EngineLimits(max_input_len=max_input_len, max_seq_len=max_seq_len)
    assert limits.max_new_tokens == max_seq_len - max_input_len


def test_limits_beyond_the_model_or_the_target_are_refused(checkpoint: Checkpoint) -> None:
    too_long = EngineLimits(max_input_len=64, max_seq_len=1025)
    with pytest.raises(ConfigError, match=r"max_seq_len 1025 .* 1024 positions.*lower it"):
        make_spec(checkpoint, CPU, INT8, too_long)
    split = EngineLimits(max_input_len=64, max_seq_len=96, tensor_parallel=2)
    with pytest.raises(ConfigError, match=r"tensor_parallel is 2.*leave it at 1"):
        make_spec(checkpoint, CPU, INT8, split)
    assert make_spec(checkpoint, load_target("a30"), INT8, split).limits == split


def test_the_key_holds_the_calibration_prompts_that_are_used(checkpoint: Checkpoint) -> None:
    two = make_spec(checkpoint, CPU, AWQ, LIMITS, calibration=prompts(2))
    three = make_spec(checkpoint, CPU, AWQ, LIMITS, calibration=prompts(3))
    assert three.calibration is not None
    assert len(three.calibration.prompts) == 2
    assert three.key == two.key
    without = make_spec(checkpoint, CPU, INT8, LIMITS, calibration=prompts(3))
    assert without.calibration is None
    assert without.key == make_spec(checkpoint, CPU, INT8, LIMITS).key


def test_a_calibrated_recipe_needs_enough_prompts(checkpoint: Checkpoint) -> None:
    with pytest.raises(DatasetError, match="needs 2 calibration prompts and got none"):
        make_spec(checkpoint, CPU, AWQ, LIMITS)
    with pytest.raises(DatasetError, match="has 1 prompts"):
        make_spec(checkpoint, CPU, AWQ, LIMITS, calibration=prompts(1))


def test_phases_are_timed_summed_and_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 6.0, 10.0])
    monkeypatch.setattr("build_engine.progress.time.perf_counter", lambda: next(clock))
    listener = Notes()
    timer = PhaseTimer(listener)
    timer.phase("a")
    timer.note("hello")
    timer.phase("b")
    timer.phase("a")
    assert timer.seconds() == {"a": 6.0, "b": 3.0}
    assert listener.phases == ["a", "b", "a"]
    assert listener.notes == ["hello"]
