"""`enginebench submission`: pack runs into an MLPerf submission, and check one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from build_engine.errors import EXIT_OK, EXIT_RESULT, NotPacked
from harness.cli.options import FIELDS, RoundName
from harness.cli.output import Output
from harness.rules.rounds import DEFAULT
from harness.submission.pack import PackRequest

app = App(
    name="submission",
    help="Pack runs into an MLPerf submission, and check one.",
    result_action="return_value",
)


@app.command
def pack(
    request: Annotated[PackRequest, FIELDS],
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    json: bool = False,
) -> int:
    """Pack complete runs of one engine into a submission tree; anything else is refused by reason.

    Parameters
    ----------
    output
        The tree's folder; it must be new. What is truncated in it is kept whole beside it.
    json
        Write what was packed to standard output as JSON.
    """
    from harness.submission.pack import pack as write_tree

    out = Output(as_json=json)
    try:
        packed = write_tree(request, output)
    except NotPacked as refused:
        out.say("Not packed:")
        for reason in refused.reasons:
            out.say(f"  {reason}")
        found = {"error": str(refused), "exit_code": EXIT_RESULT, "reasons": refused.reasons}
        out.result(found)
        out.advice("change what is named, and pack again")
        return EXIT_RESULT
    for result in packed.results:
        out.say(f"packed {result.relative(result.folder)}")
    out.say(f"Whole accuracy logs, to keep: {packed.originals}")
    out.say("Results are unofficial until MLCommons publishes them, and must be labelled so.")
    out.result(
        {
            "root": str(packed.root),
            "originals": str(packed.originals),
            "results": [result.relative(result.folder) for result in packed.results],
        }
    )
    out.next("submission", "check", packed.root, "--round", request.round)
    return EXIT_OK


@app.command
def check(
    tree: Path,
    *,
    checker: Path | None = None,
    round: RoundName = DEFAULT,
    submitter: str | None = None,
    json: bool = False,
) -> int:
    """Check a submission tree: with the official checker, where there is one, and with our rules.

    Parameters
    ----------
    tree
        The folder that holds closed/ or open/.
    checker
        A checkout of mlcommons/inference, whose checker is run with the round's version.
    submitter
        Look at this submitter only.
    json
        Write the findings to standard output as JSON.
    """
    from harness.rules.rounds import load_round
    from harness.submission.check import check_tree
    from harness.submission.official import REPOSITORY, run_official

    out = Output(as_json=json)
    chosen = load_round(round)
    findings = check_tree(tree, chosen, submitter)
    official = run_official(checker, tree, chosen.name, submitter) if checker else None
    if official is None:
        out.say(f"official checker   not run: it is in a checkout of {REPOSITORY} (--checker PATH)")
    else:
        for line in official.errors:
            out.say(f"  {line}")
        state = "passed" if official.passed else f"failed, exit code {official.exit_code}"
        out.say(f"official checker   {state}, --version {chosen.name}")
    for finding in findings:
        out.say(f"  {finding.where}: {finding.sentence}")
    out.say(f"our own rules      {f'{len(findings)} findings' if findings else 'passed'}")
    sound = not findings and (official is None or official.passed)
    out.result(
        {
            "ok": sound,
            "findings": [asdict(finding) for finding in findings],
            "official": asdict(official) if official else None,
        }
    )
    if not sound:
        out.advice("fix what is named, and pack the runs again")
    elif official is None:
        again = ["submission", "check", tree, "--round", round, "--checker", "inference"]
        out.advice(f"git clone {REPOSITORY} && {out.command(*again)}")
    else:
        out.advice("give the tree to MLCommons with its submission interface")
    return EXIT_OK if sound else EXIT_RESULT
