"""From a completed performance test to how close it came to its limits.

Whole answers are held against the limits of `build_engine/roofline/limits.py`. In SingleStream that
is the median latency at mean lengths, and p90 at p90 of the lengths; the medians of TTFT and TPOT
say how fast prompts are read and tokens made. Where requests are computed together, the seconds of
a prompt token and of an answer's token are those that explain the test's timeline best (least
squares), if both came in ratios that differ enough to tell them apart, and neither is then beyond
its limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from build_engine.backend import backend as builder
from build_engine.errors import ConfigError, UnknownName
from build_engine.roofline.engine import engine_roofline
from build_engine.roofline.memory import Elements, Weights
from build_engine.roofline.peaks import stated_peaks
from build_engine.roofline.work import Lengths
from build_engine.target import Detected, load_target
from harness.machine.measured import MEASURE, is_this_cpu, known_peaks
from harness.runs.limits_record import LimitInputs, LimitsRecord, PartName, PartOfLimit
from runtime.backend import backend
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.spec import ReplicasSpec

if TYPE_CHECKING:
    from build_engine.roofline.limits import Roofline
    from build_engine.roofline.peaks import Peaks
    from build_engine.roofline.storage import Storage
    from build_engine.store.engine import Engine
    from build_engine.store.manifest import EngineManifest
    from build_engine.target import Target
    from harness.figures import ProgressFigures
    from harness.loadgen.metrics import Metrics
    from harness.rules.scenario import Scenario
    from runtime.spec import ExecutorSpec

_LEAST_POINTS = 8
_LEAST_APART = 0.02
"""1 less the squared cosine between prompt tokens and tokens over the timeline, at least."""


def limits_of(
    engine: Engine,
    executor: ExecutorSpec,
    scenario: Scenario,
    metrics: Metrics,
    prompt_tokens: float,
    answer_tokens: float,
    timeline: Sequence[ProgressFigures],
    p90_tokens: tuple[int, int] | None = None,
) -> Detected[LimitsRecord | None]:
    """Of a test whose prompts and answers had so many tokens on average, and so many at p90, which
    counts in SingleStream; None with the reason where they are not known, and without one where no
    engine computed its answers.
    """
    manifest = engine.manifest
    identity, config = manifest.identity, manifest.model.config
    if not backend(executor.answers_by).measured:  # what stands in for engines has no limits
        return Detected(None, "")
    if prompt_tokens <= 0 or answer_tokens <= 0:
        return Detected(None, "there were no tokens")
    # a request alone is computed by one replica, while the others have nothing to do
    num = 1 if scenario.one_at_a_time else executor.num_replicas
    found = _peaks_of_one(engine, executor, num)
    if found.value is None:
        return Detected(None, found.reason)
    try:
        storage = builder(identity.backend.name).storage_of(identity.recipe, config)
    except ConfigError as error:
        return Detected(None, str(error))
    lengths = _lengths(prompt_tokens, answer_tokens)
    built = identity.limits.max_batch_size  # a run may be limited to fewer
    requests = 1 if scenario.one_at_a_time else executor.own_batch_size or built
    limits = engine_roofline(config, storage, lengths, found.value, requests)
    if limits is None:
        precisions = " and ".join(dict.fromkeys((storage.linear_math, storage.other_math)))
        return Detected(None, f"no peak is known for {precisions}, in which it computes")
    parts = tuple(_parts(limits, scenario, metrics, answer_tokens, timeline, num))
    inputs = _inputs(limits, found.value, manifest, storage, answer_tokens, num)
    if scenario.one_at_a_time and p90_tokens and all(p90_tokens) and metrics.latency_p90_s:
        slow = engine_roofline(config, storage, _lengths(*p90_tokens), found.value, requests)
        assert slow is not None, "as for the mean"
        parts = (*parts, _alone("p90", slow, p90_tokens[1], metrics.latency_p90_s))
        inputs = inputs.model_copy(
            update={"p90_prompt_tokens": p90_tokens[0], "p90_answer_tokens": p90_tokens[1]}
        )
    if not parts:
        return Detected(None, "the test has no rate")
    return Detected(LimitsRecord(inputs=inputs, parts=parts), "")


def p90(values: Sequence[int]) -> int:
    """As LoadGen has it. Source: `results.cc`, the value at `count * 0.9`, rounded down."""
    return sorted(values)[len(values) * 90 // 100]


def _peaks_of_one(engine: Engine, executor: ExecutorSpec, num: int) -> Detected[Peaks | None]:
    """Of the GPU of each replica, or of the cores that each has on this machine, whose memory the
    `num` that compute at the same time share.
    """
    target = _target(engine)
    if target is None:
        return Detected(
            None, f"the file of target `{engine.target}`, which has its peaks, is not known"
        )
    peaks = known_peaks(target)
    if peaks is None:
        why = stated_peaks(target).reason
        return Detected(None, f"{why} ({MEASURE})" if is_this_cpu(target) else why)
    if target.kind == "gpu" or not isinstance(executor, ReplicasSpec):
        return Detected(peaks, peaks.source)
    if executor.on_other_machines:
        return Detected(
            None, "peaks are known of this machine's CPU alone, and replicas may be on others"
        )
    has = num_physical(own_cores())
    each = executor.cores_each or max(1, has // executor.count)
    return Detected(peaks.part(min(1.0, each / has), 1 / num), peaks.source)


def _target(engine: Engine) -> Target | None:
    """As its own file states it, or else the shipped one of that name; None for another's."""
    if engine.built_for is not None:
        return engine.built_for
    identity = engine.identity.target
    try:
        shipped = load_target(identity.name)
    except (UnknownName, ConfigError):  # a target file of the user's own
        return None
    return shipped if (shipped.kind, shipped.sm) == (identity.kind, identity.sm) else None


