"""Tables are legible at every width from 80 columns on, in the first shape that is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.cli.table import make_table

WIDTHS = (80, 100, 140)
DIGEST = "0123456789abcdef" * 4
ENGINES = (
    ["key", "model", "target", "recipe", "MB", "built (UTC)"],
    [
        [
            f"{number}0123456789ab",
            "Meta-Llama-3.1-8B-Instruct-of-somebody-else",
            "rtx-pro-6000",
            "int8_sq_static",
            "16,060.0",
            "2026-11-28T00:12:08+00:00",
        ]
        for number in range(5)
    ],
)
WHY = (
    ["field", "0123456789ab", "ba9876543210"],
    [
        ["checkpoint.digest", DIGEST, DIGEST[::-1]],
        ["runtime.properties", "{'INFERENCE_PRECISION_HINT': 'bf16', 'KV': 'u8'}", "none"],
        ["limits.max_seq_len", "2048", "131072"],
    ],
)
PLAN = (
    ["flag", "value", "why"],
    [["--max_num_tokens", "8192", "a step takes as many prompt tokens as fit " * 4]],
)
DEMO = (
    ["recipe", "MB", "Offline\ntokens/s", "Server\nTTFT ms\np50/p99", *["alone\nTPOT ms"] * 4],
    [[f"int{n}_awq_static", "16,060.0", "112,345.6", *["1,634.5/11,998.2"] * 5] for n in (4, 8)],
)


def rendered(columns: list[str], rows: list[list[str]], width: int) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False)
    console.print(make_table(columns, rows, width))
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", [ENGINES, WHY, PLAN, DEMO])
def test_nothing_is_lost(table: tuple[list[str], list[list[str]]], width: int) -> None:
    columns, rows = table
    lines = rendered(columns, rows, width)
    shown = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "…" not in shown
    words = shown.split()
    for cell in (*columns, *(cell for row in rows for cell in row)):
        for word in cell.split():
            assert word in words or (len(word) > 16 and word[:16] in shown), word


def test_columns_where_there_is_room_for_them() -> None:
    first, *_ = rendered(*ENGINES, width=140)
    assert first.split() == ["key", "model", "target", "recipe", "MB", "built", "(UTC)"]
    assert rendered(*WHY, width=80)[0].split() == WHY[0]


def test_a_few_wide_rows_are_turned_over() -> None:
    lines = rendered(*DEMO, width=80)
    assert lines[0].split() == ["recipe", "int4_awq_static", "int8_awq_static"]
    assert lines[1].split() == ["MB", "16,060.0", "16,060.0"]


def test_many_wide_rows_are_lists() -> None:
    lines = [line.rstrip() for line in rendered(*ENGINES, width=80)]
    assert lines[0] == "key 00123456789ab"
    assert lines[1] == "  model        Meta-Llama-3.1-8B-Instruct-of-somebody-else"
    assert lines[-1] == "  built (UTC)  2026-11-28T00:12:08+00:00"


def test_figures_are_aligned_by_their_ends() -> None:
    lines = rendered(["name", "tokens/s"], [["a", "9"], ["b", "1,000"], ["c", "-"]], 80)
    assert [line.rstrip()[-1] for line in lines] == ["s", "9", "0", "-"]
    assert len({len(line.rstrip()) for line in lines}) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_without_headings_stay_rows(width: int) -> None:
    finding = "TensorRT-LLM is not installed; its engines are built in its container. " * 9
    lines = rendered(["", "", ""], [["ok", "machine", finding], ["PROBLEM", "x", "y"]], width)
    assert lines[0].startswith("ok       machine  TensorRT-LLM is not")
    assert lines[1].startswith(" " * 18)
    assert "".join(lines).count("container.") == 9
