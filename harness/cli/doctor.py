"""`enginebench doctor`."""

from __future__ import annotations

from harness.cli.output import Output


def doctor(*, json: bool = False) -> int:
    """Check this machine: what can be built and run here, and what is missing.

    Parameters
    ----------
    json
        Write the findings to standard output as JSON.
    """
    from dataclasses import asdict

    from build_engine.errors import EXIT_ENVIRONMENT, EXIT_OK
    from harness.checks import all_checks

    out = Output(as_json=json)
    checks = all_checks()
    for check in checks:
        out.say(f"{'ok     ' if check.ok else 'PROBLEM'} {check.name:16} {check.finding}")
    problems = [check for check in checks if not check.ok and check.required]
    out.result({"ok": not problems, "checks": [asdict(check) for check in checks]})
    out.next(problems[0].remedy if problems else "enginebench demo")
    return EXIT_ENVIRONMENT if problems else EXIT_OK
