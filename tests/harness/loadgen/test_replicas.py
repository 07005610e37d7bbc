"""`replicas.json`: what was done in a test, and not in its warm-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build_engine.errors import UsageError
from harness.loadgen.replicas import ReplicaLoads, read_replicas
from runtime.executor import ReplicaLoad

BEFORE = ReplicaLoad(1, "a (10.0.0.1)", "GPU 0", 8, 800, 80, 2.0, 0.001)


def test_it_holds_what_was_done_since(tmp_path: Path) -> None:
    after = replace(BEFORE, requests=108, prompt_tokens=9_800, tokens=1_080, busy_s=12.5)
    after = replace(after, dispatch_p99_s=0.002, lost="gone")
    ReplicaLoads.between([BEFORE], [after]).write(tmp_path / "replicas.json")
    (found,) = read_replicas(tmp_path / "replicas.json").replicas
    assert found == ReplicaLoad(1, "a (10.0.0.1)", "GPU 0", 100, 9_000, 1_000, 10.5, 0.002, "gone")


def test_a_broken_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "replicas.json").write_text('{"schema_version": 1, "replicas": [{}]}')
    with pytest.raises(UsageError, match="Run again with a new --output"):
        read_replicas(tmp_path / "replicas.json")