def _lengths(prompt_tokens: float, answer_tokens: float) -> Lengths:
    answer = max(2, round(answer_tokens))
    return Lengths(prompt=prompt_tokens, answer=answer, longest_prompt=round(prompt_tokens))


def _alone(name: PartName, limits: Roofline, answer_tokens: float, latency_s: float) -> PartOfLimit:
    """Of a request that is alone, which reads the weights for its prompt, too."""
    answer = limits.lengths.answer
    work_s, traffic_s = limits.compute_s / answer, (limits.memory_s + limits.weights_s) / answer
    return PartOfLimit.of(name, answer_tokens / latency_s, work_s, traffic_s)


def _inputs(
    limits: Roofline,
    peaks: Peaks,
    manifest: EngineManifest,
    storage: Storage,
    answer_tokens: float,
    num: int,
) -> LimitInputs:
    linear, other = limits.step_peaks(limits.requests)
    weights = Weights.of(Elements.of(manifest.model.config), storage)
    return LimitInputs(
        peaks=peaks.source,
        linear_flops_per_s=limits.linear_peak,
        other_flops_per_s=limits.other_peak,
        step_linear_flops_per_s=linear,
        step_other_flops_per_s=other,
        bytes_per_s=limits.bandwidth,
        prompt_tokens=limits.lengths.prompt,
        answer_tokens=answer_tokens,
        requests=limits.requests,
        resident_bytes=weights.resident,
        step_bytes=round(limits.step_bytes),
        kv_token_bytes=limits.kv_token_bytes,
        replicas=num,
    )


def _parts(
    limits: Roofline,
    scenario: Scenario,
    metrics: Metrics,
    answer_tokens: float,
    timeline: Sequence[ProgressFigures],
    num: int,
) -> Iterator[PartOfLimit]:
    """Of `num` engines that compute at the same time, each with these limits."""
    lengths, answer, later = limits.lengths, limits.lengths.answer, limits.lengths.answer - 1
    if scenario.one_at_a_time:
        latency_s, ttft_s, tpot_s = metrics.latency_p50_s, metrics.ttft_p50_s, metrics.tpot_p50_s
        if latency_s:
            yield _alone("all", limits, answer_tokens, latency_s)
        prefill = lengths.prompt / ttft_s if ttft_s else 0.0
        decode = 1 / tpot_s if tpot_s else 0.0
    else:
        achieved = metrics.tokens_per_s or answer_tokens * (metrics.samples_per_s or 0.0)
        if achieved:
            work_s, traffic_s = limits.compute_s / answer / num, limits.memory_s / answer / num
            yield PartOfLimit.of("all", achieved, work_s, traffic_s)
        prefill, decode = _rates(timeline) or (0.0, 0.0)
    apart = []
    if prefill:
        read_s = limits.weights_s if scenario.one_at_a_time else 0.0
        written_s = limits.kv_token_bytes / limits.bandwidth
        traffic_s = read_s / lengths.prompt + written_s
        work_s = limits.prompt_s / lengths.prompt
        apart.append(PartOfLimit.of("prefill", prefill, work_s / num, traffic_s / num))
    if decode:
        work_s, traffic_s = limits.answer_s / later, limits.memory_s / later
        apart.append(PartOfLimit.of("decode", decode, work_s / num, traffic_s / num))
    # beyond a limit, the timeline did not tell one from the other
    if scenario.one_at_a_time or all(part.of_overlap <= 1 for part in apart):
        yield from apart


def _rates(timeline: Sequence[ProgressFigures]) -> tuple[float, float] | None:
    """Prompt tokens and tokens that are read and made in a second of nothing else; None where the
    timeline does not tell them apart.
    """
    steps = [
        (b.prompt_tokens - a.prompt_tokens, b.tokens - a.tokens, b.elapsed_s - a.elapsed_s)
        for a, b in pairwise(timeline)
    ]
    steps = [step for step in steps if step[0] > 0 or step[1] > 0]
    if len(steps) < _LEAST_POINTS:
        return None
    pp, tt = sum(p * p for p, _, _ in steps), sum(t * t for _, t, _ in steps)
    pt = sum(p * t for p, t, _ in steps)
    ps, ts = sum(p * s for p, _, s in steps), sum(t * s for _, t, s in steps)
    determinant = pp * tt - pt * pt
    if determinant <= _LEAST_APART * pp * tt:
        return None
    prompt_s, token_s = (ps * tt - ts * pt) / determinant, (ts * pp - ps * pt) / determinant
    return (1 / prompt_s, 1 / token_s) if prompt_s > 0 and token_s > 0 else None
