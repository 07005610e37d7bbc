"""Score the answers of an accuracy run offline, to the last digit as the MLPerf reference does.

Source of the rules: `language/llama3.1-8b/evaluation.py` of the MLPerf inference repository for the
score, and the submission checker's `constants.py` and `accuracy_check.py` (v6.1) for the gates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import DatasetError, RunFailed
from harness.scoring.rouge import METRICS, rouge_f1
from harness.scoring.sentences import sent_tokenize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.checkpoint.tokenizer import Tokenizer
    from harness.rules.workload import AccuracyTarget

# What the submission tool leaves in place of the middle of an accuracy log over 10 KiB.
_TRUNCATION_MARK = "\n\n...\n\n"


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


@dataclass(frozen=True, slots=True)
class Gate:
    """One metric and the limits, both inclusive, that it must keep."""

    metric: str
    value: float
    minimum: float
    maximum: float | None

    @property
    def passed(self) -> bool:
        return self.margin >= 0

    @property
    def margin(self) -> float:
        """Distance to the nearer limit as a fraction of that limit; negative outside."""
        above = (self.value - self.minimum) / self.minimum
        if self.maximum is None:
            return above
        return min(above, (self.maximum - self.value) / self.maximum)

    def __str__(self) -> str:
        need = f"at least {self.minimum:.10g}"
        if self.maximum is not None:
            need += f" and at most {self.maximum:.10g}"
        outcome = "passed" if self.passed else "missed"
        by = f"{abs(self.margin) * 100:.3g} %"
        return f"{self.metric} is {self.value:.10g}, must be {need}: {outcome} by {by}"


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


def score_log(
    log_path: Path,
    references: Sequence[str],
    tokenizer: Tokenizer,
    answers_path: Path | None = None,
) -> Accuracy:
    """Score LoadGen's accuracy log; `references[i]` belongs to the sample with index i.

    A log with fewer samples than the dataset is scored as it is: compare `gen_num`. The answers are
    written to `answers_path` for people to read, one JSON object a line, in order of the samples.

    Raises:
        RunFailed: the log is damaged or empty.
        DatasetError: the log has a sample that the dataset lacks.
    """
    logged = read_accuracy_log(log_path)
    highest = max(index for index, _ in logged)
    if highest >= len(references):
        raise DatasetError(
            f"{log_path} answers sample {highest}, but the dataset has only {len(references)} "
            f"samples; score it with the dataset of that run."
        )
    predictions = tokenizer.decode_batch([ids for _, ids in logged])
    if answers_path is not None:
        rows = sorted(zip([index for index, _ in logged], predictions, strict=True))
        lines = [
            json.dumps({"sample": i, "answer": text, "reference": references[i]})
            for i, text in rows
        ]
        answers_path.write_text("\n".join(lines) + "\n", "utf-8")
    return score(predictions, [references[index] for index, _ in logged])


def read_accuracy_log(path: Path) -> list[tuple[int, NDArray[np.int32]]]:
    """Sample index and answer, int32[tokens], of each entry of `mlperf_log_accuracy.json`.

    If a sample was answered more than once its first answer counts, as in the reference.

    Raises:
        RunFailed: the log is missing, empty, cut short, or not what LoadGen writes.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunFailed(f"{path} cannot be read ({error}); repeat the accuracy run.") from error
    if _TRUNCATION_MARK in text:
        raise RunFailed(
            f"{path} was truncated for submission; score the original log that the run wrote."
        )
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunFailed(
            f"{path} breaks off or is damaged at character {error.pos}: the run did not end "
            f"properly; repeat the accuracy run."
        ) from error
    if not isinstance(entries, list) or not entries:
        raise RunFailed(f"{path} holds no answers; only a run in accuracy mode writes them.")
    answers: dict[int, NDArray[np.int32]] = {}
    for position, entry in enumerate(entries):
        try:
            index, ids = _decode_entry(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFailed(
                f"{path}: entry {position} is not an answer of int32 token ids ({error}); "
                f"repeat the accuracy run."
            ) from error
        answers.setdefault(index, ids)
    return list(answers.items())


def check_gates(accuracy: Accuracy, target: AccuracyTarget) -> list[Gate]:
    """A score beside the gates of a workload, in their order; all must pass."""
    gates = target.gates.items()
    return [Gate(metric, getattr(accuracy, metric), low, high) for metric, (low, high) in gates]


def _one_sentence_a_line(text: str) -> str:
    return "\n".join(sent_tokenize(text.strip()))


def _decode_entry(entry: dict[str, Any]) -> tuple[int, NDArray[np.int32]]:
    """Sample index and token ids of a log entry; ValueError, TypeError or KeyError if broken."""
    import numpy as np

    index = entry["qsl_idx"]
    if not isinstance(index, int) or index < 0:
        raise ValueError(f"its qsl_idx is {index!r}")
    data = bytes.fromhex(entry["data"])
    if data and len(data) == 8 * entry.get("token_count", 0):
        raise ValueError("its ids are int64")
    ids = np.frombuffer(data, dtype=np.int32)
    if ids.size and ids.min() < 0:
        raise ValueError(f"it has the negative token id {ids.min()}")
    return index, ids
