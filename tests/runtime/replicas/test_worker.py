"""The head's process, without Ray: what it tells, and when."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from build_engine.errors import EnginebenchError, EngineDied, EnvironmentFault
from runtime.messages import Fatal, Ready
from runtime.replicas import worker
from runtime.replicas.spec import ReplicasSpec
from runtime.simulated.spec import SimulatedSpec

SPEC = ReplicasSpec(each=(SimulatedSpec(num_tokens=1),), count=1)


class Noted:
    """Stands for the line, the ears, the cluster and the head; what happens, in order."""

    prefix_caching = False
    hung_up = threading.Event()

    def __init__(self, fault: Exception, *, starts: bool) -> None:
        self.fault, self.starts = fault, starts
        self.events: list[object] = []

    def send(self, message: object) -> None:
        self.events.append(message)

    tell = send

    def attend(self, head: object) -> None:
        pass

    @contextlib.contextmanager
    def block(self, *asked: object) -> Iterator[None]:
        try:
            yield
        finally:
            self.events.append("cleared up")

    def loaded(self, *asked: object) -> tuple[list[Any], list[Any]]:
        if not self.starts:
            raise self.fault
        return [], []

    def step(self) -> None:
        raise self.fault


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (EngineDied("replica 2 was lost"), Fatal("replica 2 was lost")),
        (EnvironmentFault("too few"), Fatal("too few", lacking=True)),
        (ValueError("our own\nmistake"), Fatal("ValueError: mistake")),
    ],
)
@pytest.mark.parametrize("starts", [True, False])
def test_a_loss_is_told_before_anything_is_cleared_up(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, told: Fatal, starts: bool
) -> None:
    noted: Any = Noted(fault, starts=starts)
    monkeypatch.setattr(worker, "connected", noted.block)
    monkeypatch.setattr(worker, "actors", noted.block)
    monkeypatch.setattr(worker, "loaded", noted.loaded)
    monkeypatch.setattr(worker, "Head", lambda *asked, **more: noted)
    worker._serve(SPEC, noted, noted)
    ready = [Ready(prefix_caching=False)] if starts else []
    assert noted.events == [*ready, told, "cleared up", "cleared up"]


def test_what_is_told_of_a_fault_is_whether_the_machine_lacks_something() -> None:
    assert Fatal.of(EnginebenchError("no")) == Fatal("no")
    assert Fatal.of(EnvironmentFault("no")) == Fatal("no", lacking=True)
