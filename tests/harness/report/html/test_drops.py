"""The worst answers on the page: twenty of each candidate, as long as there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from build_engine.files import parse_json
from harness.report.candidate import Candidate
from harness.report.compare import compare
from harness.report.html.drops import make_drops
from harness.report.html.page import DropGroup
from harness.report.html.report import write_report
from tests.harness.report.html.cells import Cells
from tests.harness.report.results import make_result, make_run, references

NUM = 40
WHERE = "`enginebench compare` with --json or --markdown has the 20 that lose most, in full."


def drops_of(folder: Path, num_others: int, wrong: Sequence[str]) -> tuple[DropGroup, ...]:
    """Of so many candidates that answer so."""
    first = Candidate("bf16", (make_result(folder / "a", answers=references(NUM)),))
    other = make_result(folder / "b", "int8_wo", answers=wrong)
    sides = [first, *(Candidate(f"int8_wo {n}", (other,)) for n in range(num_others))]
    return make_drops(compare(sides, first))


def spread(groups: Sequence[DropGroup]) -> tuple[set[int], int, int]:
    """How many each has, the longest text in bytes, and the bytes of all."""
    texts = [text.text for group in groups for drop in group.drops for text in drop.texts]
    sizes = [len(text.encode()) for text in texts]
    return {len(group.drops) for group in groups}, max(sizes), sum(sizes)


def test_an_ordinary_sweep_has_twenty_of_each_in_full(tmp_path: Path) -> None:
    groups = drops_of(tmp_path, 5, [f"No, {'never ' * 100}{n}." for n in range(NUM)])
    assert spread(groups)[0] == {20}
    assert groups[0].title == "int8_wo 0: the 20 worst of 40 answers"
    assert all(WHERE not in group.note for group in groups)
    assert all(" …" not in text.text for text in groups[0].drops[0].texts)


@pytest.mark.parametrize("letter", ["n", "\N{SNOWMAN}"])
def test_long_texts_are_shortened_before_there_are_fewer(tmp_path: Path, letter: str) -> None:
    groups = drops_of(tmp_path, 8, [letter * 2000] * NUM)
    numbers, longest, total = spread(groups)
    assert numbers == {20}
    assert 240 < longest < 1210 and total < 320_000
    assert all(WHERE in group.note for group in groups)


def test_many_candidates_have_fewer_each_and_a_word_of_where_all_are(tmp_path: Path) -> None:
    groups = drops_of(tmp_path, 30, ["n" * 2000] * NUM)
    (number,), longest, total = spread(groups)
    assert len(groups) == 30
    assert 3 < number < 20 and longest >= 240 and total < 320_000
    assert groups[0].title == f"int8_wo 0: the {number} worst of 40 answers"
    assert all(WHERE in group.note for group in groups)


def test_a_page_that_is_full_has_none(tmp_path: Path) -> None:
    first = Candidate("bf16", (make_result(tmp_path / "a", answers=references(NUM)),))
    other = Candidate("b", (make_result(tmp_path / "b", "int8_wo", answers=["n"] * NUM),))
    found = compare((first, other), first)
    assert make_drops(found, -1) == make_drops(found, 1000) == ()
    assert [len(group.drops) for group in make_drops(found, 5000)] == [3]


def test_without_a_loss_there_is_nothing_to_show(tmp_path: Path) -> None:
    assert drops_of(tmp_path, 1, references(NUM)) == ()


def test_the_data_of_the_page_tell_where_answers_part_and_what_they_lose(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "bf16", answers=references(NUM))
    make_run(tmp_path / "b", "int8_wo", answers=["No.", *references(NUM)[1:]])
    make_run(tmp_path / "c", "int4_wo")  # not scored
    told = parse_json(Cells(write_report([tmp_path], tmp_path / "r.html")).json)
    found = {pair["other"]: pair["divergence"] for pair in told["pairs"]}
    assert found["int4_wo"] is None
    assert (found["int8_wo"]["num_samples"], found["int8_wo"]["num_equal"]) == (NUM, NUM - 1)
    (worst,) = found["int8_wo"]["worst"]
    assert worst == {
        "sample": 0,
        "rouge1_baseline": 100.0,
        "rouge1_other": 0.0,
        "first_token": 0,
        "first_character": 0,
    }
