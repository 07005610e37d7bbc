"""Our commands, held to the facts of `trtllm-build`: each flag and value exists, nothing is left to
a default, and what the builder's rules make of them is what we expect to read back.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import BuildFailed, ConfigError, RecipeRefused
from build_engine.planned import PlannedBuild
from build_engine.sized import SizeReasons
from build_engine.store.spec import EngineSpec
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.engine_config import read_engine_config
from build_engine.trtllm.facts import build_tool_facts
from build_engine.trtllm.plan import NOT_STATED, Places, plan_build, planned
from build_engine.trtllm.readback import differences
from tests.contract.build_double import RULES, Build, parser, write
from tests.contract.machines import checkpoint_config, make_spec, split

FACTS = build_tool_facts()
ON_A30 = ("bf16", "fp16", "int8_wo", "int4_wo", "int4_awq", "int8_sq", "int8_sq_static")
ON_L40S = ("fp8", "w4a8_awq")
CASES = [(name, "a30") for name in ON_A30] + [(name, "l40s") for name in ON_L40S]
PROFILES = ("throughput", "latency")


def plan_of(spec: EngineSpec, folder: Path) -> PlannedBuild:
    places = Places(
        checkpoint=str(folder / "checkpoint"),
        engine=str(folder / "engine"),
        timing_in=str(folder / "old.cache"),
        timing_out=str(folder / "new.cache"),
    )
    return plan_build(spec, format_of(spec.recipe), places)


def said(folder: Path) -> dict[str, Any]:
    """What the engine in a folder says of itself."""
    return read_engine_config(folder, BuildFailed, "build again").values


def built(spec: EngineSpec, plan: PlannedBuild, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the double writes for a plan."""
    monkeypatch.setenv("DOUBLE_SM", str(spec.target.sm))
    args = parser(FACTS).parse_args(plan.command[1:])
    Path(args.checkpoint_dir).mkdir()
    (Path(args.checkpoint_dir) / "config.json").write_text(json.dumps(checkpoint_config(spec)))
    build = Build(FACTS, args)
    build.apply()
    write(build)
    return Path(args.output_dir)


def test_the_facts_are_whole() -> None:
    assert (len(FACTS.flags), len(FACTS.plugin_config), len(FACTS.build_config)) == (67, 42, 30)
    facts = (*FACTS.flags, *FACTS.plugin_config, *FACTS.build_config, *FACTS.rules, *FACTS.errors)
    assert all(fact.source in FACTS.sources and fact.mark in FACTS.marks for fact in facts)
    assert {rule.name for rule in FACTS.rules} == set(RULES)


def test_the_double_takes_only_flags_and_values_that_exist() -> None:
    for words in (["--max_batch", "8"], ["--gemm_plugin", "enable"], ["--max_batch_size", "x"]):
        with pytest.raises(SystemExit) as ended:
            parser(FACTS).parse_args(words)
        assert ended.value.code == 2


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("recipe", "target"), CASES)
def test_every_flag_is_stated_with_a_reason_or_left_out_with_one(
    tmp_path: Path, recipe: str, target: str, profile: str
) -> None:
    plan = plan_of(make_spec(recipe, target, profile), tmp_path)
    flags = [item.flag for item in plan.settings]
    assert len(flags) == len(set(flags))
    assert set(flags) | set(NOT_STATED) == {flag.name for flag in FACTS.flags}
    assert not set(flags) & set(NOT_STATED)
    assert all(item.reason for item in plan.settings)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("recipe", "target"), CASES)
def test_what_the_rules_make_of_a_plan_is_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, target: str, profile: str
) -> None:
    spec = make_spec(recipe, target, profile)
    plan = plan_of(spec, tmp_path)
    assert differences(said(built(spec, plan, monkeypatch)), plan.expected) == []


@pytest.mark.parametrize(
    ("recipe", "kv_cache", "target"),
    [("int8_wo", "int8", "a30"), ("fp8", "fp8", "l40s"), ("fp8", "int8", "l40s")],
)
def test_the_kv_cache_is_an_axis_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, kv_cache: str, target: str
) -> None:
    spec = make_spec(recipe, target, kv_cache=kv_cache)
    plan = plan_of(spec, tmp_path)
    assert differences(said(built(spec, plan, monkeypatch)), plan.expected) == []
    paged = plan.value("--use_paged_context_fmha")
    assert paged == ("disable" if kv_cache == "int8" else "enable")


