"""From the options of a sweep to its engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import (
    ConfigError,
    EnginebenchError,
    RecipeRefused,
    UnknownName,
    UsageError,
)
from build_engine.recipe import load_recipe
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.studies.choice import SweepChoice


def labels(**options: Any) -> list[str]:
    return [each.label for each in SweepChoice(model="newsbrief", **options).wanted_engines]


def test_all_recipes_are_those_that_the_target_executes() -> None:
    found = labels()
    assert {"bf16", "int8_wo", "int4_wo", "int4_awq"} <= set(found)
    assert "fp8" not in found


def test_a_limit_is_told_where_it_tells_engines_apart() -> None:
    assert labels(recipes="bf16,int8_wo", max_batch_sizes="8") == ["bf16", "int8_wo"]
    assert labels(recipes="int8_wo", max_batch_sizes="8,64", max_num_tokens="512,1024") == [
        "int8_wo batch=8 tokens=512",
        "int8_wo batch=8 tokens=1024",
        "int8_wo batch=64 tokens=512",
        "int8_wo batch=64 tokens=1024",
    ]


def test_a_limit_reaches_the_engine() -> None:
    choice = SweepChoice(model="m", recipes="int8_wo", max_batch_sizes="8", max_num_tokens="512")
    (engine,) = choice.wanted_engines
    assert engine.choice.max_batch_size == 8
    assert engine.choice.max_num_tokens == 512


def test_the_recipes_own_kv_cache_is_no_other_engine() -> None:
    choice = SweepChoice(
        model="m",
        target="a30",
        recipes="int8_sq,int8_wo",
        kv_caches="int8,fp16,bf16,int8",
        profiles="latency",
    )
    found = choice.wanted_engines
    assert [each.label for each in found] == [
        "int8_sq",
        "int8_sq kv=fp16",
        "int8_wo kv=int8",
        "int8_wo",
    ]
    assert [each.choice.recipe_settings for each in found] == [
        (),
        ("kv_cache=fp16",),
        ("kv_cache=int8", "calibration_samples=512"),
        (),
    ]
    told = choice.left_out
    assert [reason.split(" is left out: ")[0] for reason in told] == [
        "int8_sq kv=bf16",
        "int8_wo kv=fp16",
    ]


def own_recipe(folder: Path, name: str) -> Path:
    """A file with int8_wo under another name, changed."""
    shipped = load_recipe("int8_wo").model_dump(mode="json")
    changed = {"name": name, "weights": "int4", "group_size": 32}
    path = folder / "mine.yaml"
    path.write_text(json.dumps(shipped | changed))
    return path


@pytest.mark.parametrize("name", ["int8_wo", "mine"])
def test_a_recipe_in_a_file_is_that_of_the_file(name: str, tmp_path: Path) -> None:
    path = own_recipe(tmp_path, name)
    (engine,) = SweepChoice(model="newsbrief", recipes=str(path)).wanted_engines
    assert (engine.label, engine.recipe) == (name, name)
    spec = engine.choice.spec(load_workload("newsbrief"), NullProgress())
    assert (spec.recipe.weights, spec.recipe.group_size) == ("int4", 32)


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    path = own_recipe(tmp_path, "int8_wo")
    assert labels(recipes=f"bf16,{path}") == ["bf16", "int8_wo"]
    told = rf"int8_wo and {path} are both recipes of the name `int8_wo`; give one"
    with pytest.raises(UsageError, match=told):
        labels(recipes=f"int8_wo,{path}")


def test_recipes_of_gpus_are_emulated_beside_those_of_the_target() -> None:
    choice = SweepChoice(model="m", recipes="bf16,fp16", emulate="a30")
    told = [(each.label, each.emulated, each.choice.target) for each in choice.wanted_engines]
    assert told == [
        ("bf16", False, "cpu"),
        ("bf16 emulated a30", True, "a30"),
        ("fp16 emulated a30", True, "a30"),
    ]


@pytest.mark.parametrize(
    ("options", "fault", "told"),
    [
        ({"recipes": "fp8"}, RecipeRefused, "`fp8` is refused on `cpu`"),
        ({"recipes": "bf16,fp8"}, RecipeRefused, "`fp8` is refused on `cpu`"),
        ({"recipes": "int8_w0"}, UnknownName, "Did you mean `int8_wo`"),
        ({"recipes": "bf16,,int8_wo"}, UsageError, "one comma between"),
        ({"recipes": ""}, UsageError, "one comma between"),
        ({"target": "a31"}, UnknownName, "Unknown target `a31`"),
        ({"emulate": "cpu"}, UsageError, "leave it out of --emulate"),
        ({"max_batch_sizes": "8,x"}, ConfigError, "whole numbers above 0"),
        ({"max_num_tokens": "0"}, ConfigError, "whole numbers above 0"),
        ({"max_batch_sizes": "9" * 5000}, ConfigError, r"has `9{57}\.\.\.`; .* of 9 digits at mos"),
        ({"max_num_tokens": f"8,{10**9}"}, ConfigError, "of 9 digits at most"),
        ({"recipes": "a," * 5000}, UsageError, r"a\.\.\.`; give names"),
        (
            {"max_batch_sizes": ",".join(map(str, range(1, 1002))), "recipes": "bf16"},
            UsageError,
            "make 1,001 engines of one target; give fewer values, for 1,000 or fewer",
        ),
        ({"profiles": "latency"}, ConfigError, "have no profiles; leave `latency` out"),
        ({"profiles": "lat", "target": "a30"}, UnknownName, "Unknown profile `lat`"),
        ({"kv_caches": "int3"}, UnknownName, "Unknown precision of a KV cache `int3`"),
        ({"set": ("recipe.group=3",)}, ConfigError, "group"),
    ],
)
def test_what_cannot_be_is_refused(
    options: dict[str, Any], fault: type[EnginebenchError], told: str
) -> None:
    with pytest.raises(fault, match=told):
        labels(**options)


def test_offline_comes_first_because_the_rate_of_others_depends_on_it() -> None:
    choice = SweepChoice(model="m", scenarios="server, OFFLINE,singlestream,Server")
    assert choice.asked_scenarios == (Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLE_STREAM)
    with pytest.raises(UnknownName, match="MultiStream"):
        _ = SweepChoice(model="m", scenarios="MultiStream").asked_scenarios
