"""A simulated engine in virtual time: cases by hand, and Offline against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from build_engine.errors import UsageError
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel, Work
from runtime.simulated.virtual import Answered, Load, drive
from tests.runtime.simulated.models import PLAIN, small


def answered(
    model: EngineModel, requests: list[tuple[int, int]], arrivals_s: list[float] | None
) -> Answered:
    prompts, answers = np.array(requests).T
    arrivals = None if arrivals_s is None else np.array(arrivals_s)
    return drive(model, Load(prompts=prompts, answers=answers, arrivals_s=arrivals))


def test_one_request_takes_its_prompt_and_then_each_token() -> None:
    model = small(time=PLAIN)
    done = answered(model, [(6, 3)], [5.0])
    prompt_s = PLAIN.seconds(Work(tokens=6, pairs=18, sampled=1, read=0))
    second_s = PLAIN.seconds(Work(tokens=1, pairs=7, sampled=1, read=7))
    third_s = PLAIN.seconds(Work(tokens=1, pairs=8, sampled=1, read=8))
    assert done.arrived_s.tolist() == [5.0]
    assert done.first_s.tolist() == pytest.approx([5.0 + prompt_s])
    assert done.last_s.tolist() == pytest.approx([5.0 + prompt_s + second_s + third_s])
    assert done.num_iterations == 3


def test_the_clock_jumps_to_an_arrival_and_waits_for_an_iteration() -> None:
    # of 0.01 s each; the second arrives within the first's last iteration, the third much later
    done = answered(small(), [(4, 2), (4, 1), (4, 1)], [1.0, 1.015, 9.0])
    assert done.first_s.tolist() == pytest.approx([1.01, 1.03, 9.01])
    assert done.last_s.tolist() == pytest.approx([1.02, 1.03, 9.01])


def test_one_at_a_time_each_comes_when_the_last_has_ended() -> None:
    done = answered(small(), [(4, 2), (4, 3), (4, 1)], None)
    assert done.arrived_s.tolist() == pytest.approx([0.0, 0.02, 0.05])
    assert done.last_s.tolist() == pytest.approx([0.02, 0.05, 0.06])


def test_what_could_never_be_answered_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot answer: a prompt of 90 and an answer of 2 need"):
        answered(small(), [(4, 2), (90, 2)], [0.0, 0.0])


# MLPerf's llama3.1-8b in INT8 with an INT8 cache on an A30. Weights of the layers and of the head:
# the shapes of the model. Peaks: configs/targets/a30.yaml. Lengths: 13,368 prompts of 871 tokens in
# the mean, E[S^2] = 1.25 E[S]^2, at most 2,540, and answers of 128. 2 GB are left to activations.
NUM_SAMPLES, PROMPT, LONGEST, ANSWER = 13_368, 871.0, 2540, 128
LAYERS, HEAD, WIDTH, DEPTH, KV_BYTES = 6.979e9, 0.525e9, 4096, 32, 65_536
ROOM = 24 * 2**30 - (LAYERS + 4 * HEAD) - 2e9
A30 = TimeModel(
    linear_flops_per_token=2 * LAYERS,
    attention_flops_per_pair=4 * WIDTH * DEPTH,
    head_flops_per_token=2 * HEAD,
    weight_bytes=LAYERS + 2 * HEAD,
    kv_bytes_per_token=KV_BYTES,
    linear_flops_per_s=330e12,
    other_flops_per_s=165e12,
    bytes_per_s=933e9,
)


def closed_form(efficiency: float) -> float:
    """Samples/s of Offline: 1 / (t_c / e + KV bytes / BW + (O - 1) W / (B BW))."""
    request = PROMPT + ANSWER
    later = sum(PROMPT + t for t in range(1, ANSWER))
    linear = 2 * LAYERS * (request - 1) / A30.linear_flops_per_s
    attention = 2 * WIDTH * DEPTH * 1.25 * PROMPT**2 + 4 * WIDTH * DEPTH * later
    compute_s = linear + (attention + 2 * HEAD * ANSWER) / A30.other_flops_per_s
    batch = int(ROOM / (KV_BYTES * request))
    memory = (ANSWER - 1) * A30.weight_bytes / batch + (later + request) * KV_BYTES
    return 1 / (compute_s / efficiency + memory / A30.bytes_per_s)


@pytest.mark.parametrize(("efficiency", "tokens_per_s"), [(1.0, 2200), (0.5, 1242), (0.4, 1020)])
def test_offline_on_an_a30_agrees_with_its_closed_form(
    efficiency: float, tokens_per_s: float
) -> None:
    drawn = np.random.default_rng(1).gamma(4, PROMPT / 4, NUM_SAMPLES)
    prompts = np.clip(np.round(drawn), 16, LONGEST).astype(np.int64)
    model = EngineModel(
        time=A30.model_copy(update={"compute_efficiency": efficiency}),
        kv_blocks=int(ROOM / KV_BYTES / 32),
        max_batch_size=512,
        max_num_tokens=4096,
    )
    load = Load(
        prompts=prompts,
        answers=np.full(NUM_SAMPLES, ANSWER),
        arrivals_s=np.zeros(NUM_SAMPLES),
    )
    simulated = NUM_SAMPLES * ANSWER / drive(model, load).last_s.max()
    assert ANSWER * closed_form(efficiency) == pytest.approx(tokens_per_s, rel=0.01)
    assert simulated == pytest.approx(tokens_per_s, rel=0.05)
