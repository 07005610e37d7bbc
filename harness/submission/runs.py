"""Which runs may be packed: everything that keeps one out is named, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from build_engine.errors import NotPacked
from build_engine.fields import differences
from build_engine.libraries import installed_version
from build_engine.store.manifest import EngineManifest
from harness.rules.rounds import LIBRARY, Round
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs import integrity
from harness.runs.packable import never_packed, no_result, official_name
from harness.runs.record import RunRecord
from harness.runs.run import Run
from harness.runs.served import Served
from harness.runs.worth import failures
from harness.submission.declared import lacking

_NOT_SHARED = {"title", "sources", "scenarios"}  # fields of a workload that may differ in one pack


@dataclass(frozen=True, slots=True)
class PackableRun:
    """A run that passed every check here."""

    run: Run
    benchmark: str
    """Name of its folder in the tree."""
    official: str
    """The official benchmark whose rules apply."""
    round: Round

    @property
    def record(self) -> RunRecord:
        """Its run.json."""
        return self.run.record

    @property
    def scenario(self) -> Scenario:
        """Its scenario."""
        return self.record.scenario

    @property
    def engine(self) -> EngineManifest:
        """The manifest of its engine."""
        assert self.record.engine is not None, "a run without one is refused"
        return self.record.engine

    @property
    def served(self) -> Served | None:
        """What is known of servers in the place of an engine."""
        return self.record.served

    @property
    def reference(self) -> str | None:
        """The benchmark's model, when the engine was built from its very weights."""
        if self.record.engine is None:
            return None
        model = load_workload(self.official, self.round).model
        if model is None or not model.has_weights(self.engine.model.weights):
            return None
        return model.hub


def accept(folders: Sequence[Path], division: str, chosen: Round) -> list[PackableRun]:
    """The runs, when all of them may be packed together.

    Raises UsageError for a folder that is no run, NotPacked with every reason for a refusal.
    """
    runs = [Run.read(folder) for folder in folders]
    reasons = [
        f"{run.name}: {reason}" for run in runs for reason in _refusals(run, division, chosen)
    ]
    if not reasons:
        reasons = [*_together(runs, chosen), *_scenarios(runs, division, chosen)]
    if reasons:
        raise NotPacked(reasons)
    return [
        PackableRun(
            run, _folder_name(run.record, chosen), official_name(run.record, chosen) or "", chosen
        )
        for run in runs
    ]


def _refusals(run: Run, division: str, chosen: Round) -> Iterator[str]:
    """Why one run cannot be packed."""
    record = run.record
    yield from never_packed(record, chosen)
    if no_result(record) is not None:
        return
    if record.served is not None:
        yield from lacking(record.served, division)
    own = chosen if chosen.name == record.round else None
    yield from integrity.problems(run, own)
    version = str(record.versions.get(LIBRARY))
    if not chosen.loadgen.fits(version):
        yield (
            f"it was run with LoadGen {version}, and round {chosen.name} needs "
            f"{chosen.loadgen.text}; run it again with that, or choose another --round."
        )
    ran, packs = record.versions.get("enginebench"), installed_version("enginebench")
    if ran != packs:
        yield (
            f"it was run by enginebench {ran}, and this is {packs}, whose code would be submitted; "
            f"pack with the version that ran."
        )
    if division == "closed" and record.engine and official_name(record, chosen) is not None:
        yield from _closed_refusals(record, record.engine, chosen)


def _closed_refusals(record: RunRecord, engine: EngineManifest, chosen: Round) -> Iterator[str]:
    """What the closed division asks for on top."""
    if record.benchmark is None:
        yield f"workload {record.workload.name} is no MLPerf benchmark; use --division open."
        return
    lacking = record.dataset.shortfalls
    if lacking:
        yield f"its dataset is not the benchmark's: {'; '.join(lacking)}; use --division open."
    model = load_workload(record.benchmark, chosen).model
    if model is not None and not model.has_weights(engine.model.weights):
        yield (
            f"its engine was not built from the benchmark's weights: those files of "
            f"{engine.model.name} are, by sha256, not {model.hub}'s at commit "
            f"{model.revision[:12]}; build from those, or use --division open."
        )
    seen, prompts = engine.identity.calibration, engine.calibration
    if seen is not None and prompts is not None and not seen.official:
        yield (
            f"its engine was calibrated on {prompts.name}, not on the benchmark's "
            f"calibration set; run it again with --calibration, or use --division open."
        )
    gates = record.accuracy.gates if record.accuracy else ()
    if not gates:
        yield "its accuracy was not compared with the reference; run the accuracy test again."
    for gate in gates:
        if not gate.passed:
            yield f"{gate.sentence}; use a recipe that keeps more, or --division open."
    benchmark = chosen.benchmark(record.benchmark)
    if engine.identity.target.kind == "gpu" and "datacenter" in benchmark.system_types:
        yield from (f"{problem}; then run again." for problem in record.system.closed_problems)
    for test in benchmark.compliance:
        audit = record.audits.get(test)
        if audit is None:
            yield f"{test} is missing; run `enginebench audit` on it."
        elif audit.status != "complete" or not audit.verdict.valid:
            for failure in failures(audit.verdict) or [f"it is {audit.status}"]:
                yield f"{test} did not pass: INVALID because {failure.removesuffix('.')}."


