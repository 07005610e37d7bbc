"""The answers that lost most against the baseline's, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.html.cells import signed
from harness.report.html.page import Drop, DropGroup, Fact

if TYPE_CHECKING:
    from harness.report.comparison import Comparison, Divergence, Pair
    from harness.report.comparison import Drop as Worst

_MOST = 60
"""On the whole page, so that it stays small; twenty of one candidate."""
_FEWEST = 3
_MOST_CHARS = 1200


def make_drops(comparison: Comparison) -> tuple[DropGroup, ...]:
    """Of each candidate that lost anything, the worst first."""
    pairs = [p for p in comparison.pairs if p.divergence is not None and p.divergence.worst]
    shown = pairs[: _MOST // _FEWEST]
    each = _MOST // max(len(shown), 1)
    return tuple(
        _group(pair, pair.divergence, each) for pair in shown if pair.divergence is not None
    )


def _group(pair: Pair, divergence: Divergence, most: int) -> DropGroup:
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
        note=f"{equal}{where}.",
        drops=tuple(_drop(pair, each) for each in worst),
    )


def _drop(pair: Pair, worst: Worst) -> Drop:
    lost = signed(worst.rouge1_other - worst.rouge1_baseline, 1)
    parts = "" if worst.first_token is None else f", parts at token {worst.first_token}"
    texts = (
        ("Reference", worst.reference),
        (f"{pair.baseline}, ROUGE-1 {worst.rouge1_baseline:.1f}", worst.baseline),
        (f"{pair.other}, ROUGE-1 {worst.rouge1_other:.1f}", worst.other),
    )
    return Drop(
        title=f"Sample {worst.sample}: {lost} ROUGE-1{parts}",
        texts=tuple(Fact(name, _shortened(text)) for name, text in texts),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]} …"
