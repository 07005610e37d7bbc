"""The limits: a published table as data, cases by hand, and what must hold whatever the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from build_engine.checkpoint.known import resolve_architecture
from build_engine.recipe import load_recipe
from build_engine.roofline.limits import HOST_S, IDEAL, Efficiency, Roofline
from build_engine.roofline.memory import (
    Elements,
    MemoryEstimate,
    Weights,
    cache_room,
    requests_in,
)
from build_engine.roofline.peaks import stated_peaks
from build_engine.roofline.storage import CacheShare, Storage
from build_engine.roofline.work import Lengths, Work
from build_engine.target import load_target
from build_engine.trtllm.sizes import storage as stored

LLAMA = resolve_architecture("llama3.1-8b").config
NEWS = Lengths(prompt=870.6, answer=128, longest_prompt=2540)

# Requests at once, t_c and t_m in ms, overlap and serial limit in tokens/s, then TTFT, TPOT and
# SingleStream in ms: reckoned by hand from datasheets, for 24 GiB (A30, L4), 48 GiB (L40S) and
# 80 GB (A100, H100) with 2 GB kept back.
TABLE = [
    ("a30", "bf16", "bf16", 59, 87.1, 51.5, 1470, 924, 75, 16.2, 2135),
    ("a30", "int8_sq", "fp16", 112, 44.9, 26.6, 2851, 1791, 38, 8.7, 1148),
    ("a30", "int8_sq", "int8", 224, 44.9, 13.3, 2851, 2200, 38, 8.7, 1140),
    ("a30", "int8_wo", "int8", 224, 87.1, 13.3, 1470, 1275, 75, 8.7, 1177),
    ("a30", "int4_awq", "int8", 276, 87.1, 10.7, 1470, 1309, 75, 5.1, 720),
    ("l4", "fp8", "fp8", 224, 61.2, 41.3, 2091, 1249, 52, 27.0, 3478),
    ("a100-80gb", "bf16", "bf16", 473, 46.1, 9.7, 2779, 2297, 40, 7.4, 982),
    ("a100-80gb", "int8_sq", "int8", 1053, 23.7, 4.3, 5391, 4561, 20, 4.0, 524),
    ("l40s", "fp8", "fp8", 618, 20.2, 11.0, 6328, 4101, 17, 9.4, 1207),
    ("h100-sxm", "bf16", "bf16", 473, 14.5, 5.9, 8809, 6270, 12.5, 4.5, 586),
    ("h100-sxm", "fp8", "fp8", 1053, 7.5, 2.6, 17097, 12652, 6.4, 2.4, 313),
    ("h100-sxm", "int4_awq", "int8", 1104, 14.5, 2.5, 8809, 7515, 12.5, 1.4, 192),
]
BYTES = {"a30": 24 * 2**30, "l4": 24 * 2**30, "l40s": 48 * 2**30}
KEPT_BACK = 2 * 10**9


def llama_storage(recipe: str, kv_cache: str) -> Storage:
    return stored(load_recipe(recipe).model_copy(update={"kv_cache": kv_cache}), LLAMA)


def llama_on(target: str, recipe: str, kv_cache: str) -> Roofline:
    storage, peaks = llama_storage(recipe, kv_cache), stated_peaks(load_target(target)).value
    assert peaks is not None
    elements = Elements.of(LLAMA)
    weights = Weights.of(elements, storage)
    taken = MemoryEstimate(weights.resident, KEPT_BACK, 0)
    room = cache_room(
        BYTES.get(target, 80 * 10**9), taken, replace(storage, cache_share=CacheShare(1.0, 1.0))
    )
    return Roofline(
        work=Work.of(LLAMA, NEWS),
        lengths=NEWS,
        step_bytes=weights.read_per_step,
        kv_token_bytes=elements.kv_token * storage.kv_bytes,
        linear_peak=peaks.flops[storage.linear_math],
        other_peak=peaks.flops[storage.other_math],
        bandwidth=peaks.bandwidth,
        requests=requests_in(room, elements, storage, NEWS.request),
    )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(row[:3]))
def test_a_table_by_hand_is_reproduced(row: tuple[str, str, str, float]) -> None:
    target, recipe, kv_cache, *expected = row
    found = llama_on(target, recipe, kv_cache)
    figures = [
        found.requests,
        found.compute_s * 1e3,
        found.memory_s * 1e3,
        128 * found.overlap_limit,
        128 * found.serial_limit,
        found.ttft_s() * 1e3,
        found.tpot_s() * 1e3,
        found.latency_s() * 1e3,
    ]
    tight = [pytest.approx(value, rel=0.02) for value in expected]
    # the table has TTFT in whole ms, and TPOT in tenths
    tight[5], tight[6] = (
        pytest.approx(expected[5], abs=0.5, rel=0.02),
        pytest.approx(expected[6], abs=0.05, rel=0.02),
    )
    assert figures == tight


def test_the_operations_of_a_news_article() -> None:
    work = Work.of(LLAMA, NEWS)
    assert work.flops == pytest.approx(14.37e12, rel=0.002)
    assert work.prompt_linear + work.prompt_other == pytest.approx(12.40e12, rel=0.002)
    assert work.answer_linear + work.answer_other == pytest.approx(1.97e12, rel=0.01)


@pytest.mark.parametrize(
    ("target", "recipe", "reached", "offline", "server", "interactive"),
    [
        # what the same formulas gave by hand at these efficiencies
        ("h200-sxm", "fp8", 0.5, 59.8, 58.0, 52.8),
        ("h100-sxm", "fp8", 0.4, 46.8, 45.4, None),
        ("a30", "bf16", 0.4, 3.7, 3.5, 1.7),
        ("a30", "bf16", 0.5, 4.4, 4.3, 2.1),
        ("a30", "int8_sq", 0.4, 8.0, 7.4, 5.4),
        ("a30", "int8_sq", 0.5, 9.7, 9.1, 6.6),
    ],
)
def test_rates_by_hand(
    target: str,
    recipe: str,
    reached: float,
    offline: float,
    server: float,
    interactive: float | None,
) -> None:
    kv_cache = load_recipe(recipe).kv_cache
    found, at = llama_on(target, recipe, kv_cache), Efficiency(reached)
    assert found.offline(at) == pytest.approx(offline, rel=0.02)
    assert found.rate(at, 2.0, 0.1).queries_per_s == pytest.approx(server, rel=0.03)
    if interactive is not None:
        assert found.rate(at, 0.5, 0.03).queries_per_s == pytest.approx(interactive, rel=0.03)


def test_a_case_by_hand() -> None:
    """One weight, one layer: every figure can be reckoned without a machine."""
    simple = Roofline(
        work=Work(80.0, 20.0, 40.0, 10.0, kv_tokens=100.0),
        lengths=Lengths(prompt=10, answer=5, longest_prompt=10, spread=1.0),
        step_bytes=200.0,
        kv_token_bytes=2.0,
        linear_peak=40.0,
        other_peak=30.0,
        bandwidth=100.0,
        requests=4,
    )
    assert simple.compute_s == 3 + 1
    assert simple.memory_s == 4 * 2 / 4 + 2
    assert (simple.overlap_limit, simple.serial_limit) == (1 / 4, 1 / 8)
    assert simple.offline(Efficiency(0.5)) == 1 / (8 + 4)
    assert simple.efficiency(1 / 12) == 0.5
    assert simple.ttft_s() == pytest.approx(80 / 40 + 20 / 30)
    assert simple.tpot_s() == (200 + 12.5 * 2) / 100
    assert simple.latency_s() == pytest.approx(80 / 40 + 20 / 30 + 4 * 2.25)
    # by latency (1 - 2.002 / 20) / 6 queries/s, with 4 x 20 s of each in flight: more than 4
    step = 2 + HOST_S
    wanted = (1 - step / 20) / 6 * 80
    found = simple.rate(IDEAL, 10.0, 20.0)
    assert found.bound == "memory"
    assert found.wanted == pytest.approx(wanted)
    assert found.queries_per_s == pytest.approx(4 / (4 * step + 4 * 6))
    roomy = replace(simple, requests=100).rate(IDEAL, 10.0, 20.0)
    assert roomy.bound == "TPOT"
    assert roomy.queries_per_s == pytest.approx((1 - step / 20) / 6)
    assert simple.rate(IDEAL, 1.0, 20.0).bound == "TTFT"
    assert simple.rate(IDEAL, 10.0, 1.0).queries_per_s == 0


def test_more_than_the_memory_allows_is_no_efficiency() -> None:
    found = llama_on("a30", "bf16", "bf16")
    with pytest.raises(ValueError, match="more than the memory allows"):
        found.efficiency(1 / found.memory_s * 1.01)


POSITIVE = st.floats(min_value=1e-3, max_value=1e15, allow_nan=False)
SHARE = st.floats(min_value=0.01, max_value=1.0)


@st.composite
def rooflines(draw: st.DrawFn) -> Roofline:
    """Any machine with any model."""
    prompt = draw(st.floats(min_value=1.0, max_value=1e5))
    return Roofline(
        work=Work(*(draw(POSITIVE) for _ in range(5))),
        lengths=Lengths(
            prompt=prompt, answer=draw(st.integers(1, 4096)), longest_prompt=int(prompt) + 1
        ),
        step_bytes=draw(POSITIVE),
        kv_token_bytes=draw(POSITIVE),
        linear_peak=draw(POSITIVE),
        other_peak=draw(POSITIVE),
        bandwidth=draw(POSITIVE),
        requests=draw(st.integers(0, 10_000)),
    )


@given(rooflines(), SHARE, SHARE, POSITIVE, POSITIVE)
def test_no_figure_is_negative_and_none_is_above_its_limit(
    any_one: Roofline, compute: float, traffic: float, ttft_s: float, tpot_s: float
) -> None:
    reached = Efficiency(compute, traffic)
    rate = any_one.rate(reached, ttft_s, tpot_s)
    assert 0 <= any_one.serial_limit <= any_one.overlap_limit
    assert 0 <= any_one.offline(reached) <= any_one.serial_limit * (1 + 1e-9)
    assert rate.queries_per_s >= 0 and rate.wanted >= 0
    assert rate.queries_per_s <= any_one.rate(IDEAL, ttft_s, tpot_s).queries_per_s * (1 + 1e-9)
    assert 0 < any_one.latency_s() <= any_one.latency_s(reached) * (1 + 1e-9)


@given(rooflines(), st.floats(min_value=1.0, max_value=100.0), SHARE, POSITIVE, POSITIVE)
def test_more_bandwidth_arithmetic_or_memory_is_never_slower(
    any_one: Roofline, times: float, share: float, ttft_s: float, tpot_s: float
) -> None:
    reached = Efficiency(share, share)
    for better in (
        replace(any_one, bandwidth=any_one.bandwidth * times),
        replace(any_one, linear_peak=any_one.linear_peak * times),
        replace(any_one, other_peak=any_one.other_peak * times),
        replace(any_one, requests=int(any_one.requests * times)),
    ):
        assert better.overlap_limit >= any_one.overlap_limit * (1 - 1e-9)
        assert better.serial_limit >= any_one.serial_limit * (1 - 1e-9)
        assert better.offline(reached) >= any_one.offline(reached) * (1 - 1e-9)
        assert better.latency_s() <= any_one.latency_s() * (1 + 1e-9)
        faster, slower = (r.rate(reached, ttft_s, tpot_s) for r in (better, any_one))
        assert faster.queries_per_s >= slower.queries_per_s * (1 - 1e-6)


@given(rooflines(), SHARE)
def test_an_efficiency_is_found_again(any_one: Roofline, share: float) -> None:
    assume(any_one.requests > 0 and 1e-6 < any_one.compute_s / any_one.memory_s < 1e6)
    assert any_one.efficiency(any_one.offline(Efficiency(share))) == pytest.approx(share, rel=1e-3)
