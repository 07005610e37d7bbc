"""The official submission checker, run from a checkout of mlcommons/inference that the user has.

Always with the round's `--version`: its default is another round, and a tree that is right for one
is wrong for the next.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from build_engine.errors import EnvironmentFault, UsageError

REPOSITORY = "https://github.com/mlcommons/inference"
_PACKAGE = "submission_checker"
_PLACES = ("", "tools/submission", "inference/tools/submission")
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class OfficialResult:
    """How the official checker ended. `errors` are its error lines, `output` all of them."""

    exit_code: int
    errors: tuple[str, ...]
    output: str

    @property
    def passed(self) -> bool:
        """Whether it found nothing wrong."""
        return self.exit_code == 0


def run_official(checkout: Path, tree: Path, version: str, submitter: str | None) -> OfficialResult:
    """Run the checker on a tree; `checkout` is the repository, or its tools/submission.

    Raises UsageError when the checker is not there or does not know the round, EnvironmentFault
    when it does not end.
    """
    folder = _find(checkout)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", f"{_PACKAGE}.main", "--input", str(tree.absolute())]
        command += ["--version", version, "--csv", str(Path(scratch) / "summary.csv")]
        if submitter is not None:
            command += ["--submitter", submitter]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentFault(
                f"The official checker did not end within {_TIMEOUT_S:.0f} s; run it by hand: "
                f"{' '.join(command)}"
            ) from None
    lines = done.stdout.splitlines()
    if done.returncode == 2 and any("--version" in line for line in lines):
        raise UsageError(
            f"The checker in {folder} does not know round {version}; update the checkout."
        )
    errors = tuple(line for line in lines if "ERROR" in line or "accuracy not met" in line)
    crash = tuple(lines[-1:]) if any(line.startswith("Traceback") for line in lines) else ()
    return OfficialResult(done.returncode, (*errors, *crash), done.stdout)


def _find(checkout: Path) -> Path:
    """The folder that holds the checker's package."""
    for place in _PLACES:
        folder = checkout / place
        if (folder / _PACKAGE / "main.py").is_file():
            return folder.absolute()
    raise UsageError(
        f"{checkout} has no tools/submission/{_PACKAGE}; give a checkout of {REPOSITORY} "
        f"(git clone {REPOSITORY}, at or after 2026-08-20 for v6.1)."
    )
