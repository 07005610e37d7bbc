"""Each recipe becomes an engine that generates, whose manifest facts are true of its files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from build_engine.calibration import CalibrationSet, calibration_set
from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.errors import OutputError, RecipeRefused
from build_engine.openvino import samples
from build_engine.openvino.compile import compile_engine, runtime_properties
from build_engine.recipe import Recipe, load_recipe
from build_engine.store.limits import EngineLimits
from build_engine.store.spec import BuildFacts, EngineSpec
from build_engine.target import load_target
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.generation import engine_logits, generate

PROMPTS = [[5, 17, 80, 3, 44], [61, 9, 23]]
NUM_LINEARS = 10  # two layers of five: query, key and value are one product


@dataclass
class Heard:
    """A listener that remembers."""

    phases: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


def prompts(count: int, length: int = 12) -> CalibrationSet:
    rng = np.random.default_rng(3)
    return calibration_set("random", [rng.integers(3, 96, length, np.int32) for _ in range(count)])


def make(
    tmp_path: Path, recipe: Recipe, compute: str = "f32", **checkpoint: Any
) -> tuple[Path, BuildFacts, Heard]:
    source = open_checkpoint(write_checkpoint(tmp_path / "checkpoint", **checkpoint))
    calibration = prompts(recipe.calibration_samples) if recipe.calibration_samples else None
    limits = EngineLimits(max_input_len=64, max_seq_len=128)
    spec = EngineSpec(source, load_target("cpu"), recipe, limits, calibration, compute)
    folder = tmp_path / "engine"
    folder.mkdir()
    heard = Heard()
    return folder, compile_engine(spec, folder, heard), heard


def recipe(name: str, **changes: Any) -> Recipe:
    return Recipe.model_validate(load_recipe(name).model_dump() | changes)


def weight_types(folder: Path) -> Counter[str]:
    """Element types of the matrices (two or more axes, a hundred or more values) in an engine."""
    model = ov.Core().read_model(folder / "openvino_model.xml")
    constants = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    matrices = [c for c in constants if len(c.shape) > 1 and np.prod(c.shape) >= 1024]
    return Counter(c.get_element_type().get_type_name() for c in matrices)


def likeness(one: Path, two: Path) -> float:
    """Correlation of the logits of two engines; 1 when they are the same."""
    logits = np.stack([engine_logits(folder, PROMPTS[0]).ravel() for folder in (one, two)])
    return float(np.asarray(np.corrcoef(logits))[0, 1])


def test_bf16_keeps_the_checkpoint(tmp_path: Path) -> None:
    folder, facts, heard = make(tmp_path, recipe("bf16"), dtype="BF16")
    assert weight_types(folder) == {"bf16": NUM_LINEARS + 1}
    assert facts.precision.weights == "bfloat16, as in the checkpoint"
    assert facts.weight_types == ("bfloat16",)
    assert facts.precision.kv_cache == facts.precision.activations == "float32"
    assert heard == Heard(phases=["network", "files"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "generation_config.json",
        "openvino_model.bin",
        "openvino_model.xml",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert all(len(answer) == 6 for answer in generate(folder, PROMPTS, 6))


def test_the_type_of_the_weights_is_that_of_the_tensors(tmp_path: Path) -> None:
    _, facts, _ = make(tmp_path, recipe("bf16"), dtype="F16", config={"torch_dtype": "float32"})
    assert facts.precision.weights == "float16, as in the checkpoint"


@pytest.mark.parametrize(
    ("kv_cache", "told"),
    [("bf16", "products and the KV cache are float32."), ("int8", "products are float32.")],
)
def test_the_note_agrees_with_the_kv_cache(tmp_path: Path, kv_cache: str, told: str) -> None:
    _, facts, _ = make(tmp_path, recipe("bf16", kv_cache=kv_cache))
    assert facts.precision.note.endswith(told)
    assert (facts.precision.kv_cache == "float32") == (kv_cache == "bf16")


@pytest.mark.parametrize("symmetric", [True, False])
def test_int8_weight_only(tmp_path: Path, symmetric: bool) -> None:
    folder, facts, heard = make(tmp_path, recipe("int8_wo", symmetric=symmetric))
    assert weight_types(folder) == {"i8" if symmetric else "u8": NUM_LINEARS + 1}
    form = "symmetric" if symmetric else "asymmetric"
    assert facts.precision.weights == f"int8, {form}, one scale per output channel"
    assert heard == Heard(phases=["network", "quantisation", "files"])
    assert likeness(folder, make(tmp_path / "full", recipe("bf16"))[0]) > 0.999
    answers = generate(folder, PROMPTS, 6, properties=dict(facts.runtime))
    assert all(len(answer) == 6 for answer in answers)


@pytest.mark.usefixtures("int8_arithmetic")
@pytest.mark.parametrize("compute", ["f32", "bf16"])
def test_int8_smoothquant(tmp_path: Path, compute: str) -> None:
    asked = recipe("int8_sq", calibration_samples=4)
    folder, facts, heard = make(tmp_path, asked, compute, dtype="BF16")
    assert weight_types(folder) == {"i8": NUM_LINEARS + 1}
    assert facts.precision.weights == (
        "int8, symmetric, one scale per output channel, smoothed (alpha 0.5)"
    )
    assert facts.precision.activations == (
        "int8, one scale per token and 64 channels; attention "
        + {"f32": "float32", "bf16": "bfloat16"}[compute]
    )
    assert (facts.precision.kv_cache, facts.num_prompts) == ("int8", 4)
    assert facts.runtime["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == "64"
    assert heard.phases == ["network", "quantisation", "files"]
    assert "the last of 4 calibration prompts" in heard.notes[-1]
    full = make(tmp_path / "full", recipe("bf16"), dtype="BF16")[0]
    assert likeness(folder, full) > 0.99
    answers = generate(folder, PROMPTS, 6, properties=dict(facts.runtime))
    assert all(len(answer) == 6 for answer in answers)


@pytest.mark.parametrize(("tied", "dtype"), [(True, "BF16"), (False, "F16")])
def test_int4_weight_only(tmp_path: Path, tied: bool, dtype: str) -> None:
    folder, facts, _ = make(tmp_path, recipe("int4_wo"), tied=tied, dtype=dtype)
    assert weight_types(folder) == {"i4": NUM_LINEARS, "i8": 1 if tied else 2}
    # 64 is the hidden size: groups of 128 do not divide it.
    assert facts.precision.weights == (
        "int4, symmetric, groups of 64; embedding and head int8, symmetric"
    )
    assert "Groups of 64 instead of 128" in facts.precision.note
    assert (facts.group_size, facts.weight_types) == (64, ("int4", "int8"))
    full = make(tmp_path / "full", recipe("bf16"), tied=tied, dtype=dtype)[0]
    assert 0.95 < likeness(folder, full) < 0.9999
    assert all(len(answer) == 6 for answer in generate(folder, PROMPTS, 6))


def test_int4_awq_uses_the_calibration_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"hidden_size": 128, "head_dim": 32, "std": 0.3}
    monkeypatch.setattr(samples, "_TELL_EVERY_S", 0.0)
    awq = recipe("int4_awq", calibration_samples=4)
    folder, facts, heard = make(tmp_path, awq, **changes)
    assert [note.partition(" calibration")[0] for note in heard.notes] == [
        *(f"{done} of 4" for done in (1, 2, 3)),
        "the last of 4",
    ]
    plain = make(tmp_path / "plain", recipe("int4_wo"), **changes)[0]
    assert weight_types(folder) == weight_types(plain)
    full = make(tmp_path / "full", recipe("bf16"), **changes)[0]
    assert likeness(folder, full) > likeness(plain, full)
    assert (folder / "openvino_model.bin").read_bytes() != (
        plain / "openvino_model.bin"
    ).read_bytes()
    assert "groups of 128;" in facts.precision.weights
    assert "AWQ looked at 4 calibration prompts" in facts.precision.note
    assert capsys.readouterr() == ("", "")


def test_awq_stops_at_the_token_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_CALIBRATION_TOKENS", 30)
    _, facts, _ = make(tmp_path, recipe("int4_awq", calibration_samples=4))
    assert "AWQ looked at 2 calibration prompts" in facts.precision.note
    assert facts.num_prompts == 2


@pytest.mark.usefixtures("int8_arithmetic")
@pytest.mark.parametrize("name", ["bf16", "int4_awq", "int8_sq"])
def test_equal_input_gives_equal_weights(tmp_path: Path, name: str) -> None:
    changes = {} if name == "bf16" else {"calibration_samples": 2}
    folders = [make(tmp_path / part, recipe(name, **changes))[0] for part in ("one", "two")]
    one, two = ((folder / "openvino_model.bin").read_bytes() for folder in folders)
    assert one == two


def test_int4_without_a_fitting_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeRefused, match=r"hidden_size 48.*use `int8_wo`"):
        make(tmp_path, recipe("int4_wo"), hidden_size=48, head_dim=12)


def test_nncf_warnings_become_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nncf = pytest.importorskip("nncf")
    compress = nncf.compress_weights

    def warn(*args: Any, **options: Any) -> Any:
        nncf.nncf_logger.info("unimportant")
        nncf.nncf_logger.warning("look at %s", "this")
        return compress(*args, **options)

    monkeypatch.setattr(nncf, "compress_weights", warn)
    _, _, heard = make(tmp_path, recipe("int8_wo"))
    assert heard.notes == ["NNCF: look at this"]


def test_properties_follow_compute_and_kv_cache() -> None:
    assert runtime_properties("bf16", "bf16") == {
        "INFERENCE_PRECISION_HINT": "bf16",
        "KV_CACHE_PRECISION": "bf16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    }
    assert runtime_properties("f32", "bf16")["KV_CACHE_PRECISION"] == "f32"
    assert runtime_properties("f32", "int8")["KV_CACHE_PRECISION"] == "u8"


def test_activations_are_rounded_where_a_group_is_given() -> None:
    assert runtime_properties("bf16", "int8", 32)["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == "32"


def test_int8_kv_cache_is_told_and_works(tmp_path: Path) -> None:
    folder, facts, _ = make(tmp_path, recipe("bf16", kv_cache="int8"))
    assert facts.precision.kv_cache == "int8"
    answers = generate(folder, PROMPTS, 6, properties=dict(facts.runtime))
    assert all(len(answer) == 6 for answer in answers)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    source = open_checkpoint(write_checkpoint(tmp_path / "checkpoint"))
    limits = EngineLimits(max_input_len=64, max_seq_len=128)
    spec = EngineSpec(source, load_target("cpu"), load_recipe("bf16"), limits, None, "f32")
    blocked = tmp_path / "a file"
    blocked.touch()
    with pytest.raises(OutputError, match="free disk space or choose another folder"):
        compile_engine(spec, blocked, Heard())
