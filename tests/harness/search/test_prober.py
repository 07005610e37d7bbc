"""Which runs a search may go on after."""

from __future__ import annotations

import pytest

from build_engine.errors import ResultProblem
from harness.rules.verdict import Rule, Verdict
from harness.search.prober import require_rate_matters


def verdict(*failed: str) -> Verdict:
    names = ("TTFT at p99", "early stopping", "different answers", "prefix caching")
    return Verdict.of(
        Rule(name=name, passed=name not in failed, measured="1", allowed="2", remedy=f"mend {name}")
        for name in names
    )


def test_what_a_lower_rate_may_mend_is_searched_on() -> None:
    require_rate_matters(verdict())
    require_rate_matters(verdict("TTFT at p99", "early stopping"))


def test_what_no_rate_mends_ends_the_search_with_its_remedy() -> None:
    with pytest.raises(
        ResultProblem, match=r"INVALID, and so it is at any rate\. different answers"
    ):
        require_rate_matters(verdict("TTFT at p99", "different answers"))
