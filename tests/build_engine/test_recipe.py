"""A recipe runs where the arithmetic exists, and is refused with a way out everywhere else."""

from __future__ import annotations

import pytest

from build_engine.config import apply_overrides
from build_engine.errors import ConfigError, RecipeRefused, UnknownName
from build_engine.recipe import load_recipe, recipe_names, refusal, require
from build_engine.target import load_target, target_names

REFUSED = {
    "cpu": {"fp16", "fp8", "int8_sq_static", "w4a8_awq"},
    "a30": {"fp8", "w4a8_awq"},
    "a100-80gb": {"fp8", "w4a8_awq"},
    "l4": set(),
    "l40s": set(),
    "h100-sxm": set(),
    "h200-sxm": set(),
}


def test_the_shipped_recipes_are_the_nine_of_the_design() -> None:
    assert set(recipe_names()) == {
        "bf16",
        "fp16",
        "int8_sq",
        "int8_sq_static",
        "int8_wo",
        "int4_awq",
        "int4_wo",
        "fp8",
        "w4a8_awq",
    }


@pytest.mark.parametrize("target", target_names())
def test_each_target_refuses_exactly_what_it_cannot_execute(target: str) -> None:
    refused = {name for name in recipe_names() if refusal(load_recipe(name), load_target(target))}

    assert refused == REFUSED[target]


@pytest.mark.parametrize(
    ("recipe", "target", "reason", "remedy"),
    [
        ("fp8", "a30", "no FP8 tensor cores before sm_89 (this target is sm_80)", "`int8_sq`"),
        ("w4a8_awq", "a30", "no FP8 tensor cores", "`int4_awq` or `int8_sq`"),
        ("int8_sq_static", "cpu", "the scales of its activations come from", "`int8_sq`"),
        ("fp8", "cpu", "it computes in FP8, and the CPU engine", "`int8_sq`"),
        ("fp16", "cpu", "it computes in FP16, and the CPU engine computes in BF16", "`bf16`"),
        ("w4a8_awq", "cpu", "it computes in FP8", "`int4_awq` or `int8_sq`"),
    ],
)
def test_a_refusal_gives_the_reason_and_the_nearest_recipes(
    recipe: str, target: str, reason: str, remedy: str
) -> None:
    message = refusal(load_recipe(recipe), load_target(target))

    assert message is not None
    assert message.startswith(f"`{recipe}` is refused on `{target}`: ")
    assert reason in message
    assert message.endswith(f"; try {remedy}.")


def test_require_raises_what_refusal_says() -> None:
    recipe, a30 = load_recipe("fp8"), load_target("a30")

    with pytest.raises(RecipeRefused) as caught:
        require(recipe, a30)

    assert str(caught.value) == refusal(recipe, a30)
    require(load_recipe("int8_sq"), a30)


def test_an_fp8_kv_cache_alone_is_refused_too() -> None:
    recipe = apply_overrides(load_recipe("int8_wo"), ["kv_cache=fp8"])

    assert "FP8 tensor cores" in (refusal(recipe, load_target("a30")) or "")
    assert "the CPU engine has no FP8" in (refusal(recipe, load_target("cpu")) or "")
    assert refusal(recipe, load_target("l4")) is None


def test_an_int8_kv_cache_of_a_gpu_engine_needs_calibration() -> None:
    plain = load_recipe("int8_wo")
    uncalibrated = apply_overrides(plain, ["kv_cache=int8"])
    calibrated = apply_overrides(plain, ["kv_cache=int8", "calibration_samples=512"])

    assert "`calibration_samples` is 0 (set it to 512)" in (
        refusal(uncalibrated, load_target("a30")) or ""
    )
    assert refusal(calibrated, load_target("a30")) is None
    assert refusal(uncalibrated, load_target("cpu")) is None  # it measures its scales by itself


@pytest.mark.parametrize(
    ("recipe", "assignment", "words"),
    [
        ("int8_sq", "kv_cache=bf16", "what it does not quantise is in float16 (set kv_cache=fp16"),
        ("bf16", "activations=fp16", "no bf16 weights by none with fp16 activations"),
        ("int8_wo", "symmetric=false", "no asymmetric int8 weights"),
    ],
)
def test_a_gpu_recipe_that_the_checkpoint_format_lacks_is_refused(
    recipe: str, assignment: str, words: str
) -> None:
    changed = apply_overrides(load_recipe(recipe), [assignment])

    assert words in (refusal(changed, load_target("a30")) or "")


@pytest.mark.parametrize(
    ("recipe", "assignments", "words"),
    [
        ("int8_wo", ["algorithm=awq", "calibration_samples=8"], "no int8 weights by awq with bf16"),
        ("int4_wo", ["activations=int8", "activation_scales=per_token"], "with int8 activations"),
        ("int8_sq", ["activation_scales=per_tensor"], "measures them anew in each token"),
    ],
)
def test_a_combination_that_the_cpu_engine_does_not_build_is_refused(
    recipe: str, assignments: list[str], words: str
) -> None:
    changed = apply_overrides(load_recipe(recipe), assignments)

    assert words in (refusal(changed, load_target("cpu")) or "")


