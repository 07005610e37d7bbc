"""`rouge-score-rs` against `rouge-score`, the library of the MLPerf reference, bit for bit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from harness.scoring.rouge import METRICS, rouge_f1
from harness.scoring.sentences import sent_tokenize

FIXTURE = json.loads((Path(__file__).parent / "fixtures" / "sentences.json").read_text("utf-8"))

# Words that stemmers and tokenisers disagree about, between words that make texts overlap.
WORDS = """
the cat cats sat on mat running runs ran ponies caresses generically dying skies was
it's don't U.S. 1,000 3.5 e-mail caf\xe9 na\xefve \u0130stanbul \u017ftra\xdfe \ufb01ne
\u4e2d\u6587 \u0663
\U0001f600 _ - \u2026 \u2019
"""
PIECES = (*WORDS.split(), "\n", "\n\n", "\t", "\x00", ".", "!\n")


def _assert_equal_to_rouge_score(predictions: list[str], references: list[str]) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(METRICS), use_stemmer=True)
    scores = [scorer.score(ref, pred) for ref, pred in zip(references, predictions, strict=True)]
    ours = rouge_f1(predictions, references)
    assert list(ours) == list(METRICS)
    for metric in METRICS:
        expected = np.array([score[metric].fmeasure for score in scores])
        assert ours[metric].dtype == np.float64
        np.testing.assert_array_equal(ours[metric], expected, err_msg=metric)


def test_equal_to_rouge_score_on_the_fixture() -> None:
    """Every text of the fixture, one sentence a line, against four others."""
    texts = ["\n".join(sent_tokenize(case["text"])) for case in FIXTURE]
    predictions = [text for text in texts for _ in range(4)]
    references = [texts[(i + 17 * k) % len(texts)] for i in range(len(texts)) for k in range(4)]
    _assert_equal_to_rouge_score(predictions, references)


def test_equal_to_rouge_score_on_generated_texts() -> None:
    rng = random.Random(3)
    texts = [" ".join(rng.choices(PIECES, k=rng.randrange(40))) for _ in range(600)]
    _assert_equal_to_rouge_score(texts[:300], texts[300:])


def test_values_that_can_be_counted_by_hand() -> None:
    """Two of three words are shared, in the same order; one of two bigrams is."""
    f1 = rouge_f1(["red green blue"], ["red green black"])
    assert f1["rouge1"][0] == 2 / 3
    assert f1["rouge2"][0] == 1 / 2
    assert f1["rougeL"][0] == 2 / 3


def test_sentence_order_matters_to_rouge_l_but_not_to_lsum() -> None:
    f1 = rouge_f1(["the sun set\nrain fell"], ["rain fell\nthe sun set"])
    assert f1["rougeL"][0] < f1["rougeLsum"][0] == 1.0
