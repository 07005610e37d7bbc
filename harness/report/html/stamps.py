"""What the results on the page are not, for readers who see only the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.report.html.page import Stamp

if TYPE_CHECKING:
    from harness.report.result import Result
    from harness.runs.record import Mark

_MEANINGS: dict[Mark, str] = {
    "simulated": "A time model answered; neither speed nor text is an engine's.",
    "emulated": "A GPU recipe's arithmetic was carried out on a CPU: an accuracy, and no speed.",
    "demo workload": "Not an MLPerf workload: results compare with each other only.",
    "changed recipe": "A recipe was changed from the one of its name.",
    "changed workload": "The workload's rules were changed.",
    "no MLPerf scenario": "MLPerf has no such result in this round.",
    "other data": "Not the benchmark's dataset.",
    "other weights": "Not the benchmark's weights.",
    "declared engine": "A server's: known by what it says and what its user declares; not proven.",
    "caching not declared": "Nobody said whether the server reuses earlier prompts; many do.",
    "tokens by tokenizer": "Tokens were counted in the text of answers; the server told no ids.",
    "failures tolerated": "Replicas may have been lost, and their requests answered by others.",
    "short": "Trials over few samples or a short time, and no benchmark results.",
}


def make_stamps(results: Sequence[Result]) -> tuple[Stamp, ...]:
    """Each mark of any result, with how many have it where not all do."""
    found = []
    for mark, meaning in _MEANINGS.items():
        marked = sum(mark in result.marks for result in results)
        if marked:
            some = "" if marked == len(results) else f" ({marked} of {len(results)} runs)"
            found.append(Stamp(mark, f"{meaning}{some}"))
    return tuple(found)
