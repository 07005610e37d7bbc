"""The files of a run: who writes or reads one asks here for its place.

A run folder holds `run.json`, what is of the whole run beside it, and a folder for each test.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from build_engine.digest import hash_file
from build_engine.files import below
from harness.loadgen.folder import EVIDENCE, TestFolder

RECORD = "run.json"
AUDIT_TEST = "TEST06"
VERIFICATION = "verify_accuracy.txt"
_DATASET = "dataset.json"
_ENGINE = "engine.json"
_WORKLOAD = "workload.json"
_ACCURACY = "accuracy.json"
_EVIDENCE = (*EVIDENCE, VERIFICATION, _DATASET, _ENGINE, _WORKLOAD, _ACCURACY)


def new_folder(wish: str) -> str:
    """A folder to write: as wished, or with the first free number behind."""
    names = (wish if number == 1 else f"{wish}-{number}" for number in itertools.count(1))
    return next(name for name in names if not Path(name).exists())


@dataclass(frozen=True, slots=True)
class AuditFolder(TestFolder):
    """A compliance test's folder: that of a test, and the outputs that the checker reads."""

    @property
    def verification(self) -> Path:
        """The lines that say which checks passed."""
        return self.path / VERIFICATION

    @property
    def accuracy(self) -> TestFolder:
        """A copy of the accuracy log, where a submission wants it."""
        return TestFolder(self.path / "accuracy")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder with the files of one run."""

    path: Path

    @property
    def record(self) -> Path:
        """What was run and how it went (`harness/runs/record.py`)."""
        return self.path / RECORD

    @property
    def progress(self) -> Path:
        """The figures of each test as it went, a JSON line a report."""
        return self.path / "progress.jsonl"

    @property
    def dataset(self) -> Path:
        """A copy of the description of the dataset that the run is on."""
        return self.path / _DATASET

    @property
    def engine(self) -> Path:
        """A copy of the manifest of the engine that ran."""
        return self.path / _ENGINE

    @property
    def workload(self) -> Path:
        """A copy of the rules that the run was under."""
        return self.path / _WORKLOAD

    @property
    def accuracy(self) -> Path:
        """Scores and gates."""
        return self.path / _ACCURACY

    @property
    def answers(self) -> Path:
        """What the engine answered, beside the reference, a JSON line a sample."""
        return self.path / "answers.jsonl"

    def test(self, mode: str) -> TestFolder:
        """The folder of one LoadGen test."""
        return TestFolder(self.path / mode)

    def audit(self, test: str) -> AuditFolder:
        """The folder of one compliance test."""
        return AuditFolder(self.path / test)

    def digests(self) -> dict[str, str]:
        """SHA-256 of LoadGen's files and of what each test was, by path within the folder; of
        copies that lie elsewhere in it, too. Raises Unreadable for a folder that is not ours.
        """
        found = sorted(path for path in below(self.path) if path.name in _EVIDENCE)
        return {
            path.relative_to(self.path).as_posix(): hash_file(path)
            for path in found
            if path.is_file()
        }