def test_data_centre_blackwell_is_refused_what_its_builder_stops_at() -> None:
    b200 = load_target("h200-sxm").model_copy(update={"name": "b200", "sm": 100})

    assert "no INT8 and INT4 kernels for sm_100" in (refusal(load_recipe("int8_sq"), b200) or "")
    assert refusal(load_recipe("fp8"), b200) is None


def test_fp8_weights_alone_are_refused_too() -> None:
    overrides = ["activations=bf16", "activation_scales=null", "kv_cache=bf16"]
    recipe = apply_overrides(load_recipe("fp8"), overrides)

    assert "FP8 tensor cores" in (refusal(recipe, load_target("a100-80gb")) or "")


@pytest.mark.parametrize(
    ("recipe", "target", "assignment", "shipped"),
    [
        ("int4_wo", "a30", "symmetric=false", "`int4_wo` as it is shipped (symmetric=true)."),
        ("int8_sq", "a30", "kv_cache=fp8", "`int8_sq` as it is shipped (kv_cache=int8)."),
        ("int8_wo", "cpu", "kv_cache=fp8", "`int8_wo` as it is shipped (kv_cache=bf16)."),
    ],
)
def test_a_change_that_is_refused_is_named_and_not_the_recipe_suggested_for_itself(
    recipe: str, target: str, assignment: str, shipped: str
) -> None:
    changed = apply_overrides(load_recipe(recipe), [assignment])
    assert (refusal(changed, load_target(target)) or "").endswith(f"; try {shipped}")


def test_a_gpu_without_a_stated_peak_is_not_trusted_with_the_precision() -> None:
    peaks = "dense_tflops={bf16: 10}"
    target = apply_overrides(load_target("l4"), ["name=mine", peaks])

    message = refusal(load_recipe("int8_sq"), target)

    assert message is not None
    assert "it computes in INT8, for which the target states no peak" in message
    assert "try `int8_wo`" in message


@pytest.mark.parametrize(
    ("recipe", "assignment", "words"),
    [
        ("int8_wo", "group_size=128", "`group_size` goes with int4 weights"),
        ("int4_wo", "group_size=null", "`group_size` goes with int4 weights"),
        ("bf16", "algorithm=awq", "`algorithm` is none for bf16"),
        ("fp8", "activation_scales=null", "`activation_scales` goes with int8 and fp8"),
        ("int8_wo", "activation_scales=per_token", "`activation_scales` goes with int8 and fp8"),
        ("int8_sq", "smoothquant_alpha=null", "`smoothquant_alpha` goes with smoothquant"),
        ("int8_sq", "smoothquant_alpha=1.5", "`smoothquant_alpha`"),
        ("int4_awq", "smoothquant_alpha=0.5", "`smoothquant_alpha` goes with smoothquant"),
        ("int8_wo", "algorithm=none", "`algorithm` is none for bf16"),
        ("int4_awq", "calibration_samples=0", "`awq` needs more than 0"),
        ("int8_wo", "calibration_samples=8", "`round_to_nearest` needs exactly 0"),
        ("int8_wo", "weights=int7", "Did you mean `int"),
    ],
)
def test_an_inconsistent_recipe_is_refused(recipe: str, assignment: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(load_recipe(recipe), [assignment])

    assert words in str(caught.value)


def test_calibration_can_be_shortened() -> None:
    assert apply_overrides(load_recipe("int4_awq"), ["calibration_samples=64"]) != load_recipe(
        "int4_awq"
    )


@pytest.mark.parametrize(
    ("name", "kv_cache", "samples", "group_size", "weight_only"),
    [
        ("bf16", "bf16", 0, None, True),
        ("int8_wo", "bf16", 0, None, True),
        ("int4_wo", "bf16", 0, 128, True),
        ("int4_awq", "bf16", 32, 128, True),
        ("fp16", "fp16", 0, None, True),
        ("int8_sq", "int8", 512, None, False),
        ("int8_sq_static", "int8", 512, None, False),
        ("fp8", "fp8", 512, None, False),
        ("w4a8_awq", "fp8", 32, 128, False),
    ],
)
def test_a_recipe_is_what_its_name_says(
    name: str, kv_cache: str, samples: int, group_size: int | None, weight_only: bool
) -> None:
    recipe = load_recipe(name)

    assert recipe.kv_cache == kv_cache
    assert recipe.calibration_samples == samples
    assert recipe.is_calibrated == (samples > 0)
    assert recipe.group_size == group_size
    assert recipe.is_weight_only == weight_only


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_says_where_it_helps_and_what_it_costs(name: str) -> None:
    recipe = load_recipe(name)

    assert recipe.helps
    assert recipe.costs
    assert recipe.rules == recipe.model_copy(update={"helps": "", "costs": ""}).rules


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean `int4_awq`"):
        load_recipe("int4-awq")
