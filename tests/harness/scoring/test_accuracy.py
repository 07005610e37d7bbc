"""Accuracy: the log, the score of the MLPerf reference, and the gates of the submission checker."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import newsbrief
from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import DatasetError, RunFailed
from harness.loadgen.folder import ACCURACY
from harness.loadgen.logs import first_answers, read_answers
from harness.rules.gates import AccuracyTarget
from harness.scoring.accuracy import (
    Accuracy,
    Gate,
    check_gates,
    score,
    score_answers,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "evaluation"
LLAMA_8B = AccuracyTarget(
    reference={
        "rouge1": 38.7792,
        "rouge2": 15.9075,
        "rougeL": 24.4957,
        "rougeLsum": 35.793,
        "gen_len": 8167644,
    }
)
REFERENCE_SCORE = Accuracy(38.7792, 15.9075, 24.4957, 35.793, gen_len=8167644, gen_num=13368)

# How the checker reads each metric of `accuracy.txt`, with `re.match` on every line.
CHECKER_PATTERNS = {
    "rouge1": r".*'rouge1':\s+'?([\d.]+)'?.*",
    "rouge2": r".*'rouge2':\s+'?([\d.]+)'?.*",
    "rougeL": r".*'rougeL':\s+'?([\d.]+)'?.*",
    "rougeLsum": r".*'rougeLsum':\s+'?([\d.]+)'?.*",
    "gen_len": r".*'gen_len':\s([\d.]+).*",
}


@pytest.mark.parametrize("case", ["newsbrief", "varied"])
def test_a_log_scores_as_with_the_references_own_script(tmp_path: Path, case: str) -> None:
    """Recorded by tests/reference/record_evaluation.py, which runs the reference's evaluation.py:
    a LoadGen log of 100 newsbrief answers, and one of texts whose sentences are hard to split.
    """
    recorded = json.loads((REFERENCE / f"{case}.json").read_text("utf-8"))
    (tmp_path / ACCURACY).write_text(json.dumps(recorded["log"]))
    answers = first_answers(read_answers(tmp_path))
    scored = score_answers(answers, recorded["references"], Tokenizer.load(newsbrief.CHECKPOINT))
    assert asdict(scored) == recorded["scores"]


def test_gen_len_counts_characters_of_stripped_answers_with_one_newline_between_sentences() -> None:
    accuracy = score(["  Ab cd.   Ef gh.\n\n", "x"], ["Ab.", "y"])
    assert accuracy.gen_len == len("Ab cd.\nEf gh.") + len("x")
    assert accuracy.gen_num == 2
    assert type(accuracy.gen_len) is type(accuracy.gen_num) is int


def test_an_empty_answer_scores_zero_and_is_counted() -> None:
    accuracy = score(["", "Same text."], ["Some text.", "Same text."])
    assert (accuracy.rouge1, accuracy.gen_num, accuracy.gen_len) == (50.0, 2, len("Same text."))


@pytest.mark.parametrize("metric", CHECKER_PATTERNS)
def test_accuracy_txt_is_read_by_the_checker(metric: str) -> None:
    lines = REFERENCE_SCORE.to_accuracy_txt().splitlines()
    matches = [match for line in lines if (match := re.match(CHECKER_PATTERNS[metric], line))]
    assert [float(match[1]) for match in matches] == [getattr(REFERENCE_SCORE, metric)]


def test_accuracy_txt_looks_as_published_results_do() -> None:
    assert REFERENCE_SCORE.to_accuracy_txt() == (
        "{'rouge1': '38.7792', 'rouge2': '15.9075', 'rougeL': '24.4957', 'rougeLsum': '35.793', "
        "'gen_len': 8167644, 'gen_num': 13368}\n"
    )


def ids(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    """Ten words by number; 0 is special."""
    import tokenizers

    words = ("<s>", "the", "cat", "sat", "on", "a", "red", "mat", "today", ".")
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<s>")
    backend = tokenizers.Tokenizer(model)
    backend.add_special_tokens(["<s>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": True,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    return Tokenizer.load(tmp_path)


def test_each_reference_is_taken_by_sample_index(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "answers.jsonl"
    answers = {2: ids(1, 2, 3, 9), 0: ids(5, 6, 7, 0)}
    accuracy = score_answers(answers, ["a red mat", "unused", "the cat sat."], tokenizer, path)
    assert accuracy == Accuracy(
        100.0, 100.0, 100.0, 100.0, gen_len=len("the cat sat.") + len("a red mat"), gen_num=2
    )
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"sample": 0, "answer": "a red mat", "reference": "a red mat"},
        {"sample": 2, "answer": "the cat sat.", "reference": "the cat sat."},
    ]


def test_the_wrong_dataset_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DatasetError, match=r"answers sample 5000, but the dataset has only 5000"):
        score_answers({0: ids(1), 5000: ids(2)}, ["the"] * 5000, tokenizer)


def test_a_log_without_answers_is_no_score(tokenizer: Tokenizer) -> None:
    with pytest.raises(RunFailed, match="holds no answers; only a run in accuracy mode writes"):
        score_answers({}, ["the"], tokenizer)


def test_gates_of_llama_8b_have_the_checkers_limits() -> None:
    """Limits as the submission checker v6.1 lists them for llama3.1-8b."""
    gates = check_gates(REFERENCE_SCORE, LLAMA_8B)
    assert [gate.metric for gate in gates] == list(LLAMA_8B.reference)
    minima = [38.391408, 15.748425, 24.250743, 35.43507, 7350879.6]
    assert [gate.minimum for gate in gates] == pytest.approx(minima, rel=1e-12)
    assert [gate.maximum for gate in gates[:-1]] == [None] * 4
    assert gates[-1].maximum == pytest.approx(8984408.4, rel=1e-12)
    assert all(gate.passed for gate in gates)


def test_one_low_metric_misses_its_own_gate_only() -> None:
    low = Accuracy(38.3914, 15.9075, 24.4957, 35.793, gen_len=8167644, gen_num=13368)
    missed = [gate for gate in check_gates(low, LLAMA_8B) if not gate.passed]
    assert [gate.metric for gate in missed] == ["rouge1"]
    assert missed[0].margin == pytest.approx((38.3914 - 38.391408) / 38.391408)


@pytest.mark.parametrize("gen_len", [7350879, 8984409])
def test_answers_too_short_or_too_long_miss_the_gate(gen_len: int) -> None:
    accuracy = Accuracy(38.7792, 15.9075, 24.4957, 35.793, gen_len=gen_len, gen_num=13368)
    assert [g.metric for g in check_gates(accuracy, LLAMA_8B) if not g.passed] == ["gen_len"]


@pytest.mark.parametrize(
    ("value", "maximum", "margin"),
    [
        (50, None, 0.0),
        (55, None, 0.1),
        (45, None, -0.1),
        (90, 100, 0.1),
        (51, 100, 0.02),
        (100, 100, 0.0),
        (101, 100, -0.01),
    ],
)
def test_margin_is_to_the_nearer_limit(value: float, maximum: float | None, margin: float) -> None:
    gate = Gate.of("gen_len", value, 50, maximum)
    assert gate.margin == pytest.approx(margin)
    assert gate.passed == (margin >= 0)


def test_gate_tells_value_limits_and_margin() -> None:
    assert Gate.of("rouge1", 38.3914, 38.391408, None).sentence == (
        "rouge1 is 38.3914, must be at least 38.391408: missed by 2.08e-05 %"
    )
    assert Gate.of("gen_len", 8167644, 7350879.6, 8984408.4).sentence == (
        "gen_len is 8167644, must be at least 7350879.6 and at most 8984408.4: passed by 9.09 %"
    )


def test_gates_follow_other_ratios() -> None:
    ratios = {"ratio": 0.5, "gen_len_low": 0.2, "gen_len_high": 3.0}
    gates = check_gates(REFERENCE_SCORE, LLAMA_8B.model_copy(update=ratios))
    limits = {gate.metric: (gate.minimum, gate.maximum) for gate in gates}
    assert limits["rouge2"] == (0.5 * 15.9075, None)
    assert limits["gen_len"] == pytest.approx((0.2 * 8167644, 3 * 8167644))
