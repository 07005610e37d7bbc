"""The benchmarks run, count what they should and compare what they say; how fast is not tested."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import newsbrief
from benchmarks import a30, ceiling, dataset, efficiency, emulation, head, simulation, ways
from benchmarks.__main__ import main
from benchmarks.drive import drive
from benchmarks.null_system import loadgen_order
from benchmarks.peer_programs.gguf_file import _interleave, _rope_factors
from benchmarks.peer_programs.job import Measured, PeerJob
from benchmarks.peer_tables import best_figures, rate_tables, ratio_table
from benchmarks.result import Figure, figure, ratios
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.errors import EnvironmentFault, RunFailed, UnknownName
from harness.progress import NullProgress
from runtime.backend import load
from runtime.executor import Request
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_plan


@pytest.fixture
def built_once(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache in which the engines of other tests are."""
    monkeypatch.setenv("ENGINEBENCH_HOME", str(shared_cache))


def test_a_figure_is_its_median_with_its_spread_and_goal() -> None:
    found = Figure("ratio", "", (0.9, 1.0, 1.3), at_least=0.98)
    assert (found.value, found.met) == (1.0, True)
    assert found.spread == pytest.approx(0.2)
    assert found.row() == ["ratio", "1", "20.0 %", ">= 0.98: met"]
    assert Figure("p99", "ms", (2.0,), at_most=1.0).row() == ["p99", "2 ms", "-", "<= 1: MISSED"]
    assert Figure("rate", "tok/s", (12_345.6,)).row() == ["rate", "12,346 tok/s", "-", ""]
    assert (figure(97.26), figure(0.01234)) == ("97.3", "0.01234")
    assert ratios([2.0, 9.0], [1.0, 3.0]) == (2.0, 3.0)


def test_a_drive_keeps_to_its_concurrency_and_counts_the_tokens() -> None:
    executor = load(SimulatedSpec(num_tokens=5, ttft_s=0.001))
    prompt = np.arange(4, dtype=np.int32)
    requests = [Request(i, prompt, 128) for i in range(7)]
    done = drive(executor, requests, concurrency=2)
    assert done.num_tokens == 35
    assert done.answers == {i: [100, 101, 102, 103, 104] for i in range(7)}
    assert done.tokens_per_s == pytest.approx(35 / done.duration_s)


def test_a_failed_request_ends_a_drive() -> None:
    executor = load(SimulatedSpec(fault="error", fault_after=1))
    requests = [Request(i, np.arange(4, dtype=np.int32), 8) for i in range(3)]
    with pytest.raises(RunFailed, match="failed on request 1"):
        drive(executor, requests)


def test_loadgens_order_is_each_sample_once_and_always_the_same() -> None:
    plan = make_plan(num_samples=40)
    order = loadgen_order(plan)
    assert sorted(order) == list(range(40)) != order
    assert loadgen_order(plan) == order


def test_the_ceiling_is_read_from_loadgens_log() -> None:
    result = ceiling.measure(ceiling.Load(50, 200.0, 0.2), 1, NullProgress())
    found = {item.name: item.value for item in result.figures}
    assert found["Offline"] > 0
    latency = [found[f"Server, added latency p{p}"] for p in ("50", "99", "99.9")]
    assert latency == sorted(latency)
    assert latency[0] > 0


def test_the_head_of_the_replicas_hands_out_and_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "REPLICAS", (2,))
    monkeypatch.setattr(head, "_BATCH", 4)
    result = head.measure(20, 2, NullProgress())
    assert [(item.name[:10], item.unit, len(item.samples)) for item in result.figures] == [
        ("2 replicas", "1/s", 2),
        ("2 replicas", "tokens/s", 2),
        ("2 replicas", "tokens/s", 2),
    ]
    assert all(item.value > 0 for item in result.figures)