def test_two_gpus_talk_by_nccl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = split(make_spec(), 2)
    plan = plan_of(spec, tmp_path)
    assert plan.value("--nccl_plugin") == "auto"
    assert differences(said(built(spec, plan, monkeypatch)), plan.expected) == []


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("--max_num_tokens", "999999", "tokens-reduced"),
        ("--use_paged_context_fmha", "enable", "int8-kv-not-paged"),
        ("--use_fp8_context_fmha", "enable", "fp8-fmha-not-fp8"),
        ("--opt_num_tokens", "4096", "opt-tokens-reduced"),
    ],
)
def test_what_the_builder_changes_by_itself_is_noticed_by_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, value: str, rule: str
) -> None:
    from build_engine.trtllm.readback import expectations

    spec = make_spec()
    plan = plan_of(spec, tmp_path)
    settings = tuple(
        replace(item, value=value) if item.flag == flag else item for item in plan.settings
    )
    asked = replace(
        plan,
        settings=settings,
        expected=expectations(spec, format_of(spec.recipe), settings),
    )
    (problem,) = differences(said(built(spec, asked, monkeypatch)), asked.expected)
    assert flag.removeprefix("--") in problem
    assert f"rule `{rule}`" in problem


def test_int8_kv_reads_the_longest_prompt_in_one_iteration() -> None:
    spec = make_spec()
    assert spec.limits.max_num_tokens >= spec.limits.max_input_len
    short = replace(spec, limits=replace(spec.limits, max_num_tokens=639))
    with pytest.raises(ConfigError, match=r"max_num_tokens 639 .*640 tokens.*int8"):
        plan_of(short, Path("x"))
    chunked = replace(short, recipe=make_spec("int8_wo").recipe)
    assert plan_of(chunked, Path("x")).value("--max_num_tokens") == "639"


def test_matrices_that_the_kernels_cannot_take_are_refused() -> None:
    spec = make_spec()
    odd = replace(spec.checkpoint.config, intermediate_size=720)
    with pytest.raises(RecipeRefused, match=r"multiple of 64 elements, and `mlp\..*` of .* 720 "):
        plan_of(replace(spec, checkpoint=replace(spec.checkpoint, config=odd)), Path("x"))
    with pytest.raises(RecipeRefused, match=r" 360 (in|out) on each of 2 GPUs"):
        plan_of(split(replace(spec, checkpoint=replace(spec.checkpoint, config=odd)), 2), Path("x"))
    with pytest.raises(ConfigError, match=r"tensor_parallel 8 does not divide num_key_value_heads"):
        plan_of(split(spec, 8), Path("x"))
    plain = make_spec("bf16")
    plan_of(replace(plain, checkpoint=replace(plain.checkpoint, config=odd)), Path("x"))


def test_a_model_that_cannot_fit_is_refused() -> None:
    spec = make_spec("bf16")
    wide = replace(spec.checkpoint.config, hidden_size=8192, intermediate_size=28672, num_layers=80)
    with pytest.raises(ConfigError, match=r"GPU memory for one request .*`a30` has 25\.8 GB"):
        plan_of(replace(spec, checkpoint=replace(spec.checkpoint, config=wide)), Path("x"))


def test_profiles_differ_in_sizes_and_in_the_shape_that_kernels_are_timed_for() -> None:
    many, few = (plan_of(make_spec(profile=profile), Path("x")) for profile in PROFILES)
    changed = {
        item.flag: (item.value, other.value)
        for item, other in zip(many.settings, few.settings, strict=True)
        if item.value != other.value
    }
    assert changed == {
        "--max_batch_size": ("512", "1"),
        "--max_num_tokens": ("2048", "640"),
        "--opt_num_tokens": ("2048", "1"),
    }


def test_the_batch_of_llama_8b_on_an_a30_comes_from_its_memory() -> None:
    from build_engine.store.limits import EngineLimits
    from build_engine.trtllm.fit import fitted
    from build_engine.trtllm.sizes import estimate

    spec = make_spec()
    llama = replace(
        spec.checkpoint.config,
        hidden_size=4096,
        intermediate_size=14336,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        vocab_size=128256,
        max_position_embeddings=131072,
    )
    asked = EngineLimits(max_input_len=2540, max_seq_len=2668)
    limits = fitted(asked, llama, spec.recipe, spec.target, "throughput", False).limits
    needed = estimate(llama, spec.recipe, limits)
    assert needed.kv_request == 2 * 32 * 8 * 128 * 2668
    assert limits.max_num_tokens == 2560
    assert 64 <= limits.max_batch_size <= 224
    own = replace(asked, max_batch_size=40)
    found = fitted(own, llama, spec.recipe, spec.target, "throughput", True)
    assert found.limits.max_batch_size == 40


def test_layers_without_kernels_are_refused_before_anything_is_quantised() -> None:
    spec = make_spec("int4_awq", "a30")
    odd = replace(spec.checkpoint, config=replace(spec.checkpoint.config, hidden_size=576))

    with pytest.raises(RecipeRefused, match="layers of a multiple of 128 elements"):
        planned(replace(spec, checkpoint=odd), SizeReasons())
