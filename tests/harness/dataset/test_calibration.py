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
from harness.dataset.sources.source import Source
from harness.dataset.unseen import Evaluated
from harness.progress import NullProgress
from harness.rules.workload import Workload, load_workload


def _prompts(
    source: str | None, workload: Workload, count: int = 3, evaluated: Evaluated | None = None
) -> CalibrationSet:
    checkpoint = resolve_checkpoint("newsbrief")
    return calibration_prompts(source, workload, checkpoint, count, NullProgress(), evaluated)


def _file(path: Path, articles: list[str]) -> Path:
    lines = [json.dumps({"article": text, "highlights": "It is so."}) for text in articles]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _evaluated(path: Path, count: int | None) -> Evaluated:
    return Evaluated(Source.find(str(path)), count)


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


def _texts(made: CalibrationSet, workload: Workload, articles: list[str]) -> bool:
    """Whether a set is of exactly these articles."""
    return [ids.tolist() for ids in made.prompts] == _ids([workload.prompt(a) for a in articles])


ARTICLES = [f"Number {number} came to the river." for number in range(10)]


def test_articles_that_are_not_evaluated_come_before_invented_news(tmp_path: Path) -> None:
    workload = load_workload("newsbrief")
    path = _file(tmp_path / "mine.jsonl", ARTICLES)
    made = _prompts(None, workload, 3, _evaluated(path, 4))
    assert _texts(made, workload, ARTICLES[-3:])
    assert (made.name, made.official) == ("the last 3 of the articles in mine.jsonl", False)
    assert made.digest == _prompts(None, workload, 3, _evaluated(path, 7)).digest
    again = _prompts(made.options[made.options.index("--calibration") + 1], workload, 3)
    assert again.digest == made.digest  # the options make the set again
    given = _file(tmp_path / "given.jsonl", ["Given.", "Also given."])
    assert _texts(
        _prompts(str(given), workload, 2, _evaluated(path, 4)), workload, ["Given.", "Also given."]
    )


def test_an_evaluated_article_is_never_calibrated_on(tmp_path: Path) -> None:
    workload = load_workload("newsbrief")
    path = _file(tmp_path / "mine.jsonl", [*ARTICLES[:4], ARTICLES[1], ARTICLES[5]])
    made = _prompts(None, workload, 3, _evaluated(path, 4))
    invented = [item.article for item in newsbrief.articles("calibration", 2)]
    assert _texts(made, workload, [ARTICLES[5], *invented])
    assert made.name == "the last 1 of the articles in mine.jsonl, then 2 of newsbrief"


@pytest.mark.parametrize("count", [None, 10, 11])
def test_where_all_is_evaluated_invented_news_is_taken_and_told(
    tmp_path: Path, count: int | None
) -> None:
    workload = load_workload("newsbrief").model_copy(update={"name": "mine"})
    evaluated = _evaluated(_file(tmp_path / "mine.jsonl", ARTICLES), count)
    heard: list[str] = []

    class Heard(NullProgress):
        def note(self, text: str) -> None:
            heard.append(text)

    checkpoint = resolve_checkpoint("newsbrief")
    made = calibration_prompts(None, workload, checkpoint, 3, Heard(), evaluated)
    assert made.name == "newsbrief"
    assert any("calibration on invented news" in text for text in heard)


def test_the_workloads_own_set_is_found_beside_the_evaluated_file(tmp_path: Path) -> None:
    full = load_workload("llama3.1-8b")
    assert full.data is not None
    vocab_size = Tokenizer.load(newsbrief.CHECKPOINT).vocab_size
    data = {"calibration_file": "set.jsonl", "vocab_size": vocab_size}
    workload = full.model_copy(update={"data": full.data.model_copy(update=data)})
    evaluated = _evaluated(_file(tmp_path / "mine.jsonl", ARTICLES), 4)
    _file(tmp_path / "set.jsonl", ["The set."])
    made = _prompts(None, workload, 1, evaluated)
    assert _texts(made, workload, ["The set."])
    assert made.name == "set.jsonl"
