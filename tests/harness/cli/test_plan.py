"""`enginebench build --dry-run`: the plan of an engine, where none can be compiled."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["fp8", "--dry-run"], 2, "`fp8` is refused on `a30`"),
        (["int8_wo", "--dry-run", "--profile", "lateny"], 2, "Did you mean `latency`?"),
        (["int8_wo", "--dry-run", "--target", "cpu"], 2, "leave --dry-run out."),
        (["int8_wo", "--profile", "latency", "--target", "cpu"], 2, "leave --profile out."),
        (["int8_wo"], 3, "`enginebench build --stage quantise` makes the checkpoint"),
    ],
)
def test_what_cannot_be_planned_or_built(
    line: Line, arguments: list[str], code: int, told: str
) -> None:
    target = [] if "--target" in arguments else ["--target", "a30"]
    assert told in line.refused(code, *_ENGINE, *arguments, *target)
