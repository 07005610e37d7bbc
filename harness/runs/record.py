"""`run.json`: what was run, on what, and how it went; complete at every moment.

A run is `running`, then `complete`, `interrupted` or `failed`. Every figure of a test comes from
LoadGen's detail log, and every verdict from named rules.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import (
    Field,
    PositiveInt,
    model_validator,
)

from build_engine.errors import EXIT_FAILED
from build_engine.records import Record
from build_engine.store.manifest import EngineManifest
from build_engine.store.sealed import content_key
from build_engine.validation import Frozen, Grown, Name, Sha256, Text
from harness.dataset.record import DatasetRecord
from harness.figures import ProgressFigures
from harness.loadgen.job import Probe
from harness.loadgen.metrics import Metrics
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.loadgen.supervise import Status
from harness.machine.facts import MachineFacts
from harness.machine.load import MachineLoad
from harness.rules.scenario import Scenario
from harness.rules.verdict import Verdict
from harness.rules.workload import Workload
from harness.runs.limits_record import LimitsRecord
from harness.runs.served import Served
from harness.runs.simulated import SimulatedEngine
from harness.scoring.accuracy import Accuracy, Gate
from runtime.backend import AnySpec

if TYPE_CHECKING:
    from harness.loadgen.detail import DetailLog

RunStatus = Literal["running", "complete", "interrupted", "failed"]
Mark = Literal[
    "simulated",
    "emulated",
    "demo workload",
    "changed recipe",
    "changed workload",
    "no MLPerf scenario",
    "other data",
    "other weights",
    "declared engine",
    "caching not declared",
    "tokens by tokenizer",
    "failures tolerated",
    "short",
]


class ProcessRecord(Frozen):
    """The process that runs the run; `started_s` is seconds after the machine's boot, by which
    another process of the same id is told apart.
    """

    host: Text
    pid: PositiveInt
    started_s: float


class PrimaryResult(Frozen):
    """The one figure that the submission checker reads as a scenario's result; `key` is that of
    LoadGen's detail log.
    """

    key: Text
    value: float
    unit: Literal["ms", "tokens/s"]

    @classmethod
    def of(cls, key: str, log: DetailLog) -> PrimaryResult | None:
        """The figure of a test; None where LoadGen gives none.

        Source: `RESULT_FIELD_BENCHMARK_OVERWRITE` in the checker's constants.py.
        """
        value = log.values.get(key)
        if value is None:
            return None
        if key.endswith("_ns"):
            return cls(key=key, value=value / 1e6, unit="ms")
        return cls(key=key, value=float(value), unit="tokens/s")


class LoadgenRecord(Frozen):
    """What LoadGen said of a test, in its own words."""

    version: str
    validity: str | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


class TestRecord(Frozen):
    """One LoadGen test. `plan` and `probe` are there once it was warm, `metrics` and what follows
    once it was complete. `load` is the machine's meanwhile, None where the kernel does not tell.
    """

    __test__ = False  # no test case of pytest's

    status: Status
    cause: str | None
    plan: LoadgenPlan | None
    probe: Probe | None
    last_figures: ProgressFigures | None
    verdict: Verdict
    metrics: Metrics | None = None
    primary: PrimaryResult | None = None
    loadgen: LoadgenRecord | None = None
    load: MachineLoad | None = None


class TestRecords(Frozen):
    """The tests that were begun, by their modes."""

    __test__ = False

    performance: TestRecord | None = None
    accuracy: TestRecord | None = None

    @property
    def begun(self) -> dict[Mode, TestRecord]:
        """Those that are there, in the order in which they run."""
        tests: dict[Mode, TestRecord | None] = {
            "performance": self.performance,
            "accuracy": self.accuracy,
        }
        return {mode: test for mode, test in tests.items() if test is not None}


class Spread(Frozen):
    """One figure over several tests: its median, and the lowest and highest of them."""

    name: Text
    unit: Literal["ms", "tokens/s"]
    median: float
    low: float
    high: float


class Repeats(Frozen):
    """The performance tests after the first, and the spread of all of them. The first one is the
    run's result whatever the others say, so that nobody picks the best.
    """

    tests: tuple[TestRecord, ...]
    spreads: tuple[Spread, ...] = ()


class AccuracyRecord(Frozen):
    """The score of an accuracy test, and its gates where the whole dataset was answered."""

    scores: Accuracy
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate was."""
        return all(gate.passed for gate in self.gates)


