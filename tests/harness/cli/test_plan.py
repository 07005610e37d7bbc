"""`enginebench build --dry-run`: the plan of an engine, where none can be compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import configs
from build_engine.trtllm.plan import NOT_STATED
from tests.harness.cli.line import Line

_ENGINE = ("build", "--model", "newsbrief", "--recipe")


def test_the_plan_needs_no_gpu_and_no_library(line: Line) -> None:
    said = line(*_ENGINE, "int8_sq", "--target", "a30", "--dry-run")
    assert said.code == 0 and said.out == ""
    assert "newsbrief for NVIDIA A30 24 GB (sm_80)" in said.err
    assert "excludes chunked context" in said.err
    assert "build_config.plugin_config.use_paged_context_fmha = False" in said.err
    *_, command, last = said.err.splitlines()
    assert command.startswith("trtllm-build --checkpoint_dir CHECKPOINT --output_dir ENGINE")
    assert "--use_paged_context_fmha disable" in command
    assert "build --model newsbrief --target a30 --recipe int8_sq --workload newsbrief" in last


def test_the_plan_as_json(line: Line) -> None:
    latency = ("--target", "a30", "--profile", "latency")
    plan = line(*_ENGINE, "int8_wo", *latency, "--dry-run", "--json").document
    assert plan["command"][0] == "trtllm-build"
    stated = {item["flag"]: item for item in plan["settings"]}
    assert plan["command"][1:3] == ["--checkpoint_dir", "CHECKPOINT"]
    assert stated["--max_batch_size"]["value"] == "1"
    assert all(item["reason"] for item in plan["settings"]) and not set(stated) & set(NOT_STATED)
    assert {"field": "version", "values": ["1.2.1"], "rule": ""} in plan["expected"]


def test_every_size_has_its_reason_and_so_has_the_cache(line: Line) -> None:
    given = ("--max-batch-size", "32", "--max-input-len", "100")
    plan = line(*_ENGINE, "int8_wo", "--target", "a30", *given, "--dry-run", "--json").document
    stated = {item["flag"]: item for item in plan["settings"]}
    assert stated["--max_batch_size"]["reason"].endswith(": as given")
    assert stated["--max_input_len"]["reason"].startswith("the longest prompt, as given;")
    plan = line(*_ENGINE, "int8_wo", "--target", "a30", "--dry-run", "--json").document
    stated = {item["flag"]: item for item in plan["settings"]}
    assert "as workload newsbrief asks" in stated["--max_seq_len"]["reason"]
    assert "for each request in flight" in stated["--max_num_tokens"]["reason"]
    loaded = {item["flag"]: item for item in plan["execution"]}
    assert loaded["kv_cache_fraction"]["value"] == "0.92"
    assert "free once it is loaded" in loaded["kv_cache_fraction"]["reason"]


def test_a_cpu_engine_is_planned_without_a_command(line: Line) -> None:
    said = line(*_ENGINE, "int8_sq", "--target", "cpu", "--dry-run", "--json")
    assert said.code == 0
    assert said.document["command"] == [] and said.document["program"] is None
    sizes = {item["flag"]: item["value"] for item in said.document["settings"]}
    assert sizes == {
        "max_batch_size": "64",
        "max_input_len": "640",
        "max_seq_len": "768",
        "max_num_tokens": "2048",
    }
    loaded = {item["flag"] for item in said.document["execution"]}
    assert {"KV cache", "KV_CACHE_PRECISION"} <= loaded
    assert "building takes about " in said.err and "are free here now" in said.err
    assert said.err.splitlines()[-1].endswith("--recipe int8_sq --workload newsbrief")


@pytest.mark.parametrize("stage", [("--dry-run",), ("--stage", "quantise")])
def test_what_fits_no_gpu_of_the_target_is_refused_before_anything_is_made(
    line: Line, tmp_path: Path, stage: tuple[str, ...]
) -> None:
    small = tmp_path / "small.yaml"
    text = (Path(configs.__file__).parent / "targets" / "a30.yaml").read_text("utf-8")
    small.write_text(re.sub(r"memory_gib: [\d.]+", "memory_gib: 8", text), "utf-8")
    many = ("--target", small, "--max-batch-size", "1000000")
    sentence = line.refused(2, *_ENGINE, "int8_wo", *many, *stage)
    assert "of GPU memory for one request of 768 tokens" in sentence
    assert "target `a30` has 8.6 GB; lower --max-batch-size by " in sentence


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["fp8", "--dry-run"], 2, "`fp8` is refused on `a30`"),
        (["int8_wo", "--dry-run", "--profile", "lateny"], 2, "Did you mean `latency`?"),
        (["int8_wo", "--profile", "latency", "--target", "cpu"], 2, "leave `latency` out."),
        (["int8_wo"], 3, "`enginebench build --stage quantise` makes the checkpoint"),
    ],
)
def test_what_cannot_be_planned_or_built(
    line: Line, arguments: list[str], code: int, told: str
) -> None:
    target = [] if "--target" in arguments else ["--target", "a30"]
    assert told in line.refused(code, *_ENGINE, *arguments, *target)
