"""Packing in tests: with a system description that is complete, into `<folder>/tree`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import ResultProblem
from harness.submission.pack import Packed, PackRequest, pack
from tests.harness.submission.conftest import SYSTEM


def pack_runs(
    top: Path,
    *folders: Path,
    division: str = "closed",
    system: str = SYSTEM.format(system_type="datacenter"),
    submitter: str = "ExampleOrg",
    round_name: str = "v6.1",
) -> Packed:
    (top / "system.yaml").write_text(system)
    request = PackRequest(
        runs=folders,
        submitter=submitter,
        system=top / "system.yaml",
        division=division,
        round=round_name,
    )
    return pack(request, top / "tree")


def refusal(top: Path, *folders: Path, **choices: Any) -> str:
    """Why the runs are not packed; and nothing is left behind."""
    with pytest.raises(ResultProblem) as caught:
        pack_runs(top, *folders, **choices)
    assert not [path.name for path in top.iterdir() if "tree" in path.name]
    return str(caught.value)