class AuditRecord(Frozen):
    """How a compliance test went."""

    status: Status
    cause: str | None
    verdict: Verdict


class SystemFacts(Frozen):
    """MLPerf's system description as far as the machine tells it, and what closed submissions do
    not allow. The keys of `fields` are MLPerf's.
    """

    fields: dict[str, str]
    closed_problems: tuple[str, ...]


class RunRecord(Grown, Record):
    """The content of `run.json`.

    `marks` are what keeps it from being a benchmark result; `workload` holds the rules as they were
    applied; `benchmark` is the MLPerf benchmark that it is a result of, None for any other.
    `files` are the digests of LoadGen's files and of what each test was, once the run has ended.
    """

    LATER: ClassVar[tuple[str, ...]] = ("limits", "no_limits", "served", "simulated")

    SCHEMA: ClassVar[int] = 5

    status: RunStatus
    cause: str | None = None
    exit_code: int | None = None
    """Of a run that failed."""
    command: Text
    started_utc: str
    ended_utc: str | None = None
    process: ProcessRecord
    marks: tuple[Mark, ...]
    round: Name
    workload: Workload
    benchmark: Name | None
    scenario: Scenario
    modes: tuple[Mode, ...]
    num_samples: PositiveInt
    dataset: DatasetRecord
    engine: EngineManifest | None
    engine_folder: Path | None
    served: Served | None = None
    """What is known of servers that are measured in the place of an engine."""
    simulated: SimulatedEngine | None = None
    """What a time model stood for in the place of an engine."""
    executor: AnySpec
    machine: MachineFacts
    system: SystemFacts
    versions: dict[str, str | None]
    tests: TestRecords = TestRecords()
    repeats: Repeats | None = None
    accuracy: AccuracyRecord | None = None
    limits: LimitsRecord | None = None
    """None where the peaks of the machine are not known, and where no engine computed."""
    no_limits: Text | None = None
    """Why they are not known, where engines were measured."""
    audits: dict[str, AuditRecord] = Field(default_factory=dict)
    files: dict[str, Sha256] = Field(default_factory=dict)
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """The sha256 of all the other fields, so that an edited one is noticed."""

    @model_validator(mode="after")
    def _whole(self) -> RunRecord:
        if self.status == "complete":
            for mode in self.modes:
                test = self.tests.begun.get(mode)
                if test is None or test.status != "complete" or test.metrics is None:
                    raise ValueError(f"it is complete, and its {mode} test has no figures.")
        return self

    @property
    def recipe(self) -> str:
        """The recipe of what was built or simulated, what servers are called, or the name of an
        executor without one.
        """
        if self.engine is not None:
            return self.engine.identity.recipe.name
        if self.simulated is not None:
            return self.simulated.recipe.name
        return self.served.name if self.served is not None else self.executor.backend

    @property
    def model(self) -> str | None:
        """The checkpoint's name."""
        if self.engine is not None:
            return self.engine.model.name
        if self.simulated is not None:
            return self.simulated.model
        return self.served.model if self.served is not None else None

    @property
    def target(self) -> str | None:
        """What the engine was built for, or was simulated; None for an executor without one."""
        if self.engine is not None:
            return self.engine.identity.target.name
        return self.simulated.target if self.simulated is not None else None

    @property
    def stop_ids(self) -> tuple[int, ...] | None:
        """The ids that end an answer; None for an executor without an engine."""
        if self.engine is not None:
            return tuple(self.engine.model.config.eos_token_ids)
        return self.served.stop_ids if self.served is not None else None

    def seal_of_fields(self) -> str:
        """The sha256 that `seal` must be."""
        return content_key(self.model_dump(mode="json", by_alias=True, exclude={"seal"}))

    @property
    def is_sealed(self) -> bool:
        """Whether no field was edited since it was sealed."""
        return self.seal == self.seal_of_fields()

    def sealed(self) -> RunRecord:
        """The same with its seal."""
        return self.model_copy(update={"seal": self.seal_of_fields()})

    @property
    def performance_tests(self) -> tuple[TestRecord, ...]:
        """All that were begun: the run's result, and then its repeats."""
        first = self.tests.performance
        again = self.repeats.tests if self.repeats else ()
        return again if first is None else (first, *again)

    @property
    def failed_with(self) -> int:
        """The exit code of a run that failed."""
        return EXIT_FAILED if self.exit_code is None else self.exit_code
