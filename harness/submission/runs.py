"""Which runs may be packed: everything that keeps one out is named, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engine.errors import ResultProblem
from build_engine.libraries import installed_version
from build_engine.store.manifest import EngineManifest
from build_engine.store.store import EngineStore
from harness.rules.rounds import Round
from harness.rules.workload import load_workload
from harness.runs import integrity
from harness.runs.record import RunRecord

_MODES = ("performance", "accuracy")
_NOT_SHARED = {"title", "sources", "scenarios"}  # fields of a workload that may differ in one pack


@dataclass(frozen=True, slots=True)
class PackableRun:
    """A run that passed every check here."""

    record: RunRecord
    benchmark: str
    """Name of its folder in the tree."""
    official: str
    """The official benchmark whose rules apply."""
    round: Round

    @property
    def content(self) -> dict[str, Any]:
        """Its run.json."""
        return self.record.content

    @property
    def scenario(self) -> str:
        """Offline, Server, Interactive or SingleStream."""
        return str(self.content["scenario"])

    @property
    def engine(self) -> dict[str, Any]:
        """The manifest of its engine."""
        manifest: dict[str, Any] = self.content["engine"]
        return manifest

    @property
    def reference(self) -> str | None:
        """The benchmark's model, when the engine was built from its very weights."""
        model = load_workload(self.official, self.round).model
        weights = self.engine["model"]["weights"]
        return model.hub if model is not None and model.has_weights(weights) else None


def accept(folders: Sequence[Path], division: str, chosen: Round) -> list[PackableRun]:
    """The runs, when all of them may be packed together.

    Raises UsageError for a folder that is no run, ResultProblem with every reason for a refusal.
    """
    records = [RunRecord.read(folder) for folder in folders]
    reasons = [
        f"{record.folder.name}: {reason}"
        for record in records
        for reason in _refusals(record, division, chosen)
    ]
    if not reasons:
        reasons = [*_together(records, chosen), *_scenarios(records, division, chosen)]
    if reasons:
        raise ResultProblem("Not packed. " + " ".join(reasons))
    return [
        PackableRun(
            record,
            _folder_name(record.content, chosen),
            _official(record.content, chosen) or "",
            chosen,
        )
        for record in records
    ]


def _refusals(record: RunRecord, division: str, chosen: Round) -> Iterator[str]:
    """Why one run cannot be packed."""
    content = record.content
    if content["status"] != "complete":
        cause = f" ({content['cause']})" if content["cause"] else ""
        yield f"the run is {content['status']}{cause}; run it again to its end."
        return
    if "simulated" in content["marks"] or content["engine"] is None:
        yield "it is a simulated run, never a result; run a real engine."
        return
    if "no MLPerf scenario" in content["marks"]:
        yield f"{content['workload']} has no scenario {content['scenario']}; leave it out."
        return
    if "short" in content["marks"]:
        yield "it is a short run; run it without --count and --duration."
    for mode in _MODES:
        test = content["tests"].get(mode)
        if test is None or test["status"] != "complete":
            yield f"it has no complete {mode} test; run it with --mode both."
        elif not test["verdict"]["valid"]:
            yield f"its {mode} test is {test['verdict']['sentence']}."
    yield from integrity.problems(record)
    version = str(content["versions"].get("mlcommons-loadgen"))
    if not chosen.loadgen.fits(version):
        yield (
            f"it was run with LoadGen {version}, and round {chosen.name} needs "
            f"{chosen.loadgen.text}; run it again with that, or choose another --round."
        )
    ran, packs = content["versions"].get("enginebench"), installed_version("enginebench")
    if ran != packs:
        yield (
            f"it was run by enginebench {ran}, and this is {packs}, whose code would be submitted; "
            f"pack with the version that ran."
        )
    if _official(content, chosen) is None:
        yield (
            f"its {content['num_samples']:,} samples are not those of any benchmark of round "
            f"{chosen.name}; run the whole dataset."
        )
    elif division == "closed":
        yield from _closed_refusals(content, chosen)


