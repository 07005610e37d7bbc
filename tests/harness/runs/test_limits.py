"""How close a run came to its limits: by hand, from timelines, and in its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.files import write_json
from build_engine.roofline.peaks import Peaks
from build_engine.store.engine import Engine
from build_engine.target import Detected, load_target
from harness.figures import ProgressFigures
from harness.loadgen.metrics import Metrics
from harness.rules.scenario import Scenario
from harness.runs.limits import limits_of, p90
from harness.runs.limits_record import LimitsRecord, PartName, PartOfLimit
from harness.runs.run import Run
from runtime.openvino.spec import EmulatedSpec, OpenVINOSpec
from runtime.replicas.messages import Core
from runtime.replicas.spec import ReplicasSpec
from runtime.simulated import SimulatedSpec
from runtime.spec import ExecutorSpec
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.figures import make_figures
from tests.harness.runs.claims import claim

ENGINE = OpenVINOSpec(folder=Path("/engines/bf16"))
FAST = Metrics(tokens_per_s=1000.0, samples_per_s=20.0)
PEAKS = Peaks({"bf16": 1e12, "fp32": 1e12}, 1e10, "measured by a test")


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.machine.measured.measured_peaks", lambda: PEAKS)


def _limits(
    scenario: Scenario = Scenario.OFFLINE,
    executor: ExecutorSpec = ENGINE,
    timeline: list[ProgressFigures] | None = None,
    p90_tokens: tuple[int, int] | None = None,
    **metrics: Any,
) -> LimitsRecord | None:
    figures = Metrics(**{"tokens_per_s": 1000.0, "samples_per_s": 20.0, **metrics})
    engine = Engine(Path("e"), make_manifest("bf16"))
    return _found(engine, scenario, executor, figures, timeline, p90_tokens).value


def _found(
    engine: Engine,
    scenario: Scenario = Scenario.OFFLINE,
    executor: ExecutorSpec = ENGINE,
    metrics: Metrics = FAST,
    timeline: list[ProgressFigures] | None = None,
    p90_tokens: tuple[int, int] | None = None,
) -> Detected[LimitsRecord | None]:
    told = (100.0, 50.0, timeline or [], p90_tokens)
    return limits_of(engine, executor, scenario, metrics, *told)


def _timeline(prompt_s: float, token_s: float, mixed: bool = True) -> list[ProgressFigures]:
    """Prompts first and answers after, or both in one ratio all the time."""
    found, elapsed_s, prompts, tokens = [make_figures()], 0.0, 0, 0
    for step in range(12):
        more = (100, 10) if not mixed or step < 6 else (0, 40)
        prompts, tokens = prompts + more[0], tokens + more[1]
        elapsed_s += more[0] * prompt_s + more[1] * token_s
        found.append(make_figures(elapsed_s=elapsed_s, prompt_tokens=prompts, tokens=tokens))
    return found


def test_shares_by_hand() -> None:
    part = PartOfLimit.of("all", 100.0, arithmetic_s=0.004, traffic_s=0.001)
    assert (part.overlap_limit, part.serial_limit) == pytest.approx((250.0, 200.0))
    assert (part.of_overlap, part.of_serial) == pytest.approx((0.4, 0.5))
    assert part.sentence == "40% of 250 tokens/s (50% of 200 serial)"
    assert "prompt tokens/s" in PartOfLimit.of("prefill", 1.0, 1.0, 1.0).sentence


def test_offline_is_held_against_the_limits_of_its_own_lengths() -> None:
    found = _limits()
    assert found is not None and [part.name for part in found.parts] == ["all"]
    inputs, whole = found.inputs, found.parts[0]
    assert (inputs.prompt_tokens, inputs.answer_tokens, inputs.requests) == (100.0, 50.0, 64)
    assert (inputs.linear_flops_per_s, inputs.bytes_per_s) == (1e12, 1e10)
    assert inputs.peaks == "measured by a test" in inputs.sentence
    assert 0 < inputs.step_bytes <= inputs.resident_bytes
    assert whole.achieved == 1000.0
    assert whole.overlap_limit >= whole.serial_limit
    assert whole.of_serial == pytest.approx(1000.0 / whole.serial_limit)


def test_a_timeline_tells_prefill_and_decode_apart() -> None:
    found = _limits(timeline=_timeline(prompt_s=0.001, token_s=0.01))
    assert found is not None
    prefill, decode = found.part("prefill"), found.part("decode")
    assert prefill is not None and prefill.achieved == pytest.approx(1000.0)
    assert decode is not None and decode.achieved == pytest.approx(100.0)


@pytest.mark.parametrize(
    "timeline",
    [
        _timeline(0.001, 0.01, mixed=False),
        _timeline(0.001, 0.01)[:5],
        [make_figures(), make_figures(elapsed_s=5.0)],
        _timeline(1e-9, 0.01),
    ],
    ids=["one ratio", "short", "nothing made", "beyond a limit"],
)
def test_nothing_is_made_up_where_they_cannot_be_told(timeline: list[ProgressFigures]) -> None:
    found = _limits(timeline=timeline)
    assert found is not None and [part.name for part in found.parts] == ["all"]


def test_single_stream_goes_by_its_latencies() -> None:
    found = _limits(Scenario.SINGLE_STREAM, latency_p50_s=0.5, ttft_p50_s=0.1, tpot_p50_s=0.008)
    assert found is not None and found.inputs.requests == 1
    achieved = {part.name: part.achieved for part in found.parts}
    assert achieved == pytest.approx({"all": 100.0, "prefill": 1000.0, "decode": 125.0})
    decode = found.part("decode")
    assert decode is not None
    assert decode.overlap_limit < 1e10 / found.inputs.step_bytes  # each token reads the weights


def test_single_stream_at_p90_goes_by_the_lengths_at_p90(tmp_path: Path) -> None:
    found = _limits(
        Scenario.SINGLE_STREAM, p90_tokens=(300, 60), latency_p50_s=0.5, latency_p90_s=0.8
    )
    assert found is not None
    whole, slow = found.part("all"), found.part("p90")
    assert whole is not None and slow is not None
    assert slow.achieved == pytest.approx(60 / 0.8)
    assert (found.inputs.p90_prompt_tokens, found.inputs.p90_answer_tokens) == (300, 60)
    assert (found.inputs.prompt_tokens, found.inputs.answer_tokens) == (100, 50)
    # a request of these lengths, as if all had them
    engine, figures = Engine(Path("e"), make_manifest("bf16")), Metrics(latency_p50_s=0.8)
    alike = limits_of(engine, ENGINE, Scenario.SINGLE_STREAM, figures, 300.0, 60.0, []).value
    assert alike is not None
    of_all = alike.part("all")
    assert of_all is not None
    assert slow == of_all.model_copy(update={"name": "p90"})
    assert slow.serial_limit != whole.serial_limit
    claim(tmp_path / "run").changed(limits=found)
    again = Run.read(tmp_path / "run").record
    assert again.limits == found and again.is_sealed


def test_nothing_is_held_against_p90_where_it_says_nothing() -> None:
    offline = _limits(p90_tokens=(300, 60), latency_p90_s=0.8)
    unknown = _limits(Scenario.SINGLE_STREAM, p90_tokens=(300, 60), latency_p50_s=0.5)
    silent = _limits(
        Scenario.SINGLE_STREAM, p90_tokens=(300, 0), latency_p50_s=0.5, latency_p90_s=0.8
    )
    for found in (offline, unknown, silent):
        assert found is not None and [part.name for part in found.parts] == ["all"]
        assert "p90" not in found.model_dump_json()  # as it was written before there was one


def test_p90_is_loadgens() -> None:
    assert p90(list(range(100, 0, -1))) == 91
    assert p90([7]) == 7


@pytest.mark.parametrize(
    "executor",
    [
        SimulatedSpec(),
        EmulatedSpec(folder=Path("/e")),
        ReplicasSpec(each=(SimulatedSpec(),), count=2),
    ],
    ids=["simulated", "emulated", "simulated replicas"],
)
def test_what_no_engine_computed_has_no_limits_and_no_reason(executor: ExecutorSpec) -> None:
    assert _limits(executor=executor) is None
    assert _found(Engine(Path("e"), make_manifest("bf16")), executor=executor).reason == ""


def _part(record: LimitsRecord | None, name: PartName = "all") -> PartOfLimit:
    assert record is not None
    part = record.part(name)
    assert part is not None
    return part


@pytest.mark.parametrize(("cores", "each"), [(4, None), (4, 2), (8, 4)])
def test_replicas_that_share_all_cores_are_held_against_the_machine(
    monkeypatch: pytest.MonkeyPatch, cores: int, each: int | None
) -> None:
    """Arithmetic as of the whole machine; but each reads the weights for its own requests."""
    here(monkeypatch, cores)
    pair = ReplicasSpec(each=(ENGINE,), count=2, device="cores", cores_each=each)
    alone, both = _limits(), _limits(executor=pair)
    assert alone is not None and both is not None
    assert both.inputs.replicas == 2
    assert both.inputs.linear_flops_per_s == alone.inputs.linear_flops_per_s / 2
    assert both.inputs.bytes_per_s == alone.inputs.bytes_per_s / 2
    assert both.inputs.sentence.startswith("2 times 0.5 TFLOP/s (0.5 in a step of 64) and 5 GB/s")
    for limit in ("overlap_limit", "serial_limit"):
        assert getattr(_part(both), limit) == pytest.approx(getattr(_part(alone), limit))


def test_replicas_on_some_of_the_cores_are_held_against_these(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here(monkeypatch, 8)
    compute_bound = Peaks({"bf16": 1e12, "fp32": 1e12}, 1e15, "measured by a test")
    monkeypatch.setattr("harness.machine.measured.measured_peaks", lambda: compute_bound)
    found = {
        count: _part(
            _limits(
                executor=ReplicasSpec(each=(ENGINE,), count=count, device="cores", cores_each=2)
            )
        )
        for count in (1, 2, 4)
    }
    whole = _part(_limits())
    for count, part in found.items():
        assert part.overlap_limit == pytest.approx(whole.overlap_limit * count / 4)
        assert part.of_overlap == pytest.approx(whole.of_overlap * 4 / count)


def test_one_request_at_a_time_is_computed_by_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, 4)
    times: dict[str, Any] = {"latency_p50_s": 0.5, "ttft_p50_s": 0.1, "tpot_p50_s": 0.008}
    pair = ReplicasSpec(each=(ENGINE,), count=2, device="cores")
    alone = _limits(Scenario.SINGLE_STREAM, **times)
    both = _limits(Scenario.SINGLE_STREAM, executor=pair, **times)
    assert both is not None and alone is not None
    assert both.inputs.replicas == 1
    assert both.inputs.bytes_per_s == alone.inputs.bytes_per_s
    assert both.inputs.linear_flops_per_s == alone.inputs.linear_flops_per_s / 2


def test_replicas_on_cpus_of_other_machines_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, 4)
    far = ReplicasSpec(each=(ENGINE,), count=2, device="cores", address="a:1")
    found = _found(Engine(Path("e"), make_manifest("bf16")), executor=far)
    assert found.value is None
    assert found.reason == (
        "peaks are known of this machine's CPU alone, and replicas may be on others"
    )


def here(monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    """This machine has so many cores."""
    monkeypatch.setattr(
        "harness.runs.limits.own_cores", lambda: [Core(n, 0, n) for n in range(num)]
    )


def _gpu_engine(name: str = "a30", sm: int = 80) -> Engine:
    manifest = make_manifest("bf16")
    target = manifest.identity.target.model_copy(
        update={"name": name, "kind": "gpu", "sm": sm, "compute": f"sm_{sm}"}
    )
    identity = manifest.identity.model_copy(update={"target": target})
    return Engine(Path("e"), resealed(manifest.model_copy(update={"identity": identity})))


def test_replicas_on_gpus_are_held_against_so_many_gpus() -> None:
    far = ReplicasSpec(each=(ENGINE,), count=4, device="gpu", address="a:1")
    engine = _gpu_engine()
    one, four = _found(engine).value, _found(engine, executor=far).value
    assert _part(four).overlap_limit == pytest.approx(4 * _part(one).overlap_limit)
    assert _part(four).serial_limit == pytest.approx(4 * _part(one).serial_limit)
    assert one is not None and four is not None
    assert four.inputs.sentence == f"4 times {one.inputs.sentence}"
    assert four.inputs == one.inputs.model_copy(update={"replicas": 4})
    assert "replicas" not in one.inputs.model_dump(mode="json")  # as records of before have it


def test_a_targets_own_file_says_what_its_peaks_are() -> None:
    """Also where a shipped one has its name, and where it is a CPU."""
    mine = load_target("a30").model_copy(update={"bandwidth_gb_s": 100.0})
    for name in ("mine", "a30"):
        own = mine.model_copy(update={"name": name})
        found = _found(replace(_gpu_engine(name), built_for=own)).value
        assert found is not None
        assert found.inputs.bytes_per_s == 1e11
        assert found.inputs.peaks == f"dense peaks and bandwidth that target `{name}` states"
    cpu = load_target("cpu").model_copy(
        update={"name": "mine", "bandwidth_gb_s": 100.0, "dense_tflops": {"bf16": 2.0, "fp32": 1.0}}
    )
    engine = Engine(Path("e"), make_manifest("bf16"), cpu)
    found = _found(engine).value
    assert found is not None
    assert (found.inputs.bytes_per_s, found.inputs.linear_flops_per_s) == (1e11, 2e12)


@pytest.mark.parametrize("engine", [_gpu_engine("mine"), _gpu_engine("a30", sm=90)])
def test_the_peaks_of_an_unknown_file_are_not_made_up(engine: Engine) -> None:
    found = _found(engine)
    assert found.value is None
    assert found.reason == (
        f"the file of target `{engine.target}`, which has its peaks, is not known"
    )


def test_a_run_of_fewer_at_once_is_held_against_its_own_limits() -> None:
    whole, fewer = _limits(), _limits(executor=ENGINE.model_copy(update={"max_batch_size": 1}))
    assert whole is not None and fewer is not None
    assert fewer.inputs != whole.inputs or fewer.parts != whole.parts


def test_without_peaks_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(Path("e"), make_manifest("bf16"))
    monkeypatch.setattr("harness.machine.measured.measured_peaks", lambda: None)
    assert _limits() is None
    assert _found(engine).reason.endswith("none were measured here (enginebench doctor --measure)")
    narrow = Peaks({"int4": 1e12}, 1e10, "measured by a test")
    monkeypatch.setattr("harness.machine.measured.measured_peaks", lambda: narrow)
    assert _limits() is None
    assert "no peak is known for bf16" in _found(engine).reason


def test_the_record_keeps_them_and_notices_an_edit(tmp_path: Path) -> None:
    run = claim(tmp_path / "run").changed(limits=_limits())
    again = Run.read(tmp_path / "run").record
    assert again == run.record and again.is_sealed
    assert again.limits == _limits()
    part = PartOfLimit.of("all", 1.0, 1.0, 1.0)
    assert again.limits is not None
    edited = again.limits.model_copy(update={"parts": (part,)})
    assert not again.model_copy(update={"limits": edited}).is_sealed


def test_a_record_of_before_is_read_as_it_is(tmp_path: Path) -> None:
    run = claim(tmp_path / "run")
    written = run.record.to_json()
    assert (
        "limits" not in written and "no_limits" not in written
    )  # so a record without the field is whole, and its seal holds
    write_json(run.folder.record, written)
    again = Run.read(tmp_path / "run").record
    assert again.limits is None and again.is_sealed