@pytest.mark.parametrize(("efficiency", "tokens_per_s"), [(1.0, 2200), (0.5, 1242), (0.4, 1020)])
def test_a_simulated_a30_agrees_with_its_closed_form(
    efficiency: float, tokens_per_s: float
) -> None:
    closed = simulation.ANSWER_TOKENS * a30.closed_form(efficiency, simulation.ANSWER_TOKENS)
    assert closed == pytest.approx(tokens_per_s, rel=0.01)
    found = simulation.offline(efficiency)
    assert found.num_queries == 13_368
    assert found.metrics.tokens_per_s == pytest.approx(tokens_per_s, rel=0.05)


def test_the_simulation_is_measured_in_virtual_time_and_under_loadgen() -> None:
    result = simulation.measure(simulation.Load(600, 200.0, 0.5), 1, NullProgress())
    found = {item.name: item.value for item in result.figures}
    assert found["Offline in virtual time"] > 0
    assert found["Offline's rate / the closed form's"] == pytest.approx(1.0, abs=0.3)
    assert found["its rate / the foretold"] == pytest.approx(1.0, abs=0.3)


@pytest.mark.usefixtures("built_once")
def test_efficiency_has_the_rates_and_the_cpu_time_of_both_sides() -> None:
    result = efficiency.measure("bf16", 40, 2, NullProgress())
    found = {item.name: item.samples for item in result.figures}
    rates = list(zip(found["under LoadGen"], found["bare executor"], strict=True))
    assert len(rates) == 2
    assert found["LoadGen / bare"] == pytest.approx([a / b for a, b in rates])
    cpu = zip(found["CPU of the process, LoadGen"], found["CPU of the process, bare"], strict=True)
    pairs = list(cpu)
    assert all(0 < percent < 100 for pair in pairs for percent in pair)
    assert found["harness cost by CPU time"] == pytest.approx([a - b for a, b in pairs])


@pytest.mark.usefixtures("built_once")
def test_each_way_to_an_engine_is_compared_with_the_engine_itself() -> None:
    result = ways.measure("bf16", 6, 2, NullProgress())
    found = {item.name: item.samples for item in result.figures}
    own = found["in a process"]
    assert found["through Ray / in a process"] == ratios(found["through Ray"], own)
    assert found["`serve` / in a process"] == ratios(found["through `serve`"], own)
    assert len(own) == 2
    assert all(rate > 0 for rates in found.values() for rate in rates)


def test_the_dataset_benchmark_prepares_and_scores_both_kinds() -> None:
    result = dataset.measure(12, newsbrief.CHECKPOINT, 1, NullProgress())
    assert [item.name for item in result.figures] == [
        "prepare, newsbrief",
        "prepare, newsbrief as the official list",
        "score, newsbrief",
        "prepare, long",
        "prepare, long as the official list",
        "score, long",
    ]
    assert any("goals are for 13,368" in note for note in result.notes)


def test_emulated_recipes_are_compared_and_what_cannot_be_made_here_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> dict[str, str]:
        raise EnvironmentFault("the library is not here.")

    monkeypatch.setattr("build_engine.trtllm.machine.library_versions", missing)
    choice = emulation.Choice(
        model="newsbrief",
        workload="newsbrief",
        dataset=None,
        calibration=None,
        count=3,
        recipes=("int8_wo", "int8_sq"),
        prompts=2,
    )
    result = emulation.measure(choice, NullProgress())
    (table,) = result.tables
    first, second = result.details["cases"]

    assert [row[:3] for row in table.rows] == [("bf16", "a30", "bf16"), ("int8_wo", "a30", "bf16")]
    assert table.rows[0][5] == "3/3"
    assert (first["same_answers"], first["num_prompts"]) == (3, 0)
    assert second["scores"]["rouge1"] > 80
    assert second["peak_host_bytes"] > 0
    assert result.notes[1:] == (
        "left out: int8_sq, fp16 KV: the library is not here.",
        "left out: int8_sq: the library is not here.",
    )


