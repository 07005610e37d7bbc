"""`enginebench plan`: what is said, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from newsbrief import CHECKPOINT
from tests.harness.cli.line import Line

LLAMA = ("plan", "--model", "llama3.1-8b")


def test_bf16_on_an_a30_says_what_fits_and_what_that_does_to_server(line: Line) -> None:
    said = line(*LLAMA, "--target", "a30", "--recipe", "bf16")
    assert said.code == 0 and said.out == ""
    assert "weights: MLPs" in said.err and "131,072 bytes a token" in said.err
    assert " of mean length fit, " in said.err and "max_batch_size" in said.err
    assert "Server is bound by " in said.err and " in flight" in said.err
    assert "Offline, tokens/s       1,470" in said.err
    assert "To compile: 16.6 GB of the GPU (fits), and 32.1 GB of host memory" in said.err
    assert "13,368" in said.err
    last = said.err.splitlines()[-1]
    assert "build --model meta-llama/Llama-3.1-8B-Instruct --target a30 --recipe bf16" in last


def test_an_int8_cache_is_shown_beside_a_chunked_one(line: Line) -> None:
    said = line(*LLAMA, "--target", "a30", "--recipe", "int8_sq").err
    assert "A KV cache in int8 excludes chunked context" in said
    assert "--set recipe.kv_cache=fp16" in said
    assert "Likely better: int8" in said


def test_fp8_is_refused_with_what_else_there_is(line: Line) -> None:
    sentence = line.refused(2, *LLAMA, "--target", "a30", "--recipe", "fp8")
    assert sentence.startswith("`fp8` is refused on `a30`: it needs FP8 arithmetic")
    assert "Offline there are `int8_sq` (" in sentence
    assert "SingleStream answer `int4_" in sentence


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


def test_a_rehearsal_ends_with_a_verdict_and_says_why_accuracy_is_skipped(line: Line) -> None:
    few = ("--recipe", "int8_sq", "--set", "workload.num_samples=300", "--simulate")
    said = line(*LLAMA, "--target", "a30", *few, "--json")
    verdict = next(text for text in said.err.splitlines() if text.startswith("SIMULATED verdict"))
    assert "Offline VALID; Server VALID up to " in verdict
    assert verdict.endswith("accuracy skipped, as a time model writes no text.")
    ((_, server, _),) = said.document["simulated"]
    assert server["verdict"]["valid"] and server["accuracy_skipped"]
    names = [rule["name"] for rule in server["verdict"]["rules"]]
    assert names == ["TTFT at p99", "TPOT at p99"]


def test_a_scenario_that_no_rate_serves_is_invalid_with_the_reason(line: Line) -> None:
    slow = ("--recipe", "bf16", "--set", "workload.num_samples=300", "--simulate")
    said = line(*LLAMA, "--target", "l4", *slow).err
    verdict = next(text for text in said.splitlines() if text.startswith("SIMULATED verdict"))
    assert "Server VALID up to " in verdict
    interactive = verdict.split("; ")[2]
    assert interactive.startswith("Interactive INVALID at every rate (")
    assert "TPOT at p99: " in interactive


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


def test_what_does_not_fit_says_what_to_lower(line: Line) -> None:
    large = ("--recipe", "bf16", "--max-batch-size", "20000")
    said = line(*LLAMA, "--target", "a30", *large).err
    assert "It does not fit: `bf16` needs about " in said
    assert "lower --max-batch-size by " in said
    several = line(*LLAMA, "--target", "a30", "--recipes", "bf16,int8_wo", *large[2:]).err
    assert "bf16, batch=20000 does not fit: `bf16` needs about " in several


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
