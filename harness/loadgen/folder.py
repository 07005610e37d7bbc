"""The files of one LoadGen test: who writes or reads one asks here for its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DETAIL = "mlperf_log_detail.txt"
SUMMARY = "mlperf_log_summary.txt"
ACCURACY = "mlperf_log_accuracy.json"
USER_CONF = "user.conf"
ACCURACY_TXT = "accuracy.txt"
_TOKEN_COUNTS = "token_counts.json"
_GIVEN = "given_answers.npz"
_JOB = "job.json"
_REPLICAS = "replicas.json"
EVIDENCE = (
    DETAIL,
    SUMMARY,
    ACCURACY,
    ACCURACY_TXT,
    _TOKEN_COUNTS,
    _GIVEN,
    USER_CONF,
    _JOB,
    _REPLICAS,
)
"""What shows how a test went; a run remembers the digests of these."""


@dataclass(frozen=True, slots=True)
class TestFolder:
    """A folder with the files of one test; a file is there once the test came that far."""

    __test__ = False  # no test case of pytest's

    path: Path

    @property
    def job(self) -> Path:
        """What LoadGen's process was told to load."""
        return self.path / _JOB

    @property
    def user_conf(self) -> Path:
        """What LoadGen was told."""
        return self.path / USER_CONF

    @property
    def audit_config(self) -> Path:
        """The settings of a compliance test, which LoadGen applies over user.conf."""
        return self.path / "audit.config"

    @property
    def no_audit_config(self) -> Path:
        """A file that is never there: without one to look for, LoadGen would look for another in
        its working directory.
        """
        return self.path / "no-audit.config"

    @property
    def process_log(self) -> Path:
        """Standard output and error of LoadGen's process."""
        return self.path / "process.log"

    @property
    def detail(self) -> Path:
        """LoadGen's detail log, which has every figure."""
        return self.path / DETAIL

    @property
    def summary(self) -> Path:
        """LoadGen's summary, which is for people."""
        return self.path / SUMMARY

    @property
    def answers(self) -> Path:
        """LoadGen's accuracy log: the ids of each logged answer."""
        return self.path / ACCURACY

    @property
    def token_counts(self) -> Path:
        """Tokens of each answer, as the harness counted them."""
        return self.path / _TOKEN_COUNTS

    @property
    def given(self) -> Path:
        """What the engine gave: of each answer the sample, the ids and the times."""
        return self.path / _GIVEN

    @property
    def replicas(self) -> Path:
        """What each replica did, where there are some."""
        return self.path / _REPLICAS

    @property
    def partial(self) -> Path:
        """What an unfinished test measured, a JSON line a sample."""
        return self.path / "partial.jsonl"

    @property
    def accuracy_txt(self) -> Path:
        """The scores, in the form that the submission checker reads."""
        return self.path / ACCURACY_TXT
