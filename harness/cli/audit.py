"""`enginebench audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harness.cli.options import RoundName
from harness.cli.output import Output
from harness.runs.folder import new_folder

_OWN_ROUND = Parameter(
    help="The MLPerf round whose audit settings apply; the run's own when left out."
)


def audit(
    run: Path, *, round: Annotated[RoundName | None, _OWN_ROUND] = None, json: bool = False
) -> int:
    """Run the compliance test TEST06 on a finished run's engine, and look for a cache of answers.

    Parameters
    ----------
    run
        The folder of a complete run with a performance test.
    json
        Write the verdict to standard output as JSON.
    """
    from harness.progress import make_progress
    from harness.rules.rounds import load_round
    from harness.runs.audit import audit as run_audit
    from harness.runs.folder import AUDIT_TEST
    from harness.runs.worth import told

    out = Output(as_json=json)
    progress = make_progress()
    try:
        finished = run_audit(run, load_round(round) if round else None, progress)
    finally:
        progress.close()
    rules = finished.verdict.rules
    out.lines([["ok" if rule.passed else "PROBLEM", rule.name, rule.measured] for rule in rules])
    valid = finished.verdict.valid
    if valid:
        out.say(f"{AUDIT_TEST}: passed")
    else:
        first, *sentences = told(finished.verdict, ())
        out.say(f"{AUDIT_TEST}: {first}")
        for sentence in sentences:
            out.say(f"    {sentence}")
    out.say(f"Everything lies in {finished.folder}")
    found = finished.record.model_dump(mode="json")
    out.result({"test": AUDIT_TEST, "folder": str(finished.folder), **found})
    if valid:
        pack = ["submission", "pack", run, "--submitter", "NAME", "--system", "FILE"]
        pack += ["--division", "open", "--round", round or finished.round]
        out.advice(
            f"describe the system in a FILE ({out.command('doctor', '--system-json')} begins one), "
            f"then pack: {out.command(*pack, '--output', new_folder('submission'))}"
        )
    else:
        out.advice(f"fix the cause, remove {finished.folder}, and audit again")
    return finished.exit_code
