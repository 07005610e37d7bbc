"""`enginebench submission`: pack runs into an MLPerf submission, and check one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from build_engine.errors import EXIT_OK, EXIT_RESULT
from harness.cli.output import Output

app = App(
    name="submission",
    help="Pack runs into an MLPerf submission, and check one.",
    result_action="return_value",
)


@app.command
def pack(
    runs: list[Path],
    *,
    submitter: str,
    system: Path,
    division: str,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    round: str = "v6.1",
    json: bool = False,
) -> None:
    """Pack complete runs of one engine into a submission tree; anything else is refused by reason.

    Parameters
    ----------
    runs
        Run folders, one for each scenario, each with a performance and an accuracy test.
    submitter
        Your organisation, as its folder is called.
    system
        A file that describes the system: what `enginebench doctor --system-json` wrote, with the
        fields for a person filled in, or a .yaml of those fields alone.
    division
        closed or open.
    output
        The tree's folder; it must be new. What is truncated in it is kept whole beside it.
    round
        v5.1, v6.0 or v6.1.
    json
        Write what was packed to standard output as JSON.
    """
    from harness.rules.rounds import load_round
    from harness.submission.pack import PackRequest
    from harness.submission.pack import pack as write_pack

    out = Output(as_json=json)
    packed = write_pack(
        PackRequest(
            runs=runs,
            submitter=submitter,
            system=system,
            division=division,
            round=load_round(round),
            output=output,
        )
    )
    for result in packed.results:
        out.say(f"packed {result.relative(result.folder)}")
    out.say(f"Whole accuracy logs, to keep: {packed.originals}")
    out.say(
        "Results stay unofficial until MLCommons publishes them, and must be called so till then."
    )
    out.result(
        {
            "root": str(packed.root),
            "originals": str(packed.originals),
            "results": [result.relative(result.folder) for result in packed.results],
        }
    )
    out.next(
        f"enginebench submission check {packed.root} --round {round} --checker PATH, with a "
        f"checkout of mlcommons/inference"
    )


@app.command
def check(
    tree: Path,
    *,
    checker: Path | None = None,
    round: str = "v6.1",
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
    round
        v5.1, v6.0 or v6.1.
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
        out.next("mend what is named, and pack the runs again")
    elif official is None:
        out.next(f"git clone {REPOSITORY}, then add --checker inference")
    else:
        out.next("give the tree to MLCommons with its submission interface")
    return EXIT_OK if sound else EXIT_RESULT
