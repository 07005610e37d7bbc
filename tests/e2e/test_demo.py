"""The demo in miniature: every recipe's row, and a second start that takes up what is there."""

from __future__ import annotations

from pathlib import Path

from harness.demo import RECIPES, run_demo
from harness.progress import NullProgress


class Notes(NullProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_the_demo_has_a_row_for_each_recipe_and_goes_on_where_it_was(tmp_path: Path) -> None:
    first = run_demo(tmp_path, NullProgress(), fresh=False, num_samples=6, num_latency_samples=4)
    rows = [row.figures() for row in first]
    assert [row["recipe"] for row in rows] == list(RECIPES)
    assert rows[0]["size_bytes"] > rows[1]["size_bytes"] > rows[2]["size_bytes"]
    for row in rows:
        assert row["samples_per_s"] > 0
        assert row["server"]["ttft_p99_s"] > 0
        assert row["single_stream"]["tpot_p50_s"] > 0
        assert row["accuracy"]["gen_num"] == 6
        assert row["num_latency_samples"] == 4
        assert row["verdicts"]["Offline"] == "VALID"
        assert row["verdicts"]["Server"].startswith("INVALID because ")
    notes = Notes()
    again = run_demo(tmp_path, notes, fresh=False, num_samples=6, num_latency_samples=4)
    assert [row.figures() for row in again] == rows
    assert sum("measured" in text for text in notes.said) == 9
