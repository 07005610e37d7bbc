"""The whole way to a submission on the CPU engine, as a user goes it: `make rehearsal`.

Offline (at least 600 s) and Server of newsbrief, accuracy, TEST06, an open submission, our check
and the official one. It takes an hour or more on two cores, and goes on from the last step that
passed when it is started again; `--quick` walks the same way in minutes, under a workload and a
round of its own, which only our check can know.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from build_engine.errors import EXIT_OK, UsageError
from harness.runs.folder import AUDIT_TEST
from harness.runs.run import Run
from harness.submission.tree import ORIGINALS
from tests.rehearsal.rules import write_quick_rules

_FILLED = {
    "status": "available",
    "system_name": "Rehearsal",
    "system_type": "datacenter",
    "division": "open",
    "submitter": "Rehearsal",
}
_QUICK_SAMPLES = 700  # of a Server test, so that LoadGen can tell a p99
_QUICK_S = 5.0
_NO_RULES: tuple[Sequence[str], Sequence[str]] = ((), ())


def main() -> int:
    """Every step; the exit code of the first that fails."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    workload, rules = _NO_RULES
    if options.quick:
        workload, rules = write_quick_rules(options.output, _QUICK_SAMPLES, _QUICK_S)
    started_s = time.monotonic()
    runs = []
    for scenario in ("Offline", "Server"):
        run = options.output / scenario.lower()
        runs.append(str(run))
        model = ["--model", "newsbrief", "--recipe", options.recipe, "--dataset", "newsbrief"]
        if scenario == "Server" and options.qps is not None:
            model += ["--qps", str(options.qps)]
        steps = {
            run: ["run", *model, *workload, "--scenario", scenario, "--output", str(run), *rules],
            run / AUDIT_TEST: ["audit", str(run), *rules],
        }
        for folder, step in steps.items():
            passed = _passed(run, folder)
            _say(
                f"{time.monotonic() - started_s:6.0f} s  {' '.join(step)}"
                f"{': passed before' if passed else ''}"
            )
            if not passed:
                shutil.rmtree(folder, ignore_errors=True)
                code = _enginebench(*step)
                if code:
                    return code
    system = options.output / "system.json"
    system.write_text(json.dumps(_describe_system(), indent=2), encoding="utf-8")
    tree = options.output / "tree"
    for place in (tree, tree.with_name(tree.name + ORIGINALS)):
        shutil.rmtree(place, ignore_errors=True)
    who = ["--submitter", "Rehearsal", "--system", str(system), "--division", "open"]
    code = _enginebench("submission", "pack", *runs, *who, "--output", str(tree), *rules)
    if code:
        return code
    checker = [] if options.quick else ["--checker", str(options.checker)]
    code = _enginebench("submission", "check", str(tree), *checker, *rules)
    _say(f"{time.monotonic() - started_s:6.0f} s  {'passed' if code == 0 else 'failed'}: {tree}")
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checker", type=Path, help="a checkout of mlcommons/inference")
    parser.add_argument("--output", type=Path, default=Path("results/rehearsal"))
    parser.add_argument("--recipe", default="int8_wo")
    parser.add_argument("--qps", type=float, help="of the Server run; half of the warm-up's rate")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not options.quick and options.checker is None:
        parser.error("--checker PATH is needed: a checkout of mlcommons/inference")
    return options


def _passed(run: Path, folder: Path) -> bool:
    """Whether an earlier rehearsal has the run, or the audit whose folder this is."""
    try:
        found = Run.read(run)
    except UsageError:
        return False
    if folder == run:
        return found.record.status == "complete" and found.exit_code == EXIT_OK
    audit = found.record.audits.get(folder.name)
    return audit is not None and audit.verdict.valid


def _enginebench(*arguments: str) -> int:
    """One command, in a process of its own as a user's is."""
    code = "import sys; from harness.cli.main import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode


def _describe_system() -> dict[str, str]:
    """What doctor detects, with something in place of what a person would fill in."""
    code = "import sys; from harness.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "doctor", "--system-json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    fields: dict[str, str] = json.loads(done.stdout)
    unknown = {key: "unknown to a rehearsal" for key, v in fields.items() if v.startswith("FILL")}
    return fields | unknown | _FILLED


def _say(text: str) -> None:
    sys.stderr.write(f"rehearsal {text}\n")


if __name__ == "__main__":
    sys.exit(main())
