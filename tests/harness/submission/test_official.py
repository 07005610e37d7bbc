"""Running the official checker: found in a checkout, given the round, and its outcome kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import UsageError
from harness.submission.official import run_official

_CHECKER = """\
import argparse, sys
parser = argparse.ArgumentParser()
for name in ("--input", "--csv", "--submitter"):
    parser.add_argument(name)
parser.add_argument("--version", choices=["v6.0", "v6.1"])
options = parser.parse_args()
open(options.csv, "w").close()
print("INFO", options.input, options.version, options.submitter)
if "broken" in options.input:
    print("[main] ERROR it is broken")
    sys.exit(1)
if "crash" in options.input:
    raise TypeError("no such benchmark")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A program in the place of the official checker, which takes its options."""
    package = tmp_path / "inference" / "tools" / "submission" / "submission_checker"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text(_CHECKER)
    return tmp_path / "inference"


@pytest.mark.parametrize("place", ["", "tools/submission", ".."])
def test_the_checker_is_found_and_told_the_round(
    checkout: Path, tmp_path: Path, place: str
) -> None:
    found = run_official(checkout / place, tmp_path / "tree", "v6.1", "ExampleOrg")
    assert found.passed
    assert f"INFO {tmp_path / 'tree'} v6.1 ExampleOrg" in found.output
    assert list(tmp_path.rglob("summary.csv")) == []


def test_its_errors_are_kept(checkout: Path, tmp_path: Path) -> None:
    found = run_official(checkout, tmp_path / "broken", "v6.1", None)
    assert (found.exit_code, found.errors) == (1, ("[main] ERROR it is broken",))


def test_a_crash_of_the_checker_is_a_failure_with_its_last_words(
    checkout: Path, tmp_path: Path
) -> None:
    found = run_official(checkout, tmp_path / "crash", "v6.1", None)
    assert (found.exit_code, found.errors) == (1, ("TypeError: no such benchmark",))


def test_a_checkout_that_does_not_know_the_round_must_be_updated(
    checkout: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"does not know round v5\.1; update the checkout"):
        run_official(checkout, tmp_path / "tree", "v5.1", None)


def test_a_folder_without_the_checker_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"git clone https://github\.com/mlcommons/inference"):
        run_official(tmp_path, tmp_path / "tree", "v6.1", None)
