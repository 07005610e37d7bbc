"""Each way in which the installed bindings may differ from the facts is told by its name."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from runtime.trtllm.contract import differences, signatures
from runtime.trtllm.facts import bindings_facts
from tests.contract.using import Bindings, W


def test_the_doubles_are_as_the_facts() -> None:
    assert differences(Bindings()) == []
    assert len(bindings_facts().classes) == 42


def test_a_class_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = Bindings()
    monkeypatch.setattr(Bindings, "KvCacheConfig", None, raising=False)
    monkeypatch.setattr(Bindings, "FinishReason", None, raising=False)
    found = differences(bindings)
    assert "KvCacheConfig is missing" in found
    assert "FinishReason is missing" in found


def test_members_that_came_and_went(monkeypatch: pytest.MonkeyPatch) -> None:
    class FinishReason(enum.Enum):
        NOT_FINISHED = 0
        STOP_WORDS = 1
        LENGTH = 2
        TIMED_OUT = 3
        BANNED = 4

    monkeypatch.setattr(Bindings, "FinishReason", FinishReason, raising=False)
    assert differences(Bindings()) == [
        "FinishReason.BANNED is new",
        "FinishReason.CANCELLED is missing",
        "FinishReason.END_ID is missing",
    ]


@pytest.mark.parametrize(
    ("kind", "old", "new", "told"),
    [
        ("KvCacheConfig", ", onboard_blocks: bool = True", "", "host_cache_size, cross_kv_cache"),
        ("SamplingConfig", "top_k: ", "top_n: ", "SamplingConfig(beam_width, *, top_n, top_p, "),
        ("Request", "max_tokens: int, *", "*, max_tokens: int", "(input_token_ids, *, max_tokens"),
        ("DynamicBatchConfig", ") ->", ", window: int) ->", "moving_average_window, window)"),
    ],
)
def test_other_arguments(
    monkeypatch: pytest.MonkeyPatch, kind: str, old: str, new: str, told: str
) -> None:
    init = getattr(W, kind).__init__
    assert old in init.__doc__
    monkeypatch.setattr(init, "__doc__", init.__doc__.replace(old, new, 1))
    [difference] = differences(Bindings())
    assert difference.startswith(f"{kind}(")
    assert told in difference.partition(" is ")[2]


def test_a_constructor_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(W.OutputConfig.__init__, "__doc__", None)
    assert differences(Bindings()) == ["OutputConfig does not tell its arguments"]


def test_other_defaults_properties_and_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[Any] = [dict(param) for param in W.ExecutorConfig.PARAMS]
    by_name = {param["name"]: param for param in changed}
    by_name["enable_chunked_context"]["default"] = "True"
    by_name["batching_type"]["default"] = "BatchingType.STATIC"
    monkeypatch.setattr(W.ExecutorConfig, "PARAMS", changed)
    monkeypatch.delattr(W.Result, "finish_reasons")
    monkeypatch.delattr(Bindings.Executor, "await_responses")
    assert sorted(differences(Bindings())) == [
        "Executor.await_responses is missing",
        "ExecutorConfig.batching_type is BatchingType.STATIC, not BatchingType.INFLIGHT",
        "ExecutorConfig.enable_chunked_context is True, not False",
        "Result.finish_reasons is missing",
    ]


def test_a_class_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("no GPU")

    refuse.__doc__ = W.PeftCacheConfig.__init__.__doc__
    monkeypatch.setattr(W.PeftCacheConfig, "__init__", refuse)
    assert "PeftCacheConfig() cannot be made (RuntimeError)" in differences(Bindings())


def test_signatures_are_read_as_nanobind_writes_them() -> None:
    text = (
        "Overloaded function.\n\n"
        "1. ``__init__(self) -> None``\n\n"
        "2. ``__init__(self, ids: collections.abc.Sequence[int], kind: dict[str, tuple[int, int]]"
        " = {}, /, *, at: a.b.C = <a.b.C object at 0x7f>, last: int | None = None) -> None``\n"
    )
    assert signatures(text) == [
        [],
        [("ids", False), ("kind", False), ("at", True), ("last", True)],
    ]
    assert signatures("Makes one.") == []
