"""A search that is stopped, fails, meets an edited record, or another search in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build_engine.errors import EnvironmentFault, Interrupted, ResultProblem, RunFailed, UsageError
from build_engine.store.limits import EngineLimits
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.runs.engine_choice import EngineChoice
from harness.runs.folder import RECORD
from harness.search import search as search_module
from harness.search.choice import SearchChoice
from harness.search.edge import ByPower
from harness.search.outcome import ProbeOutcome, RuntimeLimits, Step, Tail
from harness.search.plan import SearchPlan
from harness.search.prober import HIDDEN, Probed
from harness.search.record import SEARCH, read_search
from harness.search.search import Search, run_search
from harness.simulation.early_stopping import most_over_early

EDGE = 20.0
BETTER = RuntimeLimits(max_batch_size=64, max_num_tokens=512)


def plan_of(**options: Any) -> SearchPlan:
    asked = {"scenario": "Server", "count": 2000, **options}
    engine = EngineChoice(model="newsbrief", recipe="bf16", set=asked.pop("set", ()))
    return SearchPlan.of(SearchChoice(**asked), engine, NullProgress())


@dataclass
class FakeProber:
    """An engine whose TPOT is at its limit at `EDGE`; it may fail at some probe."""

    folder: Path
    asked: str = "this"
    edge: float = EDGE
    made: list[Step] = field(default_factory=list)
    fails: Callable[[int], Exception | None] = lambda number: None
    progress: NullProgress = field(default_factory=NullProgress)
    bursts: int = 0
    takes_limits: bool = False
    tuned_edge: float = EDGE
    hopeless: str | None = None

    dataset = SimpleNamespace(num_samples=2000, record=SimpleNamespace(own_set=False))
    engine = SimpleNamespace(
        manifest=SimpleNamespace(model=SimpleNamespace(name="newsbrief")),
        recipe="bf16",
        limits=EngineLimits(
            max_batch_size=64, max_num_tokens=2048, max_input_len=400, max_seq_len=440
        ),
    )
    prompt_lengths = (200,) * 2000

    def key(self, step: Step) -> str:
        tuned = f"-{step.limits}-{step.turn}" if step.limits or step.turn else ""
        return f"{step.kind}-{step.rate}-{step.queries}{tuned}"

    def burst(self) -> float:
        self.bursts += 1
        return 30.0

    def probe(self, step: Step) -> Probed:
        if error := self.fails(len(self.made)):
            raise error
        self.made.append(step)
        load = (step.rate / (self.tuned_edge if step.limits == BETTER else self.edge)) ** 4
        outcome = ProbeOutcome(
            kind=step.kind,
            rate=step.rate,
            queries=step.queries,
            limits=step.limits,
            turn=step.turn,
            answered=step.queries,
            given_up=False,
            ttft=Tail(limit_s=2.0, p99_s=0.1, over=0),
            tpot=Tail(limit_s=0.1, p99_s=0.1 * load, over=0),
            valid=load < 1 if step.kind == "whole" else None,
        )
        hopeless = self.hopeless if step.kind == "whole" else None
        return Probed(outcome, self.folder / self.key(step), hopeless)


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Search]:
    """Runs a search by a fake prober in a folder; runs that it recorded are taken to be there."""
    monkeypatch.setattr(search_module, "finished_run", lambda folder: object())
    monkeypatch.setattr(search_module, "foretelling", lambda *_: ByPower())

    def run(prober: FakeProber | None = None, *, fresh: bool = False, **options: Any) -> Search:
        prober = prober or FakeProber(tmp_path)
        monkeypatch.setattr(search_module, "_prober", lambda *_: prober)
        told: list[ProbeOutcome] = []
        done = run_search(
            plan_of(**options), tmp_path, "the command", NullProgress(), told.append, fresh=fresh
        )
        assert tuple(told) == done.probes
        return done

    return run


def test_it_ends_with_the_highest_valid_run(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    prober = FakeProber(tmp_path)
    done = searched(prober)
    best = done.best_probe
    assert best is not None and done.best is not None
    assert 0.96 * EDGE < best.rate < EDGE
    (step,) = [step for step in prober.made if (step.kind, step.rate) == ("whole", best.rate)]
    assert done.best.name == prober.key(step)
    record = read_search(tmp_path)
    assert (record.ended, record.limited, record.scenario) == (True, False, Scenario.SERVER)
    assert record.start is not None
    assert (record.start.rate, record.start.highest) == (21.0, 36.0)
    assert "burst of 30" in record.start.source


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("error", [Interrupted("Stop."), RunFailed("The engine died."), KeyError()])
def test_no_probe_that_ended_is_made_again(
    after: int, error: Exception, searched: Callable[..., Search], tmp_path: Path
) -> None:
    first = FakeProber(tmp_path, fails=lambda number: error if number == after else None)
    with pytest.raises(type(error)):
        searched(first)
    assert len(read_search(tmp_path).probes) == after
    second = FakeProber(tmp_path)
    done = searched(second)
    assert second.bursts == 0
    assert not any(step in first.made for step in second.made)
    assert len(done.probes) == len(first.made) + len(second.made)
    third = FakeProber(tmp_path)
    assert searched(third).probes == done.probes
    assert third.made == []
    fourth = FakeProber(tmp_path)
    searched(fourth, fresh=True)
    assert len(fourth.made) == len(done.probes)


def test_a_run_that_is_not_there_any_more_is_made_again(
    searched: Callable[..., Search], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = searched()
    monkeypatch.setattr(search_module, "finished_run", lambda folder: None)
    again = FakeProber(tmp_path)
    searched(again)
    assert {step.kind for step in again.made} == {"whole"}
    assert len(again.made) == sum(bool(probe.valid) for probe in done.probes)


def test_a_run_that_no_rate_mends_is_made_once(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    first = FakeProber(tmp_path, hopeless="So it is at any rate.")
    with pytest.raises(ResultProblem, match="at any rate"):
        searched(first)
    assert first.made[-1].kind == "whole"
    record = read_search(tmp_path)
    assert (record.ended, len(record.probes)) == (False, len(first.made))
    again = FakeProber(tmp_path)
    with pytest.raises(ResultProblem, match="at any rate"):
        searched(again)
    assert again.made == []
    assert searched(again, fresh=True).best is not None


def test_better_limits_of_the_scheduler_are_searched_with(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    plain = searched()
    assert plain.record.tuning is None and plain.best_probe is not None
    prober = FakeProber(tmp_path, takes_limits=True, tuned_edge=1.2 * EDGE)
    done = searched(prober, tune=True)
    assert not any(step.kind != "long" for step in prober.made if step.limits != BETTER)
    best, tuning = done.best_probe, done.record.tuning
    assert best is not None and tuning is not None and done.best is not None
    assert (tuning.best, tuning.told_apart, tuning.rate) == (BETTER, True, best.rate)
    assert best.limits == BETTER
    assert 0.96 * 1.2 * EDGE < best.rate < 1.2 * EDGE
    assert str(BETTER) in done.best.name
    again = FakeProber(tmp_path, takes_limits=True)
    assert searched(again, tune=True).record.best == done.record.best
    assert again.made == []


@pytest.mark.parametrize("takes_limits", [True, False])
def test_limits_that_bring_nothing_leave_the_search_as_it_is(
    takes_limits: bool, searched: Callable[..., Search], tmp_path: Path
) -> None:
    plain = searched(fresh=True)
    prober = FakeProber(tmp_path, takes_limits=takes_limits)
    done = searched(prober, tune=True)
    assert done.best == plain.best
    assert (done.record.tuning is not None) == takes_limits
    assert {step.kind for step in prober.made} == ({"long"} if takes_limits else set())


def test_an_edited_record_is_refused(searched: Callable[..., Search], tmp_path: Path) -> None:
    searched()
    record = json.loads((tmp_path / SEARCH).read_text())
    record["probes"][0]["outcome"]["rate"] = 99.0
    (tmp_path / SEARCH).write_text(json.dumps(record))
    with pytest.raises(UsageError, match="was changed after it was written"):
        searched()
    searched(fresh=True)


@pytest.mark.parametrize("content", ["[]", "{", '{"schema_version": 99}'])
def test_a_record_that_cannot_be_read_is_refused(
    content: str, searched: Callable[..., Search], tmp_path: Path
) -> None:
    (tmp_path / SEARCH).write_text(content)
    with pytest.raises(UsageError, match=SEARCH):
        searched()


def test_another_search_lies_elsewhere(searched: Callable[..., Search], tmp_path: Path) -> None:
    searched()
    with pytest.raises(UsageError, match="holds a search of something else"):
        searched(FakeProber(tmp_path, asked="that"))


def test_no_rate_is_valid(searched: Callable[..., Search], tmp_path: Path) -> None:
    done = searched(FakeProber(tmp_path, edge=0.001), qps=5.0)
    assert (done.best, done.best_probe) == (None, None)
    assert read_search(tmp_path).ended


def test_a_rate_above_the_highest_is_not_asked_for(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    prober = FakeProber(tmp_path)
    done = searched(prober, qps=5.0, highest=8.0)
    assert done.record.limited
    assert max(step.rate for step in prober.made) == 8.0


def test_the_highest_rate_of_an_earlier_command_does_not_hold(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    """The burst's own bound does, and its start."""
    low = searched(highest=8.0)
    assert low.record.limited
    prober = FakeProber(tmp_path)
    done = searched(prober)
    assert prober.bursts == 0
    assert not done.record.limited and done.best_probe is not None
    assert 0.96 * EDGE < done.best_probe.rate < EDGE
    start = done.record.start
    assert start is not None
    assert (start.rate, start.highest, start.burst) == (8.0, 36.0, 30.0)
    again = FakeProber(tmp_path)
    assert searched(again, highest=8.0).record.best == low.record.best
    assert again.made == []


