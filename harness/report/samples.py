"""The answers of a scored run, sample by sample: texts, references, ids, and what each scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import ResultProblem, RunFailed
from build_engine.files import Unreadable, parse_json, read_bytes
from harness.loadgen import logs
from harness.report.metrics import ROUGE
from harness.scoring.accuracy import sample_f1

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from harness.report.result import Result
    from runtime.executor import TokenIds

_MAX_BYTES = 2**28  # 13,368 answers with their references take 10 MB
_ROUNDED = 1e-4  # to this the record has its scores


@dataclass(frozen=True, slots=True)
class Text:
    """An answer beside its reference."""

    answer: str
    reference: str


@dataclass(frozen=True, slots=True)
class Samples:
    """What a run answered, in order of the samples: `texts` by sample, `percent` has the scores of
    each (float64, a column for each of `ROUGE`).
    """

    texts: Mapping[int, Text]
    percent: NDArray[np.float64]
    ids: Mapping[int, TokenIds]

    def rows(self, samples: list[int]) -> NDArray[np.float64]:
        """The scores of these samples, in their order."""
        places = {sample: place for place, sample in enumerate(self.texts)}
        return self.percent[[places[sample] for sample in samples]]


def read_samples(result: Result) -> Samples:
    """The answers of a scored run. Raises ResultProblem when they are missing or broken, or do not
    give the scores of its record, and RunFailed for a broken log of LoadGen's.
    """
    import numpy as np

    assert result.accuracy is not None, "it was scored"
    path = result.run.folder.answers
    texts = _texts(path)
    f1 = sample_f1(
        [text.answer for text in texts.values()], [text.reference for text in texts.values()]
    )
    percent = np.stack([f1[metric.name] for metric in ROUGE], axis=1) * 100
    for metric, mean in zip(ROUGE, percent.mean(axis=0).tolist(), strict=True):
        recorded = getattr(result.accuracy.scores, metric.name)
        if abs(mean - recorded) > _ROUNDED:
            raise ResultProblem(
                f"{path} was changed after the run: its answers give {metric.title} {mean:.4f} and "
                f"run.json has {recorded:.4f}; run again."
            )
    ids = logs.first_answers(logs.read_answers(result.run.folder.test("accuracy").path))
    if ids.keys() != texts.keys():
        raise RunFailed(f"{path} and LoadGen's accuracy log have other samples; run again.")
    return Samples(texts, percent, ids)


def _texts(path: Path) -> dict[int, Text]:
    try:
        lines = read_bytes(path, _MAX_BYTES).splitlines()
        rows = [parse_json(line) for line in lines]
        texts = {
            int(row["sample"]): Text(str(row["answer"]), str(row["reference"])) for row in rows
        }
    except FileNotFoundError:
        raise ResultProblem(f"{path} is missing; restore it, or run again.") from None
    except Unreadable as problem:
        raise ResultProblem(f"{path} {problem}; restore it, or run again.") from None
    except (KeyError, TypeError, ValueError):
        raise ResultProblem(
            f"{path} has a line that is no answer; restore it, or run again."
        ) from None
    if not texts:
        raise ResultProblem(f"{path} has no answers; restore it, or run again.")
    return dict(sorted(texts.items()))
