"""What replicas are made from: a record that is read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from runtime.backend import AnySpec
from runtime.openvino.spec import EmulatedSpec, OpenVINOSpec
from runtime.replicas.spec import LOCAL, ReplicasSpec
from runtime.simulated.spec import SimulatedSpec
from runtime.spec import ExecutorSpec
from tests.runtime.simulated.models import small


class Holder(BaseModel):
    spec: AnySpec


def test_it_survives_json() -> None:
    spec = ReplicasSpec(each=(OpenVINOSpec(folder=Path("/e")),), count=4, device="cores")
    text = Holder(spec=spec).model_dump_json()
    assert Holder.model_validate_json(text).spec == spec


def test_it_is_what_its_replicas_are() -> None:
    spec = ReplicasSpec(each=(EmulatedSpec(folder=Path("/e")),), count=2)
    assert spec.engine_folder == Path("/e")
    assert spec.answers_by == "emulated"
    assert (spec.num_replicas, spec.on_other_machines, spec.tolerates_failures) == (2, False, False)
    assert ReplicasSpec(each=spec.each, count=1, address="a:1").on_other_machines
    assert spec.address == LOCAL


def test_specs_take_turns() -> None:
    slow, fast = SimulatedSpec(samples_per_s=1.0), SimulatedSpec(samples_per_s=3.0)
    spec = ReplicasSpec(each=(slow, fast), count=3)
    assert [spec.spec_of(number) for number in range(3)] == [slow, fast, slow]
    assert spec.max_in_flight is None
    both = ReplicasSpec(each=(SimulatedSpec(engine=small()),), count=3)
    assert both.max_in_flight == 12


INNER = ReplicasSpec(each=(SimulatedSpec(),), count=2)


@pytest.mark.parametrize(
    "each",
    [
        (),
        (INNER,),
        (SimulatedSpec(), OpenVINOSpec(folder=Path("/e"))),
        (OpenVINOSpec(folder=Path("/e")), OpenVINOSpec(folder=Path("/f"))),
    ],
)
def test_replicas_of_several_kinds_are_none(each: tuple[ExecutorSpec, ...]) -> None:
    with pytest.raises(ValidationError):
        ReplicasSpec(each=each, count=2)
