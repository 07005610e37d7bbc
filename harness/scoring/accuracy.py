"""Score the answers of an accuracy run offline, to the last digit as the MLPerf reference does.

Source of the rules: `language/llama3.1-8b/evaluation.py` of the MLPerf inference repository for the
score, and the submission checker's `constants.py` and `accuracy_check.py` (v6.1) for the gates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import DatasetError, RunFailed
from build_engine.validation import Frozen, Text
from harness.rules.gates import Metric
from harness.scoring.rouge import METRICS, rouge_f1
from harness.scoring.sentences import sent_tokenize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.checkpoint.tokenizer import Tokenizer
    from harness.rules.gates import AccuracyTarget
    from runtime.executor import TokenIds


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The score of a run: mean F1 in percent with 4 decimals, and the size of the answers."""

    rouge1: float
    rouge2: float
    rougeL: float
    rougeLsum: float
    gen_len: int
    """Characters of all answers, with one newline between sentences. Not tokens."""
    gen_num: int
    """Number of answers."""

    def to_accuracy_txt(self) -> str:
        """The line that the submission checker reads in `accuracy.txt`, with its newline.

        The scores are quoted and the counts are not, as the reference prints them; a NumPy integer
        there would make the checker reject the run without a reason.
        """
        scores: dict[str, str | int] = {metric: str(getattr(self, metric)) for metric in METRICS}
        return f"{scores | {'gen_len': self.gen_len, 'gen_num': self.gen_num}}\n"


class Gate(Frozen):
    """One metric and the limits, both inclusive, that it must keep; make one with `Gate.of`.

    `margin` is the distance to the nearer limit as a fraction of that limit, negative outside.
    """

    metric: Metric
    value: float
    minimum: float
    maximum: float | None
    passed: bool
    margin: float
    sentence: Text

    @classmethod
    def of(cls, metric: Metric, value: float, minimum: float, maximum: float | None) -> Gate:
        """A value beside its limits."""
        margin, need = (value - minimum) / minimum, f"at least {minimum:.10g}"
        if maximum is not None:
            margin = min(margin, (maximum - value) / maximum)
            need += f" and at most {maximum:.10g}"
        outcome = "passed" if margin >= 0 else "missed"
        by = f"{abs(margin) * 100:.3g} %"
        return cls(
            metric=metric,
            value=value,
            minimum=minimum,
            maximum=maximum,
            passed=margin >= 0,
            margin=margin,
            sentence=f"{metric} is {value:.10g}, must be {need}: {outcome} by {by}",
        )


def score(predictions: Sequence[str], references: Sequence[str]) -> Accuracy:
    """Score each prediction against the reference at the same place.

    Both sides are stripped and split into sentences, one a line; each metric is the mean over the
    samples. 13,368 samples take about 4 s of processor time, so that a process pool would not pay.
    """
    import numpy as np

    assert len(predictions) == len(references) > 0
    answers = [_one_sentence_a_line(text) for text in predictions]
    f1 = rouge_f1(answers, [_one_sentence_a_line(text) for text in references])
    # Rounded as a NumPy scalar because the reference does: Python's own rounding differs in ties.
    percent = {metric: float(round(np.mean(f1[metric]) * 100, 4)) for metric in METRICS}
    return Accuracy(**percent, gen_len=sum(map(len, answers)), gen_num=len(answers))


def sample_f1(
    predictions: Sequence[str], references: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """What `score` takes the means of: metric -> F1 of each sample, 0 to 1."""
    return rouge_f1(
        [_one_sentence_a_line(text) for text in predictions],
        [_one_sentence_a_line(text) for text in references],
    )


def score_answers(
    answers: Mapping[int, TokenIds],
    references: Sequence[str],
    tokenizer: Tokenizer,
    answers_path: Path | None = None,
) -> Accuracy:
    """Score the ids that answered each sample; `references[i]` belongs to the sample with index i.

    Fewer answers than the dataset has samples are scored as they are: compare `gen_num`. The
    answers are written to `answers_path` for people to read, one JSON object a line, in order of
    the samples.

    Raises:
        RunFailed: there are none.
        DatasetError: the dataset lacks one of the samples.
    """
    if not answers:
        raise RunFailed(
            "The accuracy log holds no answers; only a run in accuracy mode writes them."
        )
    highest = max(answers)
    if highest >= len(references):
        raise DatasetError(
            f"The accuracy log answers sample {highest}, but the dataset has only "
            f"{len(references)} samples; score it with the dataset of that run."
        )
    predictions = tokenizer.decode_batch(list(answers.values()))
    if answers_path is not None:
        rows = sorted(zip(answers, predictions, strict=True))
        lines = [
            json.dumps({"sample": i, "answer": text, "reference": references[i]})
            for i, text in rows
        ]
        answers_path.write_text("\n".join(lines) + "\n", "utf-8")
    return score(predictions, [references[index] for index in answers])


def check_gates(accuracy: Accuracy, target: AccuracyTarget) -> list[Gate]:
    """A score beside the gates of a workload, in their order; all must pass."""
    gates = target.gates.items()
    return [Gate.of(name, getattr(accuracy, name), low, high) for name, (low, high) in gates]


def _one_sentence_a_line(text: str) -> str:
    return "\n".join(sent_tokenize(text.strip()))
