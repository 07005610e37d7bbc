"""The conditions on any LoadGen test that is shown for a round, by its detail log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from build_engine.validation import counted
from harness.loadgen.settings import LOADGEN_MODES, Mode
from harness.rules.verdict import Rule

if TYPE_CHECKING:
    from harness.loadgen.detail import DetailLog
    from harness.rules.rounds import Round
    from harness.rules.scenario import Scenario


def of_any_test(log: DetailLog, chosen: Round, mode: Mode, scenario: Scenario) -> Iterator[Rule]:
    """All of them, for a test that claims to be of this mode and scenario."""
    yield no_errors(log)
    yield loadgen_version(log, chosen)
    yield seeds(log, chosen)
    yield clean_build(log, chosen)
    yield mode_of_test(log, mode)
    yield scenario_of_test(log, scenario)
    yield token_latencies(log)


def no_errors(log: DetailLog) -> Rule:
    """LoadGen logged no error; its own verdict does not look at them."""
    first = f": {log.errors[0]}" if log.errors else ""
    return Rule(
        name="no LoadGen errors",
        passed=not log.errors,
        measured=f"{counted(len(log.errors), 'error')}{first}",
        allowed="none, though LoadGen may call the test VALID all the same",
        remedy="see the detail log",
        value=len(log.errors),
        limit=0,
    )


def loadgen_version(log: DetailLog, chosen: Round) -> Rule:
    """The test ran under a LoadGen of the round."""
    return Rule(
        name="LoadGen's version",
        passed=chosen.loadgen.fits(log.version),
        measured=log.version,
        allowed=f"{chosen.loadgen.text}, for round {chosen.name}",
        remedy=_install(chosen),
    )


def seeds(log: DetailLog, chosen: Round) -> Rule:
    """Its three seeds are those of the round."""
    right = chosen.loadgen.seeds.by_setting
    wrong = {name: log.setting(name) for name, seed in right.items() if log.setting(name) != seed}
    return Rule(
        name="seeds of the round",
        passed=not wrong,
        measured=", ".join(f"{name} {value}" for name, value in wrong.items()) or "all three",
        allowed=f"those of round {chosen.name}",
        remedy=_install(chosen),
    )


def clean_build(log: DetailLog, chosen: Round) -> Rule:
    """LoadGen was built from unchanged sources."""
    return Rule(
        name="LoadGen unchanged",
        passed=not log.changes,
        measured=log.changes or "a clean build",
        allowed="a build without uncommitted changes",
        remedy=_install(chosen),
    )


def mode_of_test(log: DetailLog, mode: Mode) -> Rule:
    """The log is of a performance test, or of an accuracy test, as it should be."""
    return Rule(
        name="mode",
        passed=log.mode == LOADGEN_MODES[mode],
        measured=log.mode,
        allowed=LOADGEN_MODES[mode],
        remedy=f"run the {mode} test",
    )


def scenario_of_test(log: DetailLog, scenario: Scenario) -> Rule:
    """The log is of this scenario; Interactive is told from Server by its limits (`latencies`).

    The checker infers Offline from SingleStream on edge systems, and shows its samples/s as
    tokens/s.
    """
    return Rule(
        name="scenario",
        passed=log.scenario_name == scenario.loadgen_name,
        measured=log.scenario_name,
        allowed=scenario.loadgen_name,
        remedy=f"run {scenario} itself: nothing is inferred from another scenario",
    )


def token_latencies(log: DetailLog) -> Rule:
    """LoadGen measured TTFT and TPOT, and counted tokens."""
    return Rule(
        name="token latencies",
        passed=log.token_latencies,
        measured="on" if log.token_latencies else "off",
        allowed="on, for a language model",
        remedy="take `use_token_latencies` out of user.conf",
    )


def _install(chosen: Round) -> str:
    return f"install mlcommons-loadgen=={chosen.loadgen.wheel} and run again"
