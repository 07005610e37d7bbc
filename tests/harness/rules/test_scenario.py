"""Scenarios differ by facts; each fact is LoadGen's own, and is held against it where it can be."""

from __future__ import annotations

import json

import pytest

from harness.rules.scenario import Scenario


def test_queries_come_in_exactly_one_way() -> None:
    ways = {
        scenario: (scenario.all_at_once, scenario.has_rate, scenario.one_at_a_time)
        for scenario in Scenario
    }
    assert ways == {
        Scenario.OFFLINE: (True, False, False),
        Scenario.SERVER: (False, True, False),
        Scenario.INTERACTIVE: (False, True, False),
        Scenario.SINGLE_STREAM: (False, False, True),
    }


def test_all_but_offline_have_first_tokens() -> None:
    assert [each for each in Scenario if not each.has_first_tokens] == [Scenario.OFFLINE]


@pytest.mark.parametrize("scenario", Scenario)
def test_loadgen_knows_each_by_its_name_for_it(scenario: Scenario) -> None:
    import mlperf_loadgen as lg

    known = lg.TestScenario.__members__
    assert scenario.loadgen_name in known
    assert (scenario.value in known) is (scenario is not Scenario.INTERACTIVE)


def test_a_scenario_is_its_name_wherever_text_is_wanted() -> None:
    server = Scenario.SERVER
    assert (str(server), f"{server:8}|", json.dumps({server: server})) == (
        "Server",
        "Server  |",
        '{"Server": "Server"}',
    )
    assert {"Server": 1}[server] == {server: 1}["Server"] == 1  # type: ignore[index]
    assert {"Server"} == {server}


def test_a_name_that_is_none_of_them_has_no_scenario() -> None:
    assert Scenario.named("SingleStream") is Scenario.SINGLE_STREAM
    assert [Scenario.named(name) for name in ("MultiStream", "server", "SERVER", None)] == [
        None
    ] * 4
