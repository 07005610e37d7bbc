"""How far the pipeline has read the prompts that it holds, which it does not tell.

A step computes a fixed number of tokens at most: one for each sequence that is being answered, and
then prompts in order of arrival, the last of them in part (the library's "dynamic split fuse"). A
prompt that was read whole gives its first token in the same step. So the count is exact for these,
and for the one in work it is what the step had left over; too high, by that one prompt at most,
while the key/value cache is full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class PromptsRead:
    """A count of prompt tokens, over steps of at most `tokens_per_step` tokens."""

    def __init__(self, tokens_per_step: int) -> None:
        self._tokens_per_step = tokens_per_step
        self._unread: dict[int, int] = {}  # lengths, by the requests' ids, in order of arrival
        self._whole = 0
        self.num_tokens = 0
        """Read so far."""

    def add(self, request_id: int, length: int) -> None:
        """The pipeline holds one more prompt."""
        self._unread[request_id] = length

    def step(self, made: Sequence[tuple[int, int]]) -> None:
        """A step was computed: `made` has the requests with new tokens, or at their end, and the
        number of these.
        """
        if not self._unread:
            return
        num_read, in_work = self._tokens_per_step, next(iter(self._unread))
        for request_id, num_new in made:
            length = self._unread.pop(request_id, None)
            if length is None:
                num_read -= num_new
            elif num_new:
                self._whole += length
            elif request_id == in_work:  # it was given up, or failed; others did so unread
                self._whole = max(self._whole, self.num_tokens)
        most = self._whole + next(iter(self._unread.values()), 1) - 1
        self.num_tokens = max(self._whole, min(self.num_tokens + num_read, most))
