"""The answers that lost most against the baseline's, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.html.cells import signed
from harness.report.html.page import Drop, DropGroup, Fact

if TYPE_CHECKING:
    from harness.report.comparison import Comparison, Divergence, Pair
    from harness.report.comparison import Drop as Worst

MOST_BYTES = 320_000
"""Of all texts together, however much room there is on the page."""
_LONGEST = 1200
_SHORTEST = 240
"""Bytes of one text: as many as there is room for, and fewer texts before there are fewer."""
_BESIDE = 220
"""Bytes of what stands around a text."""


def make_drops(comparison: Comparison, room: int = MOST_BYTES) -> tuple[DropGroup, ...]:
    """Of each candidate that lost anything, the worst first, in `room` bytes: all that the
    comparison has, in texts that are shortened where they are many, and fewer where they would be
    shorter than is of use.
    """
    room = min(room, MOST_BYTES)
    lost = [
        (pair, pair.divergence)
        for pair in comparison.pairs
        if pair.divergence is not None and pair.divergence.worst
    ][: max(room, 0) // (3 * (_SHORTEST + _BESIDE))]
    if not lost:
        return ()
    each_has = room // (3 * len(lost))
    most = min(max(len(each.worst) for _, each in lost), each_has // (_SHORTEST + _BESIDE))
    longest = min(each_has // most - _BESIDE, _LONGEST)
    return tuple(_group(pair, divergence, most, longest) for pair, divergence in lost)


def _group(pair: Pair, divergence: Divergence, most: int, longest: int) -> DropGroup:
    worst = divergence.worst[:most]
    equal = f"{divergence.num_equal} of {divergence.num_samples} answers are the same"
    where = ""
    if divergence.first_tokens is not None:
        low, middle, high = divergence.first_tokens
        where = (
            f"; the others part at token {middle:.0f} in the middle case (half of them between "
            f"{low:.0f} and {high:.0f})"
        )
    return DropGroup(
        title=f"{pair.other}: the {len(worst)} worst of {divergence.num_samples} answers",
        note=f"{equal}{where}.{_left_out(divergence, most, longest)}",
        drops=tuple(_drop(pair, each, longest) for each in worst),
    )


def _left_out(divergence: Divergence, most: int, longest: int) -> str:
    """What the page has no room for, and where it is."""
    texts = (t for w in divergence.worst for t in (w.reference, w.baseline, w.other))
    if len(divergence.worst) <= most and all(len(text.encode()) <= longest for text in texts):
        return ""
    all_of_them = f"the {len(divergence.worst)} that lose most"
    return f" `enginebench compare` with --json or --markdown has {all_of_them}, in full."


def _drop(pair: Pair, worst: Worst, longest: int) -> Drop:
    lost = signed(worst.rouge1_other - worst.rouge1_baseline, 1)
    parts = "" if worst.first_token is None else f", parts at token {worst.first_token}"
    texts = (
        ("Reference", worst.reference),
        (f"{pair.baseline}, ROUGE-1 {worst.rouge1_baseline:.1f}", worst.baseline),
        (f"{pair.other}, ROUGE-1 {worst.rouge1_other:.1f}", worst.other),
    )
    return Drop(
        title=f"Sample {worst.sample}: {lost} ROUGE-1{parts}",
        texts=tuple(Fact(name, _shortened(text, longest)) for name, text in texts),
    )


def _shortened(text: str, longest: int) -> str:
    """At most so many bytes, and an ellipsis."""
    whole = text.encode()
    if len(whole) <= longest:
        return text
    return f"{whole[:longest].decode(errors='ignore')} …"
