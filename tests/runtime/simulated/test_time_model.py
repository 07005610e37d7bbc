"""The seconds of an iteration, against sums done by hand."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from runtime.simulated.time_model import TimeModel, Work
from tests.runtime.simulated.models import PLAIN


def test_arithmetic_traffic_and_the_host_take_turns() -> None:
    # 6 tokens x 10 / 100 + (20 pairs x 2 + 3 choices x 4) / 50 + (300 + (8 + 6) x 5) / 1000
    assert PLAIN.seconds(Work(tokens=6, pairs=20, sampled=3, read=8)) == pytest.approx(
        0.6 + 1.04 + 0.37
    )


def test_each_efficiency_lengthens_its_own_part() -> None:
    work = Work(tokens=6, pairs=20, sampled=3, read=8)
    slower = PLAIN.model_copy(
        update={"compute_efficiency": 0.5, "bandwidth_efficiency": 0.25, "overhead_s": 0.1}
    )
    assert slower.seconds(work) == pytest.approx(2 * 1.64 + 4 * 0.37 + 0.1)


def test_an_efficiency_is_no_more_than_one() -> None:
    with pytest.raises(ValidationError, match="compute_efficiency"):
        TimeModel(**(PLAIN.model_dump() | {"compute_efficiency": 1.1}))


@pytest.mark.parametrize("field", Work._fields)
def test_more_work_never_takes_less_time(field: str) -> None:
    work = Work(tokens=6, pairs=20, sampled=3, read=8)
    assert PLAIN.seconds(work._replace(**{field: 40})) > PLAIN.seconds(work)


def test_tokens_cost_something_beside_arithmetic_and_traffic() -> None:
    costs = {"token_s": 0.01, "sampled_s": 0.1, "cached_s": 0.001}
    work = Work(tokens=6, pairs=20, sampled=3, read=8)
    more = PLAIN.model_copy(update=costs).seconds(work) - PLAIN.seconds(work)
    assert more == pytest.approx(6 * 0.01 + 3 * 0.1 + 8 * 0.001)


def test_few_tokens_are_multiplied_at_their_own_speed() -> None:
    few = PLAIN.model_copy(update={"linear_by_rows": ((1, 10.0), (6, 25.0), (12, 100.0))})
    work = Work(tokens=6, pairs=20, sampled=3, read=8)
    assert few.seconds(work) - PLAIN.seconds(work) == pytest.approx(60 / 25 - 60 / 100)
    rest = PLAIN.model_copy(update={"other_by_rows": ((1, 5.0), (6, 20.0), (12, 50.0))})
    other = 20 * PLAIN.attention_flops_per_pair + 3 * PLAIN.head_flops_per_token
    assert rest.seconds(work) - PLAIN.seconds(work) == pytest.approx(other / 20 - other / 50)


def test_a_slowed_engine_takes_so_many_times_as_long() -> None:
    costs = {"overhead_s": 0.2, "token_s": 0.01, "sampled_s": 0.1, "cached_s": 0.001}
    work = Work(tokens=6, pairs=20, sampled=3, read=8)
    for rows in ((), ((1, 10.0), (6, 25.0))):
        model = PLAIN.model_copy(
            update={**costs, "linear_by_rows": rows, "other_by_rows": rows[1:]}
        )
        assert model.slowed(3.0, 3.0).seconds(work) == pytest.approx(3 * model.seconds(work))


def test_arithmetic_and_memory_are_slowed_each_by_its_own() -> None:
    work = Work(tokens=6, pairs=20, sampled=3, read=8)
    traffic = (PLAIN.weight_bytes + 14 * PLAIN.kv_bytes_per_token) / PLAIN.bytes_per_s
    traffic /= PLAIN.bandwidth_efficiency
    host = PLAIN.overhead_s
    arithmetic = PLAIN.seconds(work) - traffic - host
    expected = 2 * arithmetic + 8 * traffic + 4 * host
    assert PLAIN.slowed(2.0, 8.0).seconds(work) == pytest.approx(expected)
