"""LoadGen's early stopping: whether a test has answers enough for its p99 to be trusted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_P99_OVER = 0.01  # of the answers
_DOUBT = 0.01  # that is left: its confidence is 0.99


LEAST_QUERIES = math.ceil(math.log(_DOUBT) / math.log1p(-_P99_OVER))
"""Of which none may be beyond a limit: fewer are never enough."""


def most_over_early(queries: int) -> int:
    """The answers beyond a limit that early stopping allows: fewer than p99 does by itself, which
    must be kept with a confidence of 99 %. -1 where not even none is enough.

    Source: `early_stopping.cc`, MinPassingQueriesFinder: so many or fewer of `queries` have, at one
    in a hundred each, a probability of 0.01 or less.
    """
    odds = _P99_OVER / (1 - _P99_OVER)
    log_term = queries * math.log1p(-_P99_OVER)  # of many queries, the term itself is 0
    total, over = math.exp(log_term), 0
    while total <= _DOUBT:
        log_term += math.log((queries - over) / (over + 1) * odds)
        over += 1
        total += math.exp(log_term)
    return over - 1


def early_p99(values_s: NDArray[np.float64]) -> float | None:
    """The least limit that early stopping finds kept by these values; None for too few of them."""
    import numpy as np

    over = most_over_early(len(values_s))
    if over < 0:
        return None
    place = len(values_s) - 1 - over
    return float(np.partition(values_s, place)[place])
