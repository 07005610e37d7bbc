"""What keeps a run out of every submission, whatever else is done with it: only another run helps.

The audit asks before it runs anything, and packing asks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from harness.loadgen.settings import Mode
from harness.runs.worth import failures

if TYPE_CHECKING:
    from harness.rules.rounds import Round
    from harness.runs.record import RunRecord


def no_result(record: RunRecord) -> str | None:
    """Why a run is none of any kind, so that nothing else about it matters; None for others."""
    if record.status != "complete":
        cause = f" ({record.cause})" if record.cause else ""
        return f"the run is {record.status}{cause}; run it again to its end."
    if "simulated" in record.marks or (record.engine is None and record.served is None):
        return "it is a simulated run, never a result; run a real engine."
    if "emulated" in record.marks:
        return "it is an emulated run, never a result; run the engine on its GPU."
    if "no MLPerf scenario" in record.marks:
        return f"{record.workload.name} has no scenario {record.scenario}; leave it out."
    return None


def never_packed(record: RunRecord, chosen: Round) -> Iterator[str]:
    """The reasons, one sentence each; none for a run that may become a result."""
    reason = no_result(record)
    if reason is not None:
        yield reason
        return
    if "failures tolerated" in record.marks:
        yield "a replica may have been lost in it; run it without --tolerate-failures."
    if record.executor.on_other_machines:
        yield (
            "its replicas may have been on machines that its system description does not tell of; "
            "run it without --ray-address."
        )
    if "short" in record.marks:
        yield "it is a short run; run it without --count and --duration."
    for mode in get_args(Mode):
        test = record.tests.begun.get(mode)
        if test is None or test.status != "complete":
            yield f"it has no complete {mode} test; run it with --mode both."
        elif not test.verdict.valid:
            for failure in failures(test.verdict):
                yield f"its {mode} test is INVALID because {failure.removesuffix('.')}."
    if official_name(record, chosen) is None:
        yield (
            f"its {record.num_samples:,} samples are not those of any benchmark of round "
            f"{chosen.name}; run the whole dataset."
        )


def official_name(record: RunRecord, chosen: Round) -> str | None:
    """The benchmark whose counts and gates the checker applies."""
    if record.benchmark in chosen.benchmarks:
        return record.benchmark
    for name, rules in chosen.benchmarks.items():
        if rules.num_samples == record.num_samples:
            return name
    return None