def _together(runs: Sequence[Run], chosen: Round) -> Iterator[str]:
    """Runs of one pack are of one engine, on one machine, and of different scenarios; those of one
    workload are on one dataset and under one set of rules.
    """
    first = runs[0]
    for run in runs[1:]:
        yield from _other_engine(run, first)
        ours, its = run.record.machine, first.record.machine
        facts = {
            "cpu": (ours.cpu, its.cpu),
            "num_cpus": (ours.num_cpus, its.num_cpus),
            "memory_gib": (ours.memory_gib, its.memory_gib),
        }
        for fact, (here, there) in facts.items():
            if here != there:
                yield (
                    f"{run.name} ran on another machine ({fact} {here}, not {there}); pack the "
                    f"runs of one system."
                )
    seen: dict[tuple[str, Scenario], str] = {}
    firsts: dict[str, Run] = {}
    for run in runs:
        name = _folder_name(run.record, chosen)
        yield from _differences(run, firsts.setdefault(name, run), name)
        key = (name, run.record.scenario)
        if key in seen:
            yield f"{seen[key]} and {run.name} are both {key[1]}; give one of them."
        seen[key] = run.name


def _other_engine(run: Run, first: Run) -> Iterator[str]:
    """In which fields the engine of a run is another one."""
    ours, its = run.record.engine, first.record.engine
    if ours is None or its is None:
        if (ours, run.record.served) != (its, first.record.served):
            yield f"{run.name} is of another engine than {first.name}; pack the runs of one engine."
        return
    if ours.key != its.key:
        fields = differences(its.identity, ours.identity)
        different = ", ".join(f"{name} {one} and {other}" for name, one, other in fields)
        yield (
            f"{run.name} is of another engine than {first.name} ({different}); pack the runs of "
            f"one engine."
        )


def _differences(run: Run, first: Run, name: str) -> Iterator[str]:
    """Why two runs are not of one workload, though both go into the folder `name`."""
    ours, other = run.record, first.record
    if ours.dataset.digest != other.dataset.digest:
        yield (
            f"{run.name} is on another dataset than {first.name}; pack runs of {name} on the same "
            f"data."
        )
    rules, its_rules = dict(ours.workload), dict(other.workload)
    changed = sorted(k for k in rules.keys() - _NOT_SHARED if rules[k] != its_rules[k])
    if changed:
        yield (
            f"{run.name} ran {name} under other rules than {first.name} ({', '.join(changed)}); "
            f"pack runs under the same rules."
        )


def _scenarios(runs: Sequence[Run], division: str, chosen: Round) -> Iterator[str]:
    """Scenarios that a benchmark does not have, and those that a closed result lacks."""
    by_benchmark: dict[str, set[Scenario]] = {}
    for run in runs:
        name = official_name(run.record, chosen)
        assert name is not None  # refused before
        by_benchmark.setdefault(name, set()).add(run.record.scenario)
    for name, scenarios in by_benchmark.items():
        rules = chosen.benchmark(name)
        for unknown in sorted(scenarios - set(rules.scenarios)):
            yield (
                f"{name}, whose rules apply, has no scenario {unknown} in round {chosen.name}; "
                f"leave it out."
            )
        for missing in rules.missing(scenarios) if division == "closed" else ():
            yield f"A closed result of {name} needs {missing} too; run it."


def _folder_name(record: RunRecord, chosen: Round) -> str:
    """The official name for the benchmark itself only; others are called what they are."""
    name = record.benchmark or record.workload.name
    if name in chosen.reserved_names:
        return f"{name}-own"
    if name not in chosen.benchmarks:
        return name
    if record.benchmark is None:
        return f"{name}-changed"  # by --set, or in a file of the same name
    return f"{name}-other-data" if record.dataset.shortfalls else name
