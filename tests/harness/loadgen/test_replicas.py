"""`replicas.json`: what was done in a test, and not in its warm-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build_engine.errors import UsageError
from harness.loadgen.replicas import ReplicaLoads, read_replicas
from runtime.executor import ExecutorStats, HeadLoad, ReplicaLoad

BEFORE = ReplicaLoad(1, "a (10.0.0.1)", "GPU 0", 8, 800, 80, 2.0, 0.001)
HEAD = HeadLoad(2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 6)


def stats(load: ReplicaLoad, head: HeadLoad | None = None) -> ExecutorStats:
    return ExecutorStats(active=0, queued=0, replicas=(load,), head=head)


def test_it_holds_what_was_done_since(tmp_path: Path) -> None:
    after = replace(BEFORE, requests=108, prompt_tokens=9_800, tokens=1_080, busy_s=12.5)
    after = replace(after, dispatch_p99_s=0.002, lost="gone")
    later = HeadLoad(3.0, 0.2, 0.4, 0.6, 0.8, 1.0, 16)
    between = ReplicaLoads.between(stats(BEFORE, HEAD), stats(after, later))
    between.write(tmp_path / "replicas.json")
    told = read_replicas(tmp_path / "replicas.json")
    (found,) = told.replicas
    assert told.head == HeadLoad(1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 10)
    assert found == ReplicaLoad(1, "a (10.0.0.1)", "GPU 0", 100, 9_000, 1_000, 10.5, 0.002, "gone")


def test_one_of_before_says_nothing_of_the_head(tmp_path: Path) -> None:
    ReplicaLoads.between(stats(BEFORE), stats(BEFORE)).write(tmp_path / "replicas.json")
    assert "head" not in (tmp_path / "replicas.json").read_text()
    assert read_replicas(tmp_path / "replicas.json").head is None


def test_a_broken_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "replicas.json").write_text('{"schema_version": 1, "replicas": [{}]}')
    with pytest.raises(UsageError, match="Run again with a new --output"):
        read_replicas(tmp_path / "replicas.json")
