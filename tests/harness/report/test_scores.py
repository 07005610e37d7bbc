"""ROUGE of two candidates, sample by sample."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.report.candidate import Candidate
from harness.report.comparison import Divergence
from harness.report.divergence import first_difference
from harness.report.result import Result
from harness.report.scores import Scores, compare_scores
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.report.results import make_result, references

NUM = 40


def scored(first: Result, second: Result) -> Scores:
    found, notes = compare_scores(Candidate("a", (first,)), Candidate("b", (second,)))
    assert found is not None and notes == ()
    return found


def spoilt(count: int) -> list[str]:
    """Answers of which the first `count` are wrong, each in its own way."""
    return [
        text if n >= count else f"Nothing {' '.join(text.split()[: n % 4])}"
        for n, text in enumerate(references(NUM))
    ]


def test_equal_answers_are_equal(tmp_path: Path) -> None:
    runs = [make_result(tmp_path / name, answers=references(NUM)) for name in "ab"]
    found = scored(*runs)
    assert {change.outcome for change in found.changes} == {"equal"}
    assert all(gate.passed for gate in found.gates)
    assert found.divergence == Divergence(
        num_samples=NUM, num_equal=NUM, first_tokens=None, worst=()
    )


def test_a_loss_has_an_interval_a_gate_and_its_worst_answers(tmp_path: Path) -> None:
    found = scored(
        make_result(tmp_path / "a", answers=references(NUM)),
        make_result(tmp_path / "b", answers=spoilt(22)),
    )
    change = found.changes[0]
    assert (change.metric, change.outcome, change.baseline) == ("rouge1", "worse", 100.0)
    assert change.difference_interval is not None and change.change_interval is not None
    assert change.difference_interval.holds(change.difference)
    assert change.change == pytest.approx(change.difference / 100)
    missed = [(gate.level, gate.metric, gate.certain) for gate in found.gates if not gate.passed]
    assert (0.99, "rouge1", True) in missed and (0.999, "rouge1", True) in missed
    divergence = found.divergence
    assert (divergence.num_samples, divergence.num_equal) == (NUM, NUM - 22)
    assert divergence.first_tokens == (0.0, 0.0, 0.0)  # all begin with another byte
    assert len(divergence.worst) == 20
    drops = [each.rouge1_other - each.rouge1_baseline for each in divergence.worst]
    assert drops == sorted(drops) and drops[0] == -100.0
    worst = divergence.worst[0]
    assert (worst.sample, worst.first_character, worst.reference) == (0, 0, references(1)[0])
    assert (worst.baseline, worst.other) == (references(1)[0], "Nothing ")


def test_a_few_other_answers_tell_nothing(tmp_path: Path) -> None:
    found = scored(
        make_result(tmp_path / "a", answers=references(NUM)),
        make_result(tmp_path / "b", answers=spoilt(3)),
    )
    assert found.changes[0].outcome == "not told apart"
    assert found.changes[0].difference < 0
    assert found.changes[0].difference_interval is None


def test_too_few_samples_are_not_judged(tmp_path: Path) -> None:
    found = scored(
        make_result(tmp_path / "a", answers=references(3)),
        make_result(tmp_path / "b", answers=["No."] * 3),
    )
    assert found.changes[0].outcome == "not known"


def test_only_samples_that_both_answered_are_compared(tmp_path: Path) -> None:
    first = make_result(tmp_path / "a", answers=references(NUM))
    second = make_result(tmp_path / "b", answers=["Wrong.", *references(30)[1:]])
    found, notes = compare_scores(Candidate("a", (first,)), Candidate("b", (second,)))
    assert notes == ("ROUGE is compared on the 30 samples that both answered, of 40 and 30.",)
    assert found is not None
    assert found.divergence.num_samples == 30
    assert found.changes[0].other == pytest.approx(100 * 29 / 30)


def test_other_references_are_other_samples(tmp_path: Path) -> None:
    first = make_result(tmp_path / "a", answers=references(NUM))
    second = make_result(tmp_path / "b", answers=references(NUM))
    path = second.run.folder.answers
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["answer"] = row["reference"] = f"Other news: {row['reference']}"
    path.write_text("\n".join(map(json.dumps, rows)))
    found, notes = compare_scores(Candidate("a", (first,)), Candidate("b", (second,)))
    assert found is None
    assert notes == ("They answered different samples, so that their ROUGE is not compared.",)


def test_ids_of_another_checkpoint_are_not_compared(tmp_path: Path) -> None:
    other = resealed(make_manifest("bf16"), checkpoint="d" * 64)
    first = make_result(tmp_path / "a", answers=references(NUM))
    ids = [[n] for n in range(NUM)]
    second = make_result(tmp_path / "b", answers=spoilt(8), ids=ids, engine=other)
    divergence = scored(first, second).divergence
    assert (divergence.num_equal, divergence.first_tokens) == (NUM - 8, None)
    assert divergence.worst[0].first_token is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "answers.jsonl is missing; restore it"),
        ("{", "answers.jsonl is not valid JSON"),
        ("[]\n", "answers.jsonl has a line that is no answer"),
        ("", "answers.jsonl has no answers"),
        (
            '{"sample": 0, "answer": "Rain.", "reference": "Sun."}\n',
            "its answers give ROUGE-1 0.00",
        ),
    ],
)
def test_answers_that_do_not_give_the_score_are_said(
    tmp_path: Path, text: str | None, told: str
) -> None:
    first = make_result(tmp_path / "a", answers=references(NUM))
    second = make_result(tmp_path / "b", answers=references(NUM))
    path = second.run.folder.answers
    path.unlink() if text is None else path.write_text(text)
    found, (note,) = compare_scores(Candidate("a", (first,)), Candidate("b", (second,)))
    assert found is None
    assert note.startswith("Their answers are not compared: ") and told in note


def test_without_scores_there_is_nothing_to_say(tmp_path: Path) -> None:
    first = make_result(tmp_path / "a", answers=references(NUM))
    second = make_result(tmp_path / "b")
    assert compare_scores(Candidate("a", (first,)), Candidate("b", (second,))) == (None, ())


@pytest.mark.parametrize(
    ("ours", "theirs", "place"),
    [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1], [1, 2], 1), ([], [1], 0), ([], [], None)],
)
def test_answers_part_at_the_first_other_token(
    ours: list[int], theirs: list[int], place: int | None
) -> None:
    arrays = np.array(ours, np.int32), np.array(theirs, np.int32)
    assert first_difference(*arrays) == place
