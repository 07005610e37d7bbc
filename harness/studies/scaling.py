"""Scaling: the same Offline test with one replica and with more, and what the further ones bring.

Every step takes the way through Ray, with the same cores for each replica, so that one is measured
as the others are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from build_engine.errors import Interrupted, UsageError
from build_engine.files import cannot_write, write_json
from build_engine.records import Record, read_record
from build_engine.target import load_target
from build_engine.validation import Grown
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.loadgen.replicas import ReplicaLoads, read_replicas
from harness.loadgen.supervise import Status
from harness.rules.rounds import DEFAULT
from harness.rules.scenario import Scenario
from harness.runs.choice import RunChoice
from harness.runs.execution import execute
from harness.runs.replication import Replication, number_of
from harness.runs.run import require_free
from harness.studies.place import check_study_folder, held
from harness.studies.saturation import Bound, Saturation
from runtime.executor import HeadLoad, ReplicaLoad
from runtime.replicas.spec import LOCAL

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.runs.engine_choice import EngineChoice
    from harness.runs.request import RunRequest
    from harness.runs.run import Run

RECORD = "scaling.json"
_USUAL = "1,2,4"
_REMEDY = "run `enginebench scaling` again with a new --output"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingChoice:
    """How an engine is scaled, as a user names it."""

    replicas: str | None = None
    """Numbers of replicas, with commas between them; the first is what the others are held
    against. When left out, 1, 2 and 4, as far as there are GPUs or cores for them.
    """
    output: Path | None = None
    """Where the runs go, a new or empty folder: results/scaling-MODEL when left out."""
    workload: str = BUNDLED
    """A workload by its name, or a .yaml file."""
    dataset: str | None = None
    """As for `enginebench run`."""
    count: int | None = None
    """Short trials over the first COUNT samples, without a minimum duration."""
    duration_s: float | None = None
    """Minimum seconds of each test, instead of the workload's."""
    round: str = DEFAULT
    """The MLPerf round whose LoadGen and seeds the runs must have."""
    ray_address: str | None = None
    """As for `enginebench run`."""
    cores_per_replica: int | None = None
    """Physical cores of each replica on the CPU target; when left out, what each of the most
    replicas can have, on whichever machine it is.
    """

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of replicas, ascending, whatever has room. Raises UsageError."""
        given = _USUAL if self.replicas is None else self.replicas
        words = [word.strip() for word in given.split(",")]
        return tuple(sorted({number_of(word, f", or several: {_USUAL}") for word in words}))

    def that_fits(self, *, on_gpu: bool) -> ScalingChoice:
        """The same with its numbers of replicas said, all of which find a place, and on CPUs the
        cores of each, which are as many in every step.

        Raises UsageError for what are no numbers, EnvironmentFault for more than there is room for.
        """
        steps = self.steps
        replication = Replication.of("1", self.ray_address or LOCAL, self.cores_per_replica, False)
        assert replication is not None, "an address is given"
        devices = replication.devices(on_gpu=on_gpu)
        if self.replicas is None:
            places = replication.places(devices)
            steps = tuple(count for count in steps if count <= places) or steps[:1]
        replication.require_places(steps[-1], devices, on_gpu=on_gpu)
        cores = self.cores_per_replica
        if cores is None and not on_gpu:
            cores = replication.equal_cores(steps[-1], devices)
        return replace(self, replicas=",".join(map(str, steps)), cores_per_replica=cores)

    def run_choice(self, count: int, folder: Path) -> RunChoice:
        """The run with `count` replicas."""
        return RunChoice(
            scenario=Scenario.OFFLINE,
            output=folder,
            workload=self.workload,
            dataset=self.dataset,
            mode="performance",
            count=self.count,
            duration_s=self.duration_s,
            round=self.round,
            replicas=str(count),
            ray_address=self.ray_address or LOCAL,
            cores_per_replica=self.cores_per_replica,
        )


class ScalingStep(Grown):
    """One number of replicas. `efficiency` is the tokens/s of a replica, as a share of those of one
    in the first step; None where either has none. `saturates_at_tokens_per_s` is where the head
    would be busy all the time, and `bound` what the run had no more of (`Saturation`).
    """

    LATER = ("head", "saturates_at_tokens_per_s", "bound")

    replicas: PositiveInt
    folder: str
    status: Status
    cause: str | None
    tokens_per_s: float | None
    efficiency: float | None
    loads: tuple[ReplicaLoad, ...]
    head: HeadLoad | None = None
    saturates_at_tokens_per_s: float | None = None
    bound: Bound | None = None

    @property
    def told(self) -> ReplicaLoads:
        """What its replicas and their head did."""
        return ReplicaLoads(replicas=self.loads, head=self.head)

    @property
    def saturation(self) -> Saturation | None:
        """Where the head saturates; None where this is not known."""
        return Saturation.of(self.tokens_per_s, self.head, self.loads)


class ScalingRecord(Record):
    """The content of `scaling.json`."""

    SCHEMA: ClassVar[int] = 1

    schema_version: int = SCHEMA
    command: str
    steps: tuple[ScalingStep, ...]


def efficiency(step: tuple[float | None, int], first: tuple[float | None, int]) -> float | None:
    """The tokens/s of one replica of a step, as a share of those of one in the first. Both are the
    tokens/s of all and how many they are; None where either has no rate.
    """
    (rate, count), (base, share) = step, first
    return (rate / count) / (base / share) if rate and base else None


def read_scaling(folder: Path) -> ScalingRecord:
    """The record of the study in `folder`. Raises UsageError for one that cannot be read, and
    FileNotFoundError where there is none.
    """
    return read_record(folder / RECORD, ScalingRecord, UsageError, _REMEDY)


def run_scaling(
    engine: EngineChoice, choice: ScalingChoice, folder: Path, command: str, progress: Progress
) -> ScalingRecord:
    """Measure every step below `folder`, and write its record there after each.

    Raises UsageErrors and EnvironmentFaults before anything is measured, and Interrupted when the
    user stops it; what is complete stays.
    """
    check_study_folder(folder, choice.dataset)
    require_free(folder)
    on_gpu = load_target(engine.target).kind == "gpu" and not engine.emulate
    asked, choice = choice.steps, choice.that_fits(on_gpu=on_gpu)
    steps = choice.steps
    if steps != asked:
        progress.note(f"There is room for no more: {choice.replicas} of {_USUAL} replicas.")
    made: list[ScalingStep] = []
    record = ScalingRecord(command=command, steps=())
    with held(folder):
        for number, run in enumerate(_runs(engine, choice, folder, progress), start=1):
            if run.record.status == "interrupted":
                raise Interrupted(f"Interrupted; what is complete is in {folder}.")
            made.append(_step(steps[number - 1], run, made[0] if made else None))
            record = record.model_copy(update={"steps": tuple(made)})
            try:
                write_json(folder / RECORD, record.to_json())
            except OSError as error:
                raise cannot_write(folder, error) from None
    return record


def _runs(
    engine: EngineChoice, choice: ScalingChoice, folder: Path, progress: Progress
) -> Iterator[Run]:
    requests: list[RunRequest] = []
    for count in choice.steps:
        wanted = choice.run_choice(count, folder / f"replicas-{count}")
        requests.append(wanted.request(engine, progress))
    for request in requests:  # after all are made: the last may ask for what cannot be
        yield execute(request, progress)


def _step(count: int, run: Run, first: ScalingStep | None) -> ScalingStep:
    record, test = run.record, run.record.tests.performance
    rate = test.metrics.tokens_per_s if test and test.metrics else None
    base = (first.tokens_per_s, first.replicas) if first else (rate, count)
    assert record.status != "running", "a run that has ended"
    try:
        told = read_replicas(run.folder.test("performance").replicas)
    except FileNotFoundError:  # it failed before
        told = ReplicaLoads(replicas=())
    saturation = Saturation.of(rate, told.head, told.replicas)
    return ScalingStep(
        replicas=count,
        folder=run.folder.path.name,
        status=record.status,
        cause=record.cause,
        tokens_per_s=rate,
        efficiency=efficiency((rate, count), base),
        loads=told.replicas,
        head=told.head,
        saturates_at_tokens_per_s=saturation.at_tokens_per_s if saturation else None,
        bound=saturation.bound if saturation else None,
    )
