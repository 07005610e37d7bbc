"""The bundled model through the command line, as a user runs it: engine, LoadGen, scores, exit
code.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import run


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = run([*arguments, "--json"])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    document: dict[str, object] = json.loads(captured.out)
    return code, document


def bench(
    capsys: pytest.CaptureFixture[str], folder: Path, scenario: str, *more: str
) -> tuple[int, dict[str, object]]:
    command = ("run", "--model", "newsbrief", "--recipe", "bf16", "--scenario", scenario)
    return run_json(capsys, *command, "--count", "12", "--output", str(folder), *more)


def test_offline_and_single_stream_give_the_same_answers_and_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, answers = [], []
    for scenario in ("Offline", "SingleStream"):
        folder = tmp_path / scenario
        code, content = bench(capsys, folder, scenario, "--mode", "accuracy")
        assert code == 0
        assert isinstance(content["accuracy"], dict)
        scores.append(content["accuracy"]["scores"])
        log = json.loads((folder / "accuracy" / "mlperf_log_accuracy.json").read_text())
        answers.append({entry["qsl_idx"]: entry["data"] for entry in log})
        assert (folder / "accuracy" / "accuracy.txt").read_text().startswith("{'rouge1': '")
    assert scores[0] == scores[1]
    assert answers[0] == answers[1]
    assert scores[0]["gen_num"] == 12
    assert scores[0]["rouge1"] > 50  # it really summarises


def test_a_server_run_of_too_few_queries_is_invalid_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, content = bench(
        capsys, tmp_path / "run", "Server", "--mode", "performance", "--qps", "20"
    )
    assert code == 1
    tests = content["tests"]
    assert isinstance(tests, dict)
    test = tests["performance"]
    assert test["loadgen"]["validity"] == "INVALID"
    assert test["verdict"]["sentence"].startswith("INVALID because ")
    assert "early stopping: measured 12 queries" in test["verdict"]["sentence"]
    assert test["metrics"]["ttft_p99_s"] > 0
    assert content["marks"] == ["demo workload", "short"]


def test_a_prompt_that_is_too_long_for_the_engine_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    articles = tmp_path / "long.jsonl"
    rows = [{"article": "Rain fell. " * n, "highlights": "Rain."} for n in (5, 400, 300)]
    articles.write_text("\n".join(map(json.dumps, rows)))
    code, document = run_json(
        capsys,
        *("run", "--model", "newsbrief", "--recipe", "bf16", "--scenario", "Offline"),
        *("--dataset", str(articles), "--output", str(tmp_path / "run")),
    )
    assert code == 2
    assert "2 of 3 prompts are longer than the limit of workload `newsbrief`, 640 tokens" in (
        str(document["error"])
    )
    assert not (tmp_path / "run").exists()