def test_a_start_without_a_burst_is_written_as_it_always_was(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    """So that the seals of older records hold."""
    searched(qps=21.0)
    assert "burst" not in json.loads((tmp_path / SEARCH).read_text())["start"]


def test_a_run_that_is_too_short_for_a_p99_is_refused(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    prober = FakeProber(tmp_path)
    prober.dataset = SimpleNamespace(num_samples=100, record=SimpleNamespace(own_set=False))
    with pytest.raises(UsageError, match="raise --count to 459 or --duration to 92"):
        searched(prober, count=100, qps=5.0)
    assert prober.made == []


def test_a_run_that_is_too_short_at_the_edge_is_never_made(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    """Articles of a user's own: 600 queries fill a minute at the first rate, 180 at the edge."""
    prober = FakeProber(tmp_path, edge=3.0)
    prober.dataset = SimpleNamespace(num_samples=200, record=SimpleNamespace(own_set=True))
    with pytest.raises(UsageError, match=r"at 2\.9\d+ queries/s has 200 queries, too few"):
        searched(prober, count=None, duration_s=60.0, qps=10.0)
    assert prober.made and "whole" not in {step.kind for step in prober.made}


def test_a_whole_run_may_lose_what_loadgen_allows_of_all_that_it_asks(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    """The times that LoadGen draws fill 100 s a little after the 2,000th query: a pass more, where
    the rate alone tells of 1,960.
    """
    prober = FakeProber(tmp_path)
    prober.dataset = SimpleNamespace(num_samples=2000, record=SimpleNamespace(own_set=True))
    searched(prober, count=None, duration_s=100.0, qps=19.6, highest=19.6)
    whole = prober.made[-1]
    assert (whole.kind, whole.queries) == ("whole", 4000)
    assert whole.most_over == most_over_early(4000) > 2 * most_over_early(2000)


def test_fresh_removes_only_what_a_search_leaves(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    (tmp_path / HIDDEN).mkdir()
    run = tmp_path / "whole-3.5-d007ba26477c"
    mine = ("whole-milk", "whole-4-0123456789ab")  # without a run in it
    for folder in (run, *(tmp_path / name for name in mine)):
        folder.mkdir()
    (run / RECORD).touch()
    (tmp_path / "whole-milk" / RECORD).touch()
    searched(fresh=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(mine)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scenario": "Offline"}, "has no rate to be searched for"),
        ({"scenario": "Serve"}, "Did you mean `Server`"),
        ({"qps": 0.0}, "--qps is 0"),
        ({"highest": -1.0}, "--highest is -1"),
        ({"qps": 9.0, "highest": 8.0}, "is above --highest"),
        ({"tolerance": 0.0}, "--tolerance is 0"),
        ({"dataset": "nothing.jsonl"}, "nothing.jsonl"),
    ],
)
def test_what_can_be_refused_is_refused_first(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_of(**options)


def test_a_target_that_is_not_here_is_not_searched() -> None:
    engine = EngineChoice(model="newsbrief", recipe="bf16", target="a30")
    with pytest.raises(EnvironmentFault):
        SearchPlan.of(SearchChoice(scenario="Server"), engine, NullProgress())


def test_time_is_foretold() -> None:
    plan = plan_of(count=None, duration_s=100.0)
    takes_s, at_least = plan.expected_s(None)
    assert takes_s == pytest.approx(230.0)
    assert at_least
    takes_s, at_least = plan.expected_s(500.0)  # four whole passes of 13,368 fill it
    assert takes_s == pytest.approx(2.3 * 53_472 / 500)
    assert not at_least
    assert plan_of(count=1000).expected_s(10.0)[0] == pytest.approx(230.0)


def test_the_plan_is_of_the_engine_that_is_asked_for() -> None:
    engine = EngineChoice(
        model="newsbrief",
        recipe="bf16",
        max_batch_size=8,
        max_num_tokens=256,
        max_input_len=100,
        max_new_tokens=16,
    )
    plan = SearchPlan.of(SearchChoice(scenario="Server"), engine, NullProgress())
    assert plan.asked is not None
    assert plan.asked.limits == EngineLimits(
        max_batch_size=8, max_num_tokens=256, max_input_len=100, max_seq_len=116
    )


def test_the_plan_has_the_profile_that_is_asked_for() -> None:
    plan = plan_of()
    sizes = []
    for profile in ("throughput", "latency"):
        engine = EngineChoice(model="llama3.1-8b", recipe="int8_sq", target="a30", profile=profile)
        asked = replace(plan, engine=engine).asked
        assert asked is not None
        sizes.append(asked.limits.max_batch_size)
    assert sizes[0] > sizes[1]
