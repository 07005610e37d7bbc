"""A comparison as CSV, for spreadsheets and scripts, and as Markdown, for pull requests."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.report.metrics import METRICS
from harness.report.tables import tables_of
from harness.streams import printable

if TYPE_CHECKING:
    from harness.report.comparison import Change, Comparison, Drop, Pair
    from harness.report.fail_on import Check

COLUMNS = (
    "candidate",
    "baseline",
    "scenario",
    "metric",
    "unit",
    "value",
    "baseline_value",
    "change",
    "change_low",
    "change_high",
    "difference",
    "difference_low",
    "difference_high",
    "num",
    "num_baseline",
    "outcome",
)
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>|#~])")  # what Markdown would take for markup
_BEGINS = re.compile(r"^([-+](?= )|\d+(?=[.)] ))")  # a list, where it stands first
# What GitHub makes a link of in plain text, which no escape prevents: addresses, names, numbers.
_LINKED = re.compile(r"(:(?=//)|www\.|@|#(?=\d))", re.IGNORECASE)
_APART = r"\1<!-- -->"


def to_csv(comparison: Comparison) -> str:
    """A row for each change of each candidate; values as they are, unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in comparison.pairs:
        for change in pair.changes:
            writer.writerow(_row(pair, change))
    return text.getvalue()


def _row(pair: Pair, change: Change) -> tuple[object, ...]:
    relative, absolute = change.change_interval, change.difference_interval
    return (
        pair.other,
        pair.baseline,
        change.scenario or "",
        change.metric,
        METRICS[change.metric].unit,
        change.other,
        change.baseline,
        change.change,
        "" if relative is None else relative.low,
        "" if relative is None else relative.high,
        change.difference,
        "" if absolute is None else absolute.low,
        "" if absolute is None else absolute.high,
        change.counts[1],
        change.counts[0],
        change.outcome,
    )


def to_markdown(
    comparison: Comparison, checks: Sequence[Check] = (), missing: Sequence[str] = ()
) -> str:
    """Notes, sentences, tables, and the answers that lost most. `missing` says what was not
    compared or judged.
    """
    return "\n".join(_lines(comparison, checks, missing)) + "\n"


def _lines(
    comparison: Comparison, checks: Sequence[Check], missing: Sequence[str]
) -> Iterator[str]:
    yield f"## Compared with {_plain(comparison.baseline)}"
    yield ""
    for check in checks:
        yield f"- {'**FAILED** ' if check.failed else ''}{_plain(check.sentence)}"
    yield from (f"- **MISSING** {_plain(sentence)}" for sentence in missing)
    for candidate in comparison.candidates:
        yield from (f"- **NOTE** {_plain(doubt)}" for doubt in candidate.doubts)
    for pair in comparison.pairs:
        yield from (f"- **NOT LIKE WITH LIKE** {_plain(note)}" for note in pair.notes)
        yield from (f"- {_plain(sentence)}" for sentence in pair.sentences)
        if told := divergence_told(pair):
            yield f"- {_plain(told)}"
    for table in tables_of(comparison):
        yield ""
        yield f"**{_plain(table.title)}**"
        yield ""
        yield from _table(table.columns, table.rows)
    for pair in comparison.pairs:
        if pair.divergence and pair.divergence.worst:
            yield ""
            yield f"<details><summary>Answers that lose most: {_html(pair.other)}</summary>"
            yield ""
            columns = ("sample", "ROUGE-1", "reference", pair.baseline, pair.other)
            yield from _table(columns, [_drop(drop) for drop in pair.divergence.worst])
            yield ""
            yield "</details>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_plain, columns))} |"
    yield f"|{' --- |' * len(columns)}"
    yield from (f"| {' | '.join(map(_plain, row))} |" for row in rows)


def _drop(drop: Drop) -> tuple[str, ...]:
    scores = f"{drop.rouge1_baseline:.1f} to {drop.rouge1_other:.1f}"
    return (str(drop.sample), scores, drop.reference, drop.baseline, drop.other)


def divergence_told(pair: Pair) -> str:
    """How many answers are the same, and where the others part; "" without answers."""
    found = pair.divergence
    if found is None:
        return ""
    said = (
        f"{found.num_equal} of {found.num_samples} answers of {pair.other} are those of "
        f"{pair.baseline}"
    )
    if found.first_tokens is None:
        return f"{said}."
    first, median, last = found.first_tokens
    return (
        f"{said}; the others part at token {median:g} in the middle (quartiles {first:g} and "
        f"{last:g}, counted from 0)."
    )


def _plain(text: str) -> str:
    """Text of which Markdown and HTML take nothing for their own."""
    escaped = _ACTIVE.sub(r"\\\1", _on_one_line(text)).replace("&", "&amp;")
    return _LINKED.sub(_APART, _BEGINS.sub(_unlisted, escaped))


def _unlisted(found: re.Match[str]) -> str:
    """A sign is escaped, and of a number what follows it."""
    return f"{found[1]}\\" if found[1].isdigit() else f"\\{found[1]}"


def _html(text: str) -> str:
    """Text for an HTML element, in which Markdown escapes nothing."""
    return _LINKED.sub(_APART, html.escape(_on_one_line(text)))


def _on_one_line(text: str) -> str:
    return printable(" ".join(text.split()))
