"""`dataset` and `run`: what is wrong is refused in one sentence, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import configs
from tests.harness.cli.line import Line


def test_dataset(line: Line, tiny: Path, news: Path, tmp_path: Path) -> None:
    arguments = ["dataset", "--dataset", news, "--model", tiny, "--count", 3, "--json"]
    said = line(*arguments, "--output", tmp_path / "out.jsonl")
    assert said.code == 0
    assert said.document["num_samples"] == 3
    assert Path(said.document["folder"]).parent == tmp_path / "home" / "datasets"
    rows = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[0] == {"article": "Story 0 [b]x[/b].", "highlights": "Ü."}
    assert len(rows) == 3
    assert not list(tmp_path.glob(".*"))
    again = line(*arguments)
    assert again.document == said.document
    assert "Preparing" not in again.err


def test_dataset_needs_no_weights(line: Line, tiny: Path, news: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    shutil.copy(tiny / "tokenizer.json", tmp_path / "tokenizer")
    said = line("dataset", "--dataset", news, "--model", tmp_path / "tokenizer", "--json")
    assert said.document["num_samples"] > 0


def test_dataset_counts_what_differs_from_the_official_ids(
    line: Line, tiny: Path, tmp_path: Path
) -> None:
    record = {"input": "t5", "output": "b", "tok_input": [1, 2]}
    (tmp_path / "cnn_eval.json").write_text(json.dumps([record]))
    said = line("dataset", "--dataset", tmp_path / "cnn_eval.json", "--model", tiny)
    assert "1 of 1 prompts differ from the file's own `tok_input`" in said.err


def test_dataset_refusals(line: Line, tiny: Path, news: Path, tmp_path: Path) -> None:
    with_news = ["dataset", "--dataset", news, "--model", tiny]
    own = tmp_path / "own.yaml"
    shipped = Path(configs.__file__).parent / "workloads" / "newsbrief.yaml"
    own.write_text(shipped.read_text().replace("name: newsbrief", "name: own"))
    assert "needs its data" in line.refused(2, "dataset", "--workload", own)
    assert "Unknown workload" in line.refused(2, *with_news, "--workload", "cnn")
    assert "--count is 0" in line.refused(2, *with_news, "--count", 0)
    assert "--count is -1" in line.refused(2, *with_news, "--count", -1)
    assert "fewer than --count 9" in line.refused(2, *with_news, "--count", 9)
    assert "give the checkpoint by --model" in line.refused(
        2, "dataset", "--dataset", news, "--workload", "llama3.1-8b"
    )
    tight = ["--set", "workload.max_input_tokens=5"]
    told = line.refused(2, *with_news, *tight)
    assert "4 of 4 prompts are longer than the limit of workload `newsbrief`, 5 tokens" in told
    run = ["--dataset", news, "--model", tiny, "--recipe", "int8_wo", "--scenario", "Offline"]
    assert line.refused(2, "run", *run, *tight) == told
    assert "write it as --set workload.KEY=VALUE" in line.refused(
        2, *with_news, "--set", "recipe.group_size=32"
    )
    before = news.read_bytes()
    assert "news.jsonl exists" in line.refused(2, *with_news, "--output", news)
    assert news.read_bytes() == before
    for output in (".", "nowhere/out.jsonl", tmp_path):
        assert "name a file in a folder" in line.refused(2, *with_news, "--output", output)
    news.write_text("{}\nnot json")
    assert "news.jsonl line 1 has no text" in line.refused(2, *with_news)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "Servre"], "Did you mean `Server`?"),
        (["--scenario", "Server", "--qps", "nan"], "--qps is nan; give a number above 0."),
        (["--scenario", "Server", "--qps", "-1"], "--qps is -1; give a number above 0."),
        (["--scenario", "Server", "--duration", "0"], "--duration is 0"),
        (["--scenario", "Server", "--count", "0"], "--count is 0"),
        (["--scenario", "Server", "--mode", "fast"], "Unknown mode `fast`."),
        (["--scenario", "Server", "--workload", "no"], "Unknown workload `no`."),
    ],
)
def test_run_refusals(line: Line, tiny: Path, arguments: list[str], told: str) -> None:
    given = ["--model", tiny, "--recipe", "int8_wo", "--output", "results/x"]
    assert told in line.refused(2, "run", *given, *arguments)
    assert not Path("results").exists()


def test_run_leaves_an_earlier_run_alone(line: Line, tiny: Path) -> None:
    Path("results").mkdir()
    Path("results", "mine.txt").write_text("mine")
    given = ["--model", tiny, "--recipe", "bf16", "--scenario", "Offline", "--output", "results"]
    assert "results is not empty" in line.refused(2, "run", *given)
