"""What run.json says of itself, made again from the files beside it: marks, plans, verdicts, gates,
and what it ran on.

The seal notices any edit of run.json. This notices one that was sealed again, wherever a file of
the run repeats what it says; when and on which machine it ran is known to nobody else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.digest import file_sha256
from build_engine.errors import DatasetError, EnginebenchError, RunFailed
from build_engine.files import read_json
from build_engine.store.engine import Engine
from build_engine.store.manifest import read_manifest
from build_engine.validation import shortened
from harness.dataset.prepared import Dataset
from harness.loadgen import logs
from harness.loadgen.given import GivenAnswers
from harness.loadgen.job import Job, read_job
from harness.rules.rounds import LIBRARY, load_round
from harness.rules.verdict import Verdict
from harness.runs.audit_verdict import answers_to_repeat, judge_audit
from harness.runs.caching import not_cached
from harness.runs.conditions.content import LANGUAGE_RULES
from harness.runs.folder import AUDIT_TEST
from harness.runs.judging import evidence_of, record_of
from harness.runs.marks import marks_of
from harness.runs.reading import Language
from harness.runs.record import AuditRecord, PrimaryResult, Repeats, TestRecord
from harness.runs.repeats import folder_name, with_test
from harness.runs.scope import RunScope
from harness.scoring.accuracy import check_gates

if TYPE_CHECKING:
    from harness.loadgen.settings import LoadgenPlan, Mode
    from harness.rules.rounds import Round
    from harness.runs.run import Run

_TOKENIZER = "tokenizer.json"


def contradictions(run: Run, chosen: Round | None = None) -> Iterator[str]:
    """What a complete run's record says otherwise than its files, one sentence each.

    `chosen` is the run's round; a shipped one by its name when None.
    """
    try:
        chosen = chosen or load_round(run.record.round)
        language = _language(run)
        yield from _what_ran(run)
        for mode, test in run.record.tests.begun.items():
            yield from _test(run, mode, mode, test, chosen, language)
        yield from _repeats(run, chosen, language)
        yield from _accuracy(run, chosen)
        for name, audit in run.record.audits.items():
            yield from _audit(run, name, audit, chosen, language)
    except (EnginebenchError, OSError, ArithmeticError) as error:
        yield f"{str(error).rstrip('.')}."  # a file that is gone or broken, or an absurd number


def scope_of(run: Run, plan: LoadgenPlan, chosen: Round) -> RunScope:
    """How much of its workload a run covers, by the plan of one of its tests."""
    record = run.record
    return RunScope(
        workload=record.workload,
        scenario=record.scenario,
        num_samples=record.num_samples,
        qps=plan.target_qps,
        duration_s=plan.min_duration_s,
        own_set=record.dataset.own_set,
        round=chosen,
    )


def _what_ran(run: Run) -> Iterator[str]:
    """Dataset, workload and engine against the copies beside run.json, and an engine against itself
    and where it still is.
    """
    record, folder = run.record, run.folder
    yield from _differs("cause", (record.cause, record.exit_code), (None, None))
    yield from _differs("modes", record.modes, tuple(record.tests.begun))
    yield from _copy("dataset", record.dataset.to_json(), folder.dataset)
    yield from _copy("workload", record.workload.model_dump(mode="json"), folder.workload)
    yield from _differs("num_samples", record.num_samples, record.dataset.num_samples)
    place = record.executor.engine_folder
    yield from _differs("engine_folder", record.engine_folder, place)
    if record.engine is None:
        return
    yield from _copy("engine", record.engine.to_json(), folder.engine)
    yield from _differs("engine.key", record.engine.key, record.engine.identity.key)
    yield from _differs("engine.seal", record.engine.seal, record.engine.seal_of_fields())
    if place is not None and place.is_dir() and read_manifest(place).key != record.engine.key:
        yield f"{place} is another engine than the run's; run again."


def _copy(what: str, said: Any, path: Path) -> Iterator[str]:
    try:
        beside = read_json(path, RunFailed, "run again")
    except FileNotFoundError:
        raise RunFailed(f"{path.name} is missing; run again") from None
    yield from _differs(what, said, beside)


def _repeats(run: Run, chosen: Round, language: Language | None) -> Iterator[str]:
    """The performance tests after the first, which have its plan, and their spread."""
    first, repeats = run.record.tests.performance, run.record.repeats
    if first is None or repeats is None:
        return
    for number, test in enumerate(repeats.tests, start=2):
        yield from _test(run, "performance", folder_name(number), test, chosen, language)
        log = logs.read_detail(run.folder.test(folder_name(number)).path)
        result = PrimaryResult.of(first.primary.key, log) if first.primary else None
        figures = (test.metrics, test.primary)
        yield from _differs(f"{folder_name(number)}: figures", figures, (log.metrics(), result))
    *earlier, last = repeats.tests
    again = with_test(first, Repeats(tests=tuple(earlier)), last)
    yield from _differs("repeats", repeats, again)


def _test(
    run: Run,
    mode: Mode,
    name: str,
    test: TestRecord,
    chosen: Round,
    language: Language | None,
) -> Iterator[str]:
    """The test in the folder `name` against its job, its user.conf, and all that a verdict goes
    by.
    """
    record, folder = run.record, run.folder.test(name)
    if test.plan is None or test.probe is None:
        yield f"{name}: it has no plan, or no probe; run again."
        return
    scope = scope_of(run, test.plan, chosen)
    planned = scope.plan(mode, test.probe)
    first = record.tests.performance
    if name != mode and first is not None and first.plan is not None:
        planned = first.plan
    yield from _differs(f"{name}: plan", test.plan, planned)
    conf = folder.user_conf.read_text(encoding="utf-8")
    yield from _differs(f"{name}: plan", test.plan.user_conf, conf)
    marks = marks_of(scope, record.dataset, record.engine, record.executor, record.simulated)
    yield from _differs("marks", record.marks, marks)
    benchmark = record.dataset.benchmark if scope.official else None
    yield from _differs("benchmark", record.benchmark, benchmark)
    yield from _job(run, name, read_job(folder.job))
    others: Mapping[int, Any] = {}
    if mode == "performance" and record.tests.accuracy is not None:
        others = GivenAnswers.load(run.folder.test("accuracy").given).by_sample
    evidence = evidence_of(folder, test.plan, test.probe, record.workload, chosen, language, others)
    version = str(record.versions.get(LIBRARY))
    yield from _differs(f"versions.{LIBRARY}", version, evidence.log.version)
    again = record_of(evidence, test.probe, test.last_figures, test.load)
    for field in ("status", "cause", "loadgen"):
        yield from _differs(f"{name}: {field}", getattr(test, field), getattr(again, field))
    yield from _verdict(f"{name}: verdict", run, test.verdict, again.verdict, language)


def _job(run: Run, name: str, job: Job) -> Iterator[str]:
    """What LoadGen's process was told against what run.json says; and the dataset itself, where it
    is still there.
    """
    record = run.record
    rules = record.workload
    stops = job.stop_ids if record.stop_ids is None else record.stop_ids
    told = (job.num_samples, job.max_new_tokens, job.min_new_tokens, job.samples)
    said = (record.num_samples, rules.max_new_tokens, rules.min_new_tokens, None)
    yield from _differs(f"{name}: job", said, told)
    yield from _differs(f"{name}: stop ids", tuple(stops), tuple(job.stop_ids))
    yield from _differs("executor", record.executor, job.executor)
    with contextlib.suppress(DatasetError):  # it may be gone
        dataset = Dataset.load(job.dataset)
        yield from _differs("dataset", record.dataset, dataset.record)
        if not dataset.is_whole:
            yield f"{job.dataset} is not as it was prepared; prepare it again, and run again."


def _accuracy(run: Run, chosen: Round) -> Iterator[str]:
    """The scores as they are beside run.json, and the gates, which follow from them."""
    record, test = run.record, run.record.tests.accuracy
    yield from _differs("scores", record.accuracy is not None, run.folder.accuracy.is_file())
    if record.accuracy is None or test is None or test.plan is None:
        return
    target, gated = record.workload.accuracy, scope_of(run, test.plan, chosen).gated
    gates = check_gates(record.accuracy.scores, target) if target and gated else ()
    yield from _differs("gates", record.accuracy.gates, tuple(gates))
    yield from _copy("accuracy", record.accuracy.model_dump(mode="json"), run.folder.accuracy)


def _audit(
    run: Run, name: str, audit: AuditRecord, chosen: Round, language: Language | None
) -> Iterator[str]:
    """A compliance test against its logs."""
    performance = run.record.tests.performance
    if name != AUDIT_TEST or performance is None or performance.plan is None:
        yield f"{name} is no compliance test of the run; run again."
        return
    if audit.status != "complete":
        return  # which nobody packs
    yield from _differs(f"{name}: cause", audit.cause, None)
    folder, job = run.folder.audit(name), read_job(run.folder.test("performance").job)
    test, others = answers_to_repeat(run)
    verdict, _ = judge_audit(folder, performance.plan, chosen, job, language, others, test)
    again = Verdict.of((*verdict.rules, not_cached(folder.path)))
    yield from _verdict(f"{name}: verdict", run, audit.verdict, again, language)


def _verdict(
    what: str, run: Run, said: Verdict, again: Verdict, language: Language | None
) -> Iterator[str]:
    """Rule by rule; those that need the engine's tokenizer have passed where it is gone."""
    if language is None and run.record.stop_ids is not None:
        by_name = {rule.name: rule for rule in said.rules}
        known = LANGUAGE_RULES & by_name.keys()
        if not known or not all(by_name[name].passed for name in known):
            yield f"{what} has not the rules on the answers; run again."
        said = Verdict.of(rule for rule in said.rules if rule.name not in LANGUAGE_RULES)
        again = Verdict.of(rule for rule in again.rules if rule.name not in LANGUAGE_RULES)
    yield from _differs(what, said.sentence, again.sentence)
    for ours, theirs in zip(said.rules, again.rules, strict=False):
        yield from _differs(f"{what}, {theirs.name}", ours, theirs)
    yield from _differs(f"{what}, number of rules", len(said.rules), len(again.rules))


def _language(run: Run) -> Language | None:
    """That of the engine that ran, where its tokenizer still is as it was built."""
    served = run.record.served
    if served is not None:
        return served.language if served.is_whole() else None
    manifest, folder = run.record.engine, run.record.executor.engine_folder
    if manifest is None or folder is None:
        return None
    entry, path = manifest.files.get(_TOKENIZER), folder / _TOKENIZER
    if entry is None or not path.is_file() or file_sha256(path) != entry.sha256:
        return None
    return Language.of(Engine(folder, manifest))


def _differs(what: str, said: Any, again: Any) -> Iterator[str]:
    if said != again:
        yield (
            f"{what} is not what the files of the run give ({_short(said)} in run.json, "
            f"{_short(again)} by them); run again."
        )


def _short(value: Any) -> str:
    return shortened(" ".join(str(value).split()))
