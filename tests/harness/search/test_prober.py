"""Which runs a search may go on after, and where an INVALID one is left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from build_engine.errors import EXIT_OK, EXIT_RESULT
from harness.rules.verdict import Rule, Verdict
from harness.search import prober as prober_module
from harness.search.outcome import Step
from harness.search.prober import HIDDEN, Prober, at_any_rate


def verdict(*failed: str) -> Verdict:
    names = ("TTFT at p99", "early stopping", "different answers", "prefix caching")
    return Verdict.of(
        Rule(name=name, passed=name not in failed, measured="1", allowed="2", remedy=f"mend {name}")
        for name in names
    )


def test_what_a_lower_rate_may_mend_is_searched_on() -> None:
    assert at_any_rate(verdict()) is None
    assert at_any_rate(verdict("TTFT at p99", "early stopping")) is None


def test_what_no_rate_mends_is_told_with_its_remedy() -> None:
    why = at_any_rate(verdict("TTFT at p99", "different answers"))
    assert why is not None
    assert "INVALID, and so it is at any rate. different answers" in why
    assert "mend different answers; then search again with --fresh." in why


@pytest.mark.parametrize(
    ("failed", "aside", "hopeless"),
    [((), False, False), (("TTFT at p99",), True, False), (("different answers",), True, True)],
)
def test_only_a_valid_run_lies_where_reports_look(
    failed: tuple[str, ...],
    aside: bool,
    hopeless: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever makes it INVALID."""
    place = tmp_path / "whole"

    def execute(request: Any, progress: Any, give_up: Any) -> Any:
        place.mkdir()
        test = SimpleNamespace(verdict=verdict(*failed), metrics=None)
        record = SimpleNamespace(
            status="complete", cause=None, tests=SimpleNamespace(performance=test)
        )
        code = EXIT_RESULT if failed else EXIT_OK
        return SimpleNamespace(record=record, exit_code=code, folder=SimpleNamespace(path=place))

    rules = SimpleNamespace(ttft_ms=2000.0, tpot_ms=100.0)
    workload = SimpleNamespace(rules_of=lambda scenario: rules)
    request = SimpleNamespace(scope=SimpleNamespace(workload=workload, scenario="Server"))
    monkeypatch.setattr(prober_module, "execute", execute)
    monkeypatch.setattr(Prober, "request", lambda *_: request)
    monkeypatch.setattr(Prober, "place", lambda *_: place)
    nothing = cast(Any, None)
    prober = Prober(nothing, nothing, nothing, (), tmp_path, nothing)
    made = prober.probe(Step(kind="whole", rate=2.0, queries=500, most_over=0))
    assert made.place == (tmp_path / HIDDEN / "whole" if aside else place)
    assert made.place.is_dir() and place.exists() != aside
    assert (made.outcome.valid, made.hopeless is not None) == (not failed, hopeless)
