"""A simulated engine with in-flight batching: requests in, iterations out; it knows no clock.

Each iteration makes a token of every answer that is decoded and then computes prompts, first come
first served, as the limits allow: the scheduling of TensorRT-LLM's batch manager in 1.2
(`capacityScheduler.cpp`, `microBatchScheduler.cpp`), for one GPU, greedy, without block reuse.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.simulated.blocks import BlockPool
from runtime.simulated.decoding import Answer, Decoding
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import Work


@dataclass(frozen=True, slots=True)
class Iteration:
    """What one iteration did: how long it took, and whose first and last tokens it made."""

    seconds: float
    started: Sequence[Answer]
    finished: Sequence[Answer]
    num_paused: int


class Engine:
    """One engine and its requests. The same requests at the same iterations end the same way."""

    def __init__(self, model: EngineModel) -> None:
        self._model = model
        self._pool = BlockPool(model.kv_blocks, model.tokens_per_block)
        self._decoding = Decoding(model.tokens_per_block)
        self._waiting: deque[Answer] = deque()
        self._partial: Answer | None = None  # a prompt that is computed in parts
        self._number = 0

    @property
    def num_queued(self) -> int:
        """Requests that hold no cache."""
        return len(self._waiting)

    @property
    def num_active(self) -> int:
        """Requests in flight."""
        return len(self._decoding) + (self._partial is not None)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self.num_active)

    @property
    def blocks_used(self) -> int:
        """Blocks of the KV cache that hold something."""
        return self._pool.used

    def add(self, request_id: int, prompt: int, length: int) -> Answer:
        """Queue a request that the model does not refuse: the tokens of its prompt, and those that
        its answer will have.
        """
        assert self._model.refusal(prompt, length) is None, "a request that never ends"
        answer = Answer(request_id, prompt, length)
        self._waiting.append(answer)
        return answer

    def made(self, answer: Answer) -> int:
        """Tokens of an answer so far."""
        return self._decoding.made(answer, self._number)

    def step(self) -> Iteration:
        """Carry out one iteration."""
        self._number += 1
        num_paused = self._pause() if self._model.pauses else 0
        self._pool.take(self._decoding.growth(self._number))
        num_decoded, read = len(self._decoding), self._decoding.context
        # What was paused would at once take the blocks for which it was paused.
        parts = [] if num_paused else self._prompts()
        tokens, pairs, started = num_decoded, float(read), list[Answer]()
        for answer, part in parts:
            tokens += part
            pairs += part * (answer.cached + part / 2)
            read += answer.cached
            answer.cached += part
            if answer.cached == answer.context:
                started.append(answer)
        seconds = self._model.time.seconds(Work(tokens, pairs, num_decoded + len(started), read))
        finished = self._decoding.advance(self._number)
        first = [answer for answer in started if not answer.made]
        for answer in started:
            answer.made += 1
            if answer.made == answer.length:
                finished.append(answer)
            else:
                self._decoding.begin(answer, self._number)
        for answer in finished:
            self._release(answer)
        return Iteration(seconds, first, finished, num_paused)

    def _pause(self) -> int:
        """Pause the latest requests until the others have blocks for their next tokens."""
        paused = 0
        while self._decoding.growth(self._number) > self._pool.free:
            if self._partial is not None:
                answer, self._partial = self._partial, None
                held = answer.cached
            else:
                answer = self._decoding.pause_latest(self._number)
                held = answer.context
            self._pool.give_back(self._pool.needed(held))
            answer.cached = 0
            self._waiting.appendleft(answer)
            paused += 1
        return paused

    def _prompts(self) -> list[tuple[Answer, int]]:
        """The prompts of this iteration and how many tokens of each, their blocks taken."""
        parts: list[tuple[Answer, int]] = []
        budget = self._model.max_num_tokens - len(self._decoding)
        room = self._model.max_in_flight - self.num_active
        if self._model.waits_for_batch and len(self._decoding):
            return parts
        while budget > 0:
            answer, is_new = self._partial, False
            if answer is None and room and self._waiting:
                answer, is_new = self._waiting[0], True
            part = self._part(answer, budget, is_new) if answer is not None else 0
            if answer is None or not part:
                break
            if is_new:
                room -= 1
                self._start()
            whole = answer.cached + part == answer.context
            self._pool.take(self._blocks(answer, part))
            self._partial = None if whole else answer
            parts.append((answer, part))
            if not whole:
                break
            budget -= part
        return parts

    def _part(self, answer: Answer, budget: int, is_new: bool) -> int:
        """Tokens of a prompt for which there is room, 0 for none."""
        rest = answer.context - answer.cached
        part = min(rest, budget)
        if part < rest:
            part = part - part % self._model.tokens_per_block if self._model.chunked_context else 0
        if self._model.pauses:
            fits = self._blocks(answer, part) <= self._pool.free
        else:  # an old one has its promise
            fits = not is_new or self._whole(answer) <= self._pool.free
        return part if fits else 0

    def _start(self) -> None:
        answer = self._waiting.popleft()
        if not self._model.pauses:
            self._pool.promise(self._whole(answer))

    def _release(self, answer: Answer) -> None:
        self._pool.give_back(self._whole(answer))
        if not self._model.pauses:
            self._pool.promise(-self._whole(answer))

    def _whole(self, answer: Answer) -> int:
        """Blocks of a whole request."""
        return self._pool.needed(answer.prompt + answer.length)

    def _blocks(self, answer: Answer, part: int) -> int:
        """Blocks that the next part of a prompt needs, that of the token it leads to included."""
        after = answer.cached + part
        return self._pool.needed(after + (after == answer.context)) - self._pool.needed(
            answer.cached
        )