def test_only_recipes_that_are_compared_can_be_asked_for() -> None:
    choice = emulation.Choice(
        model="newsbrief",
        workload="newsbrief",
        dataset=None,
        calibration=None,
        count=3,
        recipes=("int8",),
    )
    with pytest.raises(UnknownName, match="Did you mean `int8_"):
        emulation.measure(choice, NullProgress())


def test_a_kv_cache_of_int8_is_calibrated_whatever_the_recipe_is() -> None:
    assert emulation.Case("bf16", "a30").settings(16) == ()
    assert emulation.Case("int8_sq", "a30").settings(None) == ()
    assert emulation.Case("bf16", "a30", "int8").settings(None) == (
        "recipe.kv_cache=int8",
        "recipe.calibration_samples=512",
    )
    assert emulation.Case("int8_sq", "a30", "fp16").settings(16) == (
        "recipe.kv_cache=fp16",
        "recipe.calibration_samples=16",
    )


def test_an_unknown_benchmark_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["startpu"]) == 2
    assert "Did you mean `startup`" in capsys.readouterr().err


def test_results_are_written_with_the_machine(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "bench.json"
    assert main(["dataset", "--samples", "8", "--repeats", "1", "--output", str(output)]) == 0
    document = json.loads(output.read_text())
    assert document["machine"]["num_cpus"] >= 1
    assert list(document["benchmarks"]) == ["dataset"]
    assert document["benchmarks"]["dataset"]["figures"][0]["value"] > 0


def test_a_peer_gets_whole_waves_and_fewer_per_place_at_high_concurrency() -> None:
    job = PeerJob("", "", 2, 64, [], [1, 4, 16, 64], waves=16, warmup_tokens=8)
    assert [job.requests(c) for c in job.concurrencies] == [16, 32, 64, 128]
    assert PeerJob(**(asdict(job) | {"waves": 4})).requests(64) == 64


def test_peers_are_compared_round_by_round() -> None:
    rounds = {
        "ours": [{1: Measured(1, 1.0, 10, [[1, 2]])}, {1: Measured(1, 2.0, 10, [[1, 2]])}],
        "fast": [{1: Measured(1, 2.0, 10, [[1, 2]])}, {1: Measured(1, 1.0, 10, [[1, 2]])}],
        "slow": [{1: Measured(1, 4.0, 10, [[1, 3]])}, {1: Measured(1, 4.0, 10, [[1, 3]])}],
    }
    (best,) = best_figures(rounds, ["ours"], ["slow", "fast"])
    assert best.samples == (2.0, 0.5)
    assert "ours / best peer (fast)" in best.name
    output, total, _ = rate_tables(rounds, {}, "slow", stop_ids=[])
    assert output.rows[0] == ("ours", "1.5", "0 %")
    assert output.rows[2] == ("slow", "0.5", "100 %")
    assert total.rows[2] == ("slow", "3")
    ended, *_ = rate_tables(rounds, {}, "slow", stop_ids=[3])  # the others go on where "slow" ends
    assert ended.rows[0] == ("ours", "1.5", "100 %")
    assert ratio_table(rounds, [("ours", "slow")]).rows == (("ours / slow", "3.00"),)


def test_gguf_rope_factors_give_the_engines_own_frequencies() -> None:
    config = json.loads((newsbrief.CHECKPOINT / "config.json").read_text())
    dim = config["head_dim"]
    plain = config["rope_theta"] ** -(np.arange(0, dim, 2) / dim)
    ours = resolve_checkpoint("newsbrief").config.inverse_frequencies
    np.testing.assert_allclose(plain / _rope_factors(config), ours, rtol=1e-5)
    assert _rope_factors(config | {"rope_scaling": None}) is None


def test_gguf_rows_of_a_head_are_interleaved() -> None:
    rows = np.arange(8)[:, None]  # two heads of four rows: halves (0, 1) and (2, 3)
    assert _interleave(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
