"""Tables in a terminal of 80 columns, the first that somebody opens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.demo import DemoRow, Latencies
from harness.scoring.accuracy import Accuracy
from tests.harness.cli.line import Line

WIDTH = 80


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cli.output._PLAIN_WIDTH", WIDTH)


def row(recipe: str, slow: float) -> DemoRow:
    """Of an engine whose times are so many times those of the first one."""
    times = [value * slow for value in (0.0345, 0.0982, 0.0063, 0.0149)]
    latencies = Latencies(**dict(zip(Latencies.model_fields, times, strict=True)))
    return DemoRow(
        recipe=recipe,
        size_bytes=9_000_000,
        samples_per_s=37.4,
        tokens_per_s=12_345.6,
        offline_tokens_per_s=(12_300.0, 12_400.0),
        server=latencies,
        single_stream=latencies,
        accuracy=Accuracy(96.53 - slow, 1.0, 1.0, 1.0, gen_len=1, gen_num=1),
        num_latency_samples=64,
        busy={},
        verdicts={},
        runs=(),
    )


@pytest.mark.parametrize(("slow", "shown"), [(1.0, "34.5/98.2"), (8.0, "276/786")])
def test_the_table_of_the_demo_is_whole(
    line: Line, monkeypatch: pytest.MonkeyPatch, slow: float, shown: str
) -> None:
    rows = [SimpleNamespace(row=row(recipe, slow)) for recipe in ("bf16", "int4_awq")]
    monkeypatch.setattr("harness.demo.run_demo", lambda *_, **__: rows)
    text = line("demo").err
    assert "…" not in text
    assert text.count(shown) == 4
    assert "12,346" in text


@pytest.mark.parametrize("command", [("recipes",), ("recipes", "--target", "a30"), ("targets",)])
def test_lists_are_whole(line: Line, command: tuple[str, ...]) -> None:
    text = line(*command).err
    assert "…" not in text
    assert "round_to_nearest" in text or "TFLOPS" in text
