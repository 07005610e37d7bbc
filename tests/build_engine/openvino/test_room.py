"""What a CPU engine needs of memory and disk is asked for before it is built or loaded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from build_engine.checkpoint.known import resolve_architecture
from build_engine.errors import EnvironmentFault
from build_engine.openvino.plan import planned
from build_engine.openvino.room import require_build, require_loading, require_request
from build_engine.openvino.sizes import file_bytes, request_bytes
from build_engine.planned import PlannedBuild
from build_engine.recipe import load_recipe
from build_engine.sized import SizeReasons
from build_engine.store.limits import EngineLimits
from build_engine.store.spec import EngineSpec
from tests.build_engine.specs import make_checkpoint, tiny_spec

LLAMA = resolve_architecture("llama3.1-8b").config
LIMITS = EngineLimits(max_input_len=2540, max_seq_len=2668)
WEIGHTS = 8 * 10**9


def have(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A machine with so much memory to spare, and no container's limit."""
    monkeypatch.setattr("build_engine.free_memory._GROUPS", ())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))


def llama_spec(folder: Path, recipe: str) -> EngineSpec:
    checkpoint = replace(make_checkpoint(folder), config=LLAMA)
    spec = tiny_spec(folder)
    return replace(spec, checkpoint=checkpoint, recipe=load_recipe(recipe), limits=LIMITS)


def test_one_request_needs_room_beside_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    least = WEIGHTS + int(request_bytes(LLAMA, LIMITS) / 0.6)
    have(monkeypatch, least)
    require_request(LLAMA, LIMITS, WEIGHTS, "this engine")
    have(monkeypatch, least - 1)
    with pytest.raises(EnvironmentFault, match=r"8\.0 GB of weights, and 7\d\d\.\d MB of KV"):
        require_request(LLAMA, LIMITS, WEIGHTS, "this engine")


def test_the_prompts_that_would_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, WEIGHTS + 10**9)
    with pytest.raises(EnvironmentFault) as caught:
        require_request(LLAMA, LIMITS, WEIGHTS, "this engine")
    assert caught.value.exit_code == 3
    found = re.search(r"lower --max-input-len by ([\d,]+) to (\d+)\)", str(caught.value))
    assert found is not None
    prompt = int(found[2])
    assert LIMITS.max_input_len - prompt == int(found[1].replace(",", ""))
    require_request(
        LLAMA, EngineLimits(max_input_len=prompt, max_seq_len=prompt + 128), WEIGHTS, "this engine"
    )


def test_weights_that_do_not_fit_need_a_smaller_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have(monkeypatch, WEIGHTS)
    with pytest.raises(EnvironmentFault, match="a smaller checkpoint or by a recipe with smaller"):
        require_request(LLAMA, LIMITS, WEIGHTS, "this engine")


@pytest.mark.parametrize(
    ("precision", "compute", "share"),
    [("bf16", "bf16", 3), ("bf16", "f32", 2), ("int8", "bf16", 1), ("int4", "f32", 1)],
)
def test_weights_in_16_bits_are_widened_while_they_are_loaded(
    monkeypatch: pytest.MonkeyPatch, precision: str, compute: str, share: int
) -> None:
    have(monkeypatch, share * WEIGHTS)
    require_loading(WEIGHTS, precision, compute, "this engine")
    have(monkeypatch, share * WEIGHTS - 1)
    with pytest.raises(EnvironmentFault, match="loading this engine takes"):
        require_loading(WEIGHTS, precision, compute, "this engine")


@pytest.mark.parametrize("recipe", ["bf16", "int8_wo", "int8_sq", "int4_awq"])
def test_a_build_is_refused_before_it_takes_the_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recipe: str
) -> None:
    have(monkeypatch, 10**9)
    with pytest.raises(EnvironmentFault, match=f"building `{recipe}` of this checkpoint takes"):
        require_build(llama_spec(tmp_path, recipe), tmp_path)
    have(monkeypatch, 10**12)
    require_build(llama_spec(tmp_path, recipe), tmp_path)


def test_a_full_disk_is_known_before_the_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    have(monkeypatch, 10**12)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**20))
    with pytest.raises(EnvironmentFault, match=r"1\.0 MB of disk is free .* this engine needs"):
        require_build(llama_spec(tmp_path, "int8_wo"), tmp_path)


def test_files_keep_in_16_bits_what_is_not_quantised() -> None:
    plain, small = (file_bytes(LLAMA, load_recipe(name)) for name in ("bf16", "int8_wo"))
    assert plain == pytest.approx(2 * 8.03e9, rel=0.01)
    assert small == pytest.approx(8.03e9, rel=0.01)


def told(plan: PlannedBuild) -> dict[str, tuple[str, str]]:
    settings = (*plan.settings, *plan.execution)
    return {item.flag: (item.value, item.reason) for item in settings}


def test_the_plan_says_what_the_cache_would_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec, why = llama_spec(tmp_path, "int8_wo"), SizeReasons(max_input_len="as a workload asks")
    have(monkeypatch, 10**12)
    plan = planned(spec, why)
    assert plan.command == []
    found = told(plan)
    assert found["max_input_len"] == ("2540", "the longest prompt, as a workload asks")
    assert found["KV cache"][1].startswith("all 64 requests at their greatest length")
    assert all(reason for _, reason in found.values())
    have(monkeypatch, file_bytes(LLAMA, spec.recipe) + 10 * request_bytes(LLAMA, LIMITS))
    assert told(planned(spec, why))["KV cache"][1].startswith("6 of 64 requests")
    have(monkeypatch, 10**9)
    assert told(planned(spec, why))["KV cache"][1].startswith("0 of 64 requests")
