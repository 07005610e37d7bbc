"""`search --dry-run` foretells, and what is asked wrongly is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import EXIT_OK, EXIT_USAGE
from harness.search.record import SEARCH
from tests.harness.cli.line import Line

SEARCHED = ["search", "--model", "newsbrief", "--recipe", "bf16", "--scenario"]


def test_a_dry_run_foretells_and_does_nothing(line: Line, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    asked = [*SEARCHED, "Server", "--qps", "40", "--count", "1000", "--output", folder, "--dry-run"]
    said = line(*asked, "--json")
    assert said.code == EXIT_OK
    assert said.document == {
        "folder": str(folder),
        "start": {"rate": 40.0, "source": "as asked", "lowest": 0.625, "highest": 2560.0},
        "expected_s": 57.5,
        "at_least": False,
        "num_probes": 0,
    }
    assert "begins at 40 queries/s (as asked) and takes about 58 s" in said.err
    assert said.err.splitlines()[-1].startswith("Next: ")
    assert "--dry-run" not in said.err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["Offline"], "has no rate to be searched for"),
        (["Server", "--tolerance", "0"], "--tolerance is 0 per cent"),
        (["Server", "--emulate", "--target", "a30"], "leave out --emulate"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(line: Line, more: list[str], told: str) -> None:
    assert told in line.refused(EXIT_USAGE, *SEARCHED, *more)


def test_a_record_that_is_newer_is_refused(line: Line, tmp_path: Path) -> None:
    (tmp_path / SEARCH).write_text('{"schema_version": 7}')
    said = line(*SEARCHED, "Server", "--output", tmp_path, "--dry-run")
    assert said.code == EXIT_USAGE
    assert "newer enginebench" in said.err
