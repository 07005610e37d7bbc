"""Where the answers of two candidates part, and which of them lose most."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from harness.report.comparison import Divergence, Drop

if TYPE_CHECKING:
    from harness.report.samples import Samples
    from runtime.executor import TokenIds

NUM_WORST = 20


def divergence_of(
    baseline: Samples, other: Samples, common: list[int], *, same_ids: bool
) -> Divergence:
    """How the answers to the `common` samples differ; ids are compared where they mean the same,
    else texts.
    """
    import numpy as np

    places: dict[int, int | None] = {}  # of answers that differ
    for sample in common:
        if same_ids:
            place = first_difference(baseline.ids[sample], other.ids[sample])
            if place is not None:
                places[sample] = place
        elif baseline.texts[sample].answer != other.texts[sample].answer:
            places[sample] = None
    tokens = [place for place in places.values() if place is not None]
    quartiles = np.quantile(tokens, [0.25, 0.5, 0.75]).tolist() if tokens else None
    rouge1 = other.rows(common)[:, 0] - baseline.rows(common)[:, 0]
    worst = [
        _drop(baseline, other, common[index], places)
        for index in np.argsort(rouge1, kind="stable")[:NUM_WORST].tolist()
        if rouge1[index] < 0
    ]
    return Divergence(
        num_samples=len(common),
        num_equal=len(common) - len(places),
        first_tokens=None if quartiles is None else tuple(quartiles),
        worst=tuple(worst),
    )


def first_difference(ours: TokenIds, theirs: TokenIds) -> int | None:
    """The place of the first token that differs, or that only one of them has; None if they are the
    same.
    """
    import numpy as np

    shared = min(len(ours), len(theirs))
    unlike = np.flatnonzero(ours[:shared] != theirs[:shared])
    if len(unlike):
        return int(unlike[0])
    return None if len(ours) == len(theirs) else shared


def _drop(baseline: Samples, other: Samples, sample: int, places: dict[int, int | None]) -> Drop:
    ours, theirs = baseline.texts[sample], other.texts[sample]
    return Drop(
        sample=sample,
        rouge1_baseline=float(baseline.rows([sample])[0, 0]),
        rouge1_other=float(other.rows([sample])[0, 0]),
        first_token=places.get(sample),
        first_character=_shared(ours.answer, theirs.answer),
        reference=ours.reference,
        baseline=ours.answer,
        other=theirs.answer,
    )


def _shared(ours: str, theirs: str) -> int:
    """Characters at the beginning that are the same."""
    pairs = zip(ours, theirs, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
