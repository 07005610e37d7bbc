"""`enginebench plan`: what is said, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from build_engine.roofline.costs import StepCosts
from build_engine.roofline.peaks import MeasuredSteps, Peaks
from build_engine.target import target_names
from newsbrief import CHECKPOINT
from tests.harness.cli.line import Line

COSTS = StepCosts(iteration_s=0, layer_s=0, element_s=0, answer_s=0, logit_s=0, cached_s=0)
STEPS = MeasuredSteps(costs=COSTS, slowest=(0.8, 0.8), middle=(0.9, 0.9))
LLAMA = ("plan", "--model", "llama3.1-8b")


def test_bf16_on_an_a30_says_what_fits_and_what_that_does_to_server(line: Line) -> None:
    said = line(*LLAMA, "--target", "a30", "--recipe", "bf16")
    assert said.code == 0 and said.out == ""
    assert "weights: MLPs" in said.err and "131,072 bytes a token" in said.err
    assert " of mean length fit, " in said.err and "max_batch_size" in said.err
    assert "Server is bound by " in said.err and " in flight" in said.err
    assert "Offline, tokens/s       1,470" in said.err
    assert "To compile: 16.6 GB of the GPU (fits), and 32.1 GB of host memory" in said.err
    assert "13,368" in said.err and "(does not fit" not in said.err
    last = said.err.splitlines()[-1]
    assert "build --model meta-llama/Llama-3.1-8B-Instruct --target a30 --recipe bf16" in last


def test_an_int8_cache_is_shown_beside_a_chunked_one(line: Line) -> None:
    said = line(*LLAMA, "--target", "a30", "--recipe", "int8_sq").err
    assert "A KV cache in int8 excludes chunked context" in said
    assert "--set recipe.kv_cache=fp16" in said
    assert "Likely better: int8" in said


@pytest.mark.not_counted
def test_fp8_is_refused_with_what_else_there_is(line: Line) -> None:
    sentence = line.refused(2, *LLAMA, "--target", "a30", "--recipe", "fp8")
    assert sentence.startswith("`fp8` is refused on `a30`: it needs FP8 arithmetic")
    assert "Offline there are `int8_sq` (" in sentence
    assert "SingleStream answer `int4_" in sentence


@pytest.mark.not_counted
def test_all_recipes_on_two_targets(line: Line) -> None:
    said = line(*LLAMA, "--recipes", "all", "--targets", "a30,l4").err
    assert "NVIDIA A30 24 GB" in said and "NVIDIA L4 24 GB" in said
    assert "int8_sq, kv_cache=fp16" in said
    assert "`fp8` is refused on `a30`" in said and "`fp8` is refused on `l4`" not in said
    # the best of all is on the A30
    assert "--target a30 --recipe int8_sq --workload llama3.1-8b" in said.splitlines()[-1]


def test_plans_as_json(line: Line) -> None:
    found = line(*LLAMA, "--target", "a30", "--recipes", "fp8,int8_sq", "--json").document
    (plan,), (refused,) = found["plans"], found["refused"]
    assert (refused["target"], refused["recipe"]) == ("a30", "fp8")
    assert plan["recipe"]["kv_cache"] == "int8" and plan["memory"]["fits"]
    assert plan["memory"]["weights"]["mlp"] == 32 * 3 * 14336 * 4096
    assert plan["forecast"]["rates"]["Server"]["likely"]["typical"] > 5
    assert plan["full_cache"]["recipe"]["kv_cache"] == "fp16"
    assert plan["times"][0]["scenario"] == "Offline"


def test_a_folder_without_weights_for_the_cpu(line: Line, tmp_path: Path) -> None:
    shutil.copy(CHECKPOINT / "config.json", tmp_path)
    lengths = ("--workload", "newsbrief", "--set", "workload.mean_input_tokens=100")
    said = line("plan", "--model", tmp_path, "--recipe", "int8_wo", *lengths)
    assert said.code == 0
    assert "prompts of 100 tokens on average" in said.err
    assert "No speed is predicted: target `cpu` states no peaks" in said.err
    assert "weights: embedding" not in said.err  # the head's table is the same


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--target", "a30", "--set", "workload.mean_input_tokens=5000"), "which is 2,540; lower"),
        (("--target", "a31"), "Did you mean `a30`?"),
        (("--target", "a30", "--recipe", "int8sq"), "Did you mean `int8_sq`?"),
        (("--target", ","), "names nothing"),
        (("--workload", "newsbreef"), "Did you mean `newsbrief`?"),
        (("--target", "a30", "--set", "recipe.kv=int8"), "kv"),
        (("--target", "a30", "--max-batch-sizes", "8,many"), "--max-batch-size has `many`"),
        (("--target", "a30", "--max-num-tokens", "0"), "--max-num-tokens has `0`"),
    ],
)
def test_wrong_names(line: Line, arguments: tuple[str, ...], told: str) -> None:
    assert told in line.refused(2, *LLAMA, *arguments)


def test_an_unknown_model(line: Line) -> None:
    assert "a folder with a config.json" in line.refused(2, "plan", "--model", "llama9")


@pytest.mark.not_counted
def test_a_plan_is_simulated_on_request_and_says_so(line: Line) -> None:
    few = ("--recipe", "int8_sq,int8_wo", "--set", "workload.num_samples=300", "--simulate")
    said = line(*LLAMA, "--target", "a30", *few, "--json")
    assert "SIMULATED: int8_sq" in said.err and "SIMULATED: int8_wo" in said.err
    assert "nothing was measured. There is no accuracy" in said.err
    first, second = said.document["simulated"]
    assert {each["mark"] for each in first + second} == {"simulated"}
    offline, server, interactive = first
    assert offline["target_qps"] is None
    assert server["test"]["metrics"]["tpot_p99_s"] < 0.1
    assert 0 < interactive["target_qps"] < server["target_qps"]


@pytest.mark.not_counted
def test_a_rehearsal_ends_with_a_verdict_and_says_why_accuracy_is_skipped(line: Line) -> None:
    few = ("--recipe", "int8_sq", "--set", "workload.num_samples=300", "--simulate")
    said = line(*LLAMA, "--target", "a30", *few, "--json")
    verdict = next(text for text in said.err.splitlines() if text.startswith("SIMULATED verdict"))
    assert "Offline VALID; Server VALID up to " in verdict
    assert verdict.endswith("accuracy skipped, as a time model writes no text.")
    ((_, server, _),) = said.document["simulated"]
    assert server["verdict"]["valid"] and server["accuracy_skipped"]
    names = [rule["name"] for rule in server["verdict"]["rules"]]
    assert names == ["TTFT at p99", "TPOT at p99", "early stopping"]


@pytest.mark.not_counted
def test_a_scenario_that_no_rate_serves_is_invalid_with_the_reason(line: Line) -> None:
    slow = ("--recipe", "bf16", "--set", "workload.num_samples=300", "--simulate")
    said = line(*LLAMA, "--target", "l4", *slow).err
    verdict = next(text for text in said.splitlines() if text.startswith("SIMULATED verdict"))
    assert "Server VALID up to " in verdict
    interactive = verdict.split("; ")[2]
    assert interactive.startswith("Interactive INVALID at every rate (")
    assert "TPOT at p99: " in interactive


@pytest.mark.not_counted
def test_scheduler_limits_are_compared_side_by_side(line: Line) -> None:
    sizes = ("--recipe", "int8_sq", "--max-batch-sizes", "16,224", "--max-num-tokens", "2560")
    few = ("--set", "workload.num_samples=300", "--simulate", "--json")
    said = line(*LLAMA, "--target", "a30", *sizes, *few)
    assert "SIMULATED: int8_sq, batch=16, tokens=2560" in said.err
    assert "SIMULATED, side by side" in said.err
    limits = [plan["memory"]["limits"] for plan in said.document["plans"]]
    assert [(each["max_batch_size"], each["max_num_tokens"]) for each in limits] == [
        (16, 2560),
        (224, 2560),
    ]
    (few_at_once, *_), (many, *_) = said.document["simulated"]
    tokens = [each["test"]["metrics"]["tokens_per_s"] for each in (few_at_once, many)]
    assert tokens[0] < 0.8 * tokens[1]
    assert "--max-batch-size 224 --max-num-tokens 2560" in said.err.splitlines()[-1]


def test_what_does_not_fit_says_what_to_lower_and_tells_of_no_build(line: Line) -> None:
    large = ("--recipe", "bf16", "--max-batch-size", "20000", "--json")
    said = line(*LLAMA, "--target", "a30", *large)
    assert said.code == 2
    last = said.err.splitlines()[-1]
    assert "It does not fit: `bf16` needs about " in last
    assert "lower --max-batch-size by " in last
    assert "Next: " not in said.err and "Then: " not in said.err
    assert (said.document["exit_code"], last) == (2, f"enginebench: {said.document['error']}")
    assert not said.document["plans"][0]["memory"]["fits"]
    several = line(*LLAMA, "--target", "a30", "--recipes", "bf16,fp16", *large[2:])
    assert "bf16, batch=20000 does not fit: `bf16` needs about " in several.err
    assert several.code == 2
    assert several.err.splitlines()[-1].startswith("enginebench: None of these engines fits; ")


def test_sizes_that_a_build_refuses_have_no_speed(line: Line) -> None:
    """A KV cache in INT8 has its whole prompts in one iteration."""
    words = ("--target", "a30", "--recipe", "int8_sq", "--max-num-tokens", "1024")
    said = line(*LLAMA, *words, "--simulate")
    assert said.code == 2
    assert "No speed is predicted: it does not fit." in said.err
    assert "is not simulated: it does not fit." in said.err
    last = said.err.splitlines()[-1]
    assert "limits.max_num_tokens 1024 is less than the longest prompt (2540 tokens)" in last
    build = ("build", "--model", "newsbrief", *words[:4], "--max-num-tokens", "512", "--dry-run")
    assert "limits.max_num_tokens 512 is less than the longest prompt" in line.refused(2, *build)


@pytest.mark.not_counted
def test_one_size_that_fits_is_planned_beside_one_that_does_not(line: Line) -> None:
    few = ("--set", "workload.num_samples=300", "--simulate", "--json")
    words = ("--target", "a30", "--recipe", "int8_sq", "--max-num-tokens", "1024,2560")
    said = line(*LLAMA, *words, *few)
    assert said.code == 0
    assert "int8_sq, tokens=1024 does not fit: limits.max_num_tokens 1024" in said.err
    small, large = said.document["plans"]
    assert (small["forecast"], small["memory"]["fits"]) == (None, False)
    assert large["forecast"] and large["memory"]["fits"]
    assert said.document["simulated"][0] == [] and len(said.document["simulated"][1]) == 3
    assert said.err.splitlines()[-1].endswith("--max-num-tokens 2560 --workload llama3.1-8b")


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """The architecture of a model whose layers have 576 inputs: no multiple of 128."""
    config = json.loads((CHECKPOINT / "config.json").read_text("utf-8"))
    config |= {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


@pytest.mark.not_counted
def test_recipes_without_kernels_for_the_layers_are_refused(line: Line, narrow: Path) -> None:
    plan = ("plan", "--model", narrow, "--target", "a30", "--recipe")
    sentence = line.refused(2, *plan, "int4_awq")
    assert sentence.startswith("`int4_awq` is refused on `a30`: W4A16_AWQ needs layers of a mul")
    ranked = sentence.split("tokens/s in Offline there are")[1]
    assert "`int8_sq`" in ranked and "int4_awq" not in ranked
    said = line(*plan, "all", "--json")
    refused = {each["recipe"] for each in said.document["refused"]}
    assert {"int4_awq", "fp8"} <= refused and "int8_sq" not in refused
    assert "--recipe int8_sq" in said.err.splitlines()[-1]


def test_the_groups_of_a_cpu_recipe_must_divide_the_layers(line: Line, narrow: Path) -> None:
    config = json.loads((narrow / "config.json").read_text("utf-8"))
    config |= {"hidden_size": 360, "head_dim": 40}  # 8 divides it, and no group does
    (narrow / "config.json").write_text(json.dumps(config), "utf-8")
    sentence = line.refused(2, "plan", "--model", narrow, "--recipe", "int4_wo")
    assert "`int4_wo` is refused on `cpu`: " in sentence
    assert "divides the layers of this checkpoint (hidden_size 360" in sentence


def test_a_cpu_without_room_says_what_lacks_and_what_to_lower(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: 9 * 10**9)
    said = line(*LLAMA, "--target", "cpu", "--recipe", "int8_wo")
    assert said.code == 3
    last = said.err.splitlines()[-1]
    assert last.startswith("enginebench: It does not fit: `int8_wo` needs about ")
    assert " of host memory for one request of 2,668 tokens (weights 8." in last
    assert "and 9.0 GB are free here now; lower --max-input-len by " in last
    assert last.endswith("or end other programs, or raise the container's limit.")
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: 10**10)
    said = line(*LLAMA, "--target", "cpu", "--recipe", "int8_wo")
    assert said.code == 0
    last = said.err.splitlines()[-1]
    assert last.startswith("Then: when ") and " of host memory are free: enginebench build" in last


@pytest.mark.parametrize(("free", "lacks"), [(20 * 10**9, True), (10**11, False)])
def test_a_build_that_takes_more_than_a_cpu_has_is_told(
    line: Line, monkeypatch: pytest.MonkeyPatch, free: int, lacks: bool
) -> None:
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: free)
    said = line(*LLAMA, "--target", "cpu", "--recipe", "bf16").err
    assert "To compile: no GPU, and " in said
    assert ("of host memory (more than is free here now)" in said) == lacks


def test_without_peaks_nothing_is_simulated(line: Line) -> None:
    said = line("plan", "--model", "newsbrief", "--recipe", "int8_wo", "--simulate", "--json")
    assert "int8_wo is not simulated: target `cpu` states no peaks" in said.err
    assert said.document["simulated"] == [[]]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A target of a user's own: this CPU, with peaks."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{name: mine, title: Mine, kind: cpu, backend: openvino, bandwidth_gb_s: 28, "
        "dense_tflops: {bf16: 0.39, fp32: 0.2}, sources: [measured by hand]}",
        "utf-8",
    )
    return path


def test_a_target_file_is_told_as_it_was_given(line: Line, mine: Path) -> None:
    said = line("plan", "--model", "newsbrief", "--recipe", "int8_wo", "--target", mine)
    assert said.code == 0
    assert "Offline, tokens/s" in said.err
    assert f"--target {mine} --recipe int8_wo" in said.err.splitlines()[-1]
    sentence = line.refused(2, "plan", "--model", "newsbrief", "--recipe", "fp8", "--target", mine)
    assert sentence.startswith("`fp8` is refused on `mine`: ")
    assert "by likely tokens/s in Offline there are " in sentence


def test_an_engine_that_cannot_be_simulated_says_why(line: Line, mine: Path) -> None:
    few = ("--set", "workload.num_samples=40", "--set", "workload.min_duration_s=1")
    sizes = ("--max-num-tokens", "16,512", "--simulate", "--json")
    plan = ("plan", "--model", "newsbrief", "--recipe", "int8_wo", "--target", mine)
    said = line(*plan, *few, *sizes)
    assert said.code == 0
    assert (
        "int8_wo, tokens=16 is not simulated: Such an engine cannot be simulated: "
        "`max_num_tokens` must hold one block, `tokens_per_block`; it is 16 and a block has 32."
    ) in said.err
    small, large = said.document["simulated"]
    assert small == [] and len(large) > 1
    gpu = line(*LLAMA, "--target", "a30", "--recipe", "bf16", "--max-num-tokens", "16")
    assert gpu.code == 2
    assert "max_num_tokens 16 is less than a page of the KV cache" in gpu.err.splitlines()[-1]


def test_a_batch_below_what_fits_binds_by_its_own_name(line: Line) -> None:
    few = ("--target", "a30", "--recipe", "int8_sq", "--max-batch-size", "16")
    said = line(*LLAMA, *few, "--json")
    assert "Server is bound by max_batch_size: its latency limits would allow 107" in said.err
    assert "and 16 is what it is built for." in said.err
    (plan,) = said.document["plans"]
    assert plan["forecast"]["rates"]["Server"]["bound"] == "max_batch_size"


def test_efficiencies_of_several_targets_are_told_apart(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = Peaks({"bf16": 3.9e11, "fp32": 2e11}, 28e9, "measured here", steps=STEPS)
    monkeypatch.setattr("harness.machine.measured.measured_peaks", lambda: peaks)
    said = line("plan", "--model", "newsbrief", "--targets", "cpu,a30", "--recipe", "int8_wo").err
    assert "for the limit: on cpu 0.80 to 1 of the arithmetic" in said
    assert "; on a30 as published results" in said
    alone = line("plan", "--model", "newsbrief", "--targets", "l4,a30", "--recipe", "int8_wo").err
    assert "for the limit: as published results" in alone


def test_every_target_side_by_side(line: Line) -> None:
    found = line(*LLAMA, "--targets", "all", "--recipe", "int8_wo", "--json").document
    assert [plan["target"] for plan in found["plans"]] == target_names()


def test_gpus_that_share_an_engine_have_a_plan_of_memory_alone(line: Line) -> None:
    whole, *_ = line(*LLAMA, "--target", "a30", "--recipe", "bf16", "--json").document["plans"]
    shared = ("--target", "a30", "--recipe", "bf16", "--tensor-parallel", "2")
    said = line(*LLAMA, *shared, "--json")
    assert "Memory of each of 2 GPUs: 25.8 GB" in said.err
    assert "No speed is predicted: 2 GPUs share it, and peaks are those of one." in said.err
    assert "--tensor-parallel 2" in said.err.splitlines()[-1]
    (half,) = said.document["plans"]
    assert half["forecast"] is None and half["memory"]["fits"]
    for kind in ("attention", "mlp", "head"):
        assert 2 * half["memory"]["weights"][kind] == whole["memory"]["weights"][kind]
    assert 2 * half["memory"]["kv_token"] == whole["memory"]["kv_token"]
    assert half["memory"]["requests"] > 2 * whole["memory"]["requests"]
    assert half["disk_bytes"] == pytest.approx(whole["disk_bytes"], rel=0.01)
    refused = line(*LLAMA, "--recipe", "int8_wo", "--tensor-parallel", "2")
    assert refused.code == 2 and "the CPU engine has one part" in refused.err


def test_the_sizes_of_build_are_those_of_a_plan(line: Line) -> None:
    sizes = ("--max-input-len", "500", "--max-new-tokens", "64", "--profile", "latency")
    said = line(*LLAMA, "--target", "a30", "--recipe", "int8_sq", *sizes, "--json")
    (plan,) = said.document["plans"]
    limits = plan["memory"]["limits"]
    assert (limits["max_input_len"], limits["max_seq_len"], limits["max_batch_size"]) == (
        500,
        564,
        1,
    )
    assert (plan["lengths"]["longest_prompt"], plan["lengths"]["answer"]) == (500, 64)
    for size in ("--max-input-len 500", "--max-new-tokens 64", "--profile latency"):
        assert size in said.err.splitlines()[-1]


def test_few_positions_shorten_a_plan_and_say_so(line: Line, tmp_path: Path) -> None:
    said = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    said["max_position_embeddings"] = 512
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    for recipes in ("int8_wo", "int8_wo,bf16"):
        words = ("--model", tmp_path, "--target", "a30", "--recipe", recipes, "--json")
        told = line("plan", *words)
        assert told.code == 0
        assert "has 512 positions: this is for prompts of up to 384 and answers of 128" in told.err
        assert told.document["plans"][0]["shorter"] in told.err
        assert told.document["plans"][0]["lengths"]["longest_prompt"] == 384


def test_a_changed_recipe_is_refused_by_what_was_changed(line: Line) -> None:
    changed = ("--target", "a30", "--recipe", "int8_sq", "--set", "recipe.kv_cache=fp8")
    sentence = line.refused(2, *LLAMA, *changed)
    assert sentence.startswith("`int8_sq, kv_cache=fp8` is refused on `a30`")