def _closed_refusals(content: Mapping[str, Any], chosen: Round) -> Iterator[str]:
    """What the closed division asks for on top."""
    if content["benchmark"] is None:
        yield f"workload {content['workload']} is no MLPerf benchmark; use --division open."
        return
    lacking = content["dataset"].get("shortfalls", [])
    if lacking:
        yield f"its dataset is not the benchmark's: {'; '.join(lacking)}; use --division open."
    engine = content["engine"]
    model = load_workload(content["benchmark"], chosen).model
    if model is not None and not model.has_weights(engine["model"]["weights"]):
        yield (
            f"its engine was not built from the benchmark's weights: those files of "
            f"{engine['model']['name']} are, by sha256, not {model.hub}'s at commit "
            f"{model.revision[:12]}; build from those, or use --division open."
        )
    seen = engine["identity"]["calibration"]
    if seen is not None and not seen["official"]:
        yield (
            f"its engine was calibrated on {engine['calibration']['name']}, not on the benchmark's "
            f"calibration set; run it again with --calibration, or use --division open."
        )
    gates = (content["accuracy"] or {}).get("gates", [])
    if not gates:
        yield "its accuracy was not compared with the reference; run the accuracy test again."
    for gate in gates:
        if not gate["passed"]:
            yield f"{gate['sentence']}; use a recipe that keeps more, or --division open."
    benchmark = chosen.benchmark(content["benchmark"])
    if engine["identity"]["target"]["kind"] == "gpu" and "datacenter" in benchmark.system_types:
        yield from (
            f"{problem}; then run again." for problem in content["system"]["closed_problems"]
        )
    for test in benchmark.compliance:
        audit = content.get("audits", {}).get(test)
        if audit is None:
            yield f"{test} is missing; run `enginebench audit` on it."
        elif audit["status"] != "complete" or not audit["verdict"]["valid"]:
            yield f"{test} did not pass: {audit['verdict']['sentence']}."


def _together(records: Sequence[RunRecord], chosen: Round) -> Iterator[str]:
    """Runs of one pack are of one engine, on one machine, and of different scenarios; those of one
    workload are on one dataset and under one set of rules.
    """
    first = records[0].content
    for record in records[1:]:
        content = record.content
        if content["engine"]["key"] != first["engine"]["key"]:
            fields = EngineStore.why(
                *(EngineManifest.model_validate(c["engine"]).identity for c in (first, content))
            )
            different = ", ".join(f"{name} {ours} and {other}" for name, ours, other in fields)
            yield (
                f"{record.folder.name} is of another engine than {records[0].folder.name} "
                f"({different}); pack the runs of one engine."
            )
        for fact in ("cpu", "num_cpus", "memory_gib"):
            if content["machine"].get(fact) != first["machine"].get(fact):
                yield (
                    f"{record.folder.name} ran on another machine ({fact} "
                    f"{content['machine'].get(fact)}, not {first['machine'].get(fact)}); pack the "
                    f"runs of one system."
                )
    seen: dict[tuple[str, str], str] = {}
    firsts: dict[str, RunRecord] = {}
    for record in records:
        name = _folder_name(record.content, chosen)
        yield from _differences(record, firsts.setdefault(name, record), name)
        key = (name, record.content["scenario"])
        if key in seen:
            yield f"{seen[key]} and {record.folder.name} are both {key[1]}; give one of them."
        seen[key] = record.folder.name


def _differences(record: RunRecord, first: RunRecord, name: str) -> Iterator[str]:
    """Why two runs are not of one workload, though both go into the folder `name`."""
    ours, other = record.content, first.content
    if ours["dataset"]["digest"] != other["dataset"]["digest"]:
        yield (
            f"{record.folder.name} is on another dataset than {first.folder.name}; pack runs of "
            f"{name} on the same data."
        )
    rules, its_rules = ours["workload_rules"], other["workload_rules"]
    both = rules.keys() | its_rules.keys()
    changed = sorted(k for k in both - _NOT_SHARED if rules.get(k) != its_rules.get(k))
    if changed:
        yield (
            f"{record.folder.name} ran {name} under other rules than {first.folder.name} "
            f"({', '.join(changed)}); pack runs under the same rules."
        )


def _scenarios(records: Sequence[RunRecord], division: str, chosen: Round) -> Iterator[str]:
    """Scenarios that a benchmark does not have, and those that a closed result lacks."""
    by_benchmark: dict[str, set[str]] = {}
    for record in records:
        name = _official(record.content, chosen)
        assert name is not None  # refused before
        by_benchmark.setdefault(name, set()).add(record.content["scenario"])
    for name, scenarios in by_benchmark.items():
        rules = chosen.benchmark(name)
        for unknown in sorted(scenarios - set(rules.scenarios)):
            yield (
                f"{name}, whose rules apply, has no scenario {unknown} in round {chosen.name}; "
                f"leave it out."
            )
        for missing in rules.missing(scenarios) if division == "closed" else ():
            yield f"A closed result of {name} needs {missing} too; run it."


def _folder_name(content: Mapping[str, Any], chosen: Round) -> str:
    """The official name for the benchmark itself only; others are called what they are."""
    name = str(content["benchmark"] or content["workload"])
    if name in chosen.reserved_names:
        return f"{name}-own"
    if name not in chosen.benchmarks:
        return name
    if content["benchmark"] is None:
        return f"{name}-changed"  # by --set, or in a file of the same name
    return f"{name}-other-data" if content["dataset"].get("shortfalls") else name


def _official(content: Mapping[str, Any], chosen: Round) -> str | None:
    """The benchmark whose counts and gates the checker applies."""
    if content["benchmark"] in chosen.benchmarks:
        return str(content["benchmark"])
    for name, rules in chosen.benchmarks.items():
        if rules.num_samples == content["num_samples"]:
            return name
    return None
