"""Calibration prompts: the workload's own prompt, never an article of the evaluation set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import newsbrief
from build_engine.calibration import CalibrationSet
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import DatasetError
from harness.dataset.calibration import calibration_prompts
from harness.progress import NullProgress
from harness.rules.workload import Workload, load_workload


def _prompts(source: str | None, workload: Workload, count: int = 3) -> CalibrationSet:
    checkpoint = resolve_checkpoint("newsbrief")
    return calibration_prompts(source, workload, checkpoint, count, NullProgress())


def _ids(texts: list[str]) -> list[list[int]]:
    encoded = Tokenizer.load(newsbrief.CHECKPOINT).encode_batch(texts)
    return [ids[:512].tolist() for ids in encoded]


@pytest.mark.parametrize("name", ["newsbrief", "llama3.1-8b"])
@pytest.mark.parametrize("source", [None, "newsbrief"])
def test_invented_news_stands_in_the_workloads_prompt(name: str, source: str | None) -> None:
    workload = load_workload(name)
    made = _prompts(source, workload)
    articles = [item.article for item in newsbrief.articles("calibration", 3)]
    assert [ids.tolist() for ids in made.prompts] == _ids([workload.prompt(a) for a in articles])
    assert (made.name, made.official) == ("newsbrief", False)


def test_only_the_whole_official_file_is_the_benchmarks_set(tmp_path: Path) -> None:
    full = load_workload("llama3.1-8b")
    assert full.data is not None
    size = Tokenizer.load(newsbrief.CHECKPOINT).vocab_size
    small = full.data.model_copy(update={"calibration_samples": 4, "vocab_size": size})
    workload = full.model_copy(update={"data": small})
    articles = [f"Article {number}. " + "word " * 600 for number in range(4)]
    ids = Tokenizer.load(newsbrief.CHECKPOINT).encode_batch([workload.prompt(a) for a in articles])
    records = [
        {"input": article, "tok_input": prompt.tolist(), "output": "Summary."}
        for article, prompt in zip(articles, ids, strict=True)
    ]
    path = tmp_path / "cnn_dailymail_calibration.json"
    path.write_text(json.dumps(records))
    made = _prompts(str(path), workload)
    assert (made.name, made.official) == (path.name, True)
    assert all(np.array_equal(a, b[:512]) for a, b in zip(made.prompts, ids, strict=True))
    with pytest.raises(DatasetError, match="distributed as a file: get cnn_dailymail_calibration"):
        _prompts("cnn_dailymail", workload)
    path.write_text(json.dumps(records[:3]))
    with pytest.raises(DatasetError, match=r"has 3 records and the calibration set of "):
        _prompts(str(path), workload)
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"article": "Mine.", "highlights": "My own."}))
    assert not _prompts(str(own), workload, 1).official
