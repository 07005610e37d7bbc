"""The answers that get a token in every iteration, counted without a look at each.

Which of them end, and how many need another block, follows from the number of the iteration: an
iteration costs as much as happens in it, however many answers go on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Answer:
    """One request: tokens of its prompt and of its whole answer, and how far it is."""

    id: int
    prompt: int
    length: int
    made: int = 0
    """Tokens of the answer, up to iteration `since` while it is decoded."""
    cached: int = 0
    """Tokens in the cache until it is decoded."""
    since: int = 0

    @property
    def context(self) -> int:
        """Tokens to be computed before the next one can be chosen."""
        return self.prompt + self.made


class Decoding:
    """Answers by id, in the order in which they were started."""

    def __init__(self, tokens_per_block: int) -> None:
        self._answers: dict[int, Answer] = {}
        self._ends: dict[int, dict[int, Answer]] = {}
        self._growing = [0] * tokens_per_block
        self.context = 0
        """Tokens in all caches, the latest of each answer included."""

    def __len__(self) -> int:
        return len(self._answers)

    def begin(self, answer: Answer, iteration: int) -> None:
        """Decode an answer from the iteration after this one."""
        answer.since = iteration
        self._answers[answer.id] = answer
        self._ends.setdefault(self._end(answer), {})[answer.id] = answer
        self._growing[self._phase(answer)] += 1
        self.context += answer.context

    def growth(self, iteration: int) -> int:
        """Blocks that the tokens of this iteration need."""
        return self._growing[iteration % len(self._growing)]

    def advance(self, iteration: int) -> list[Answer]:
        """Every answer gets a token; those that are whole are decoded no longer."""
        self.context += len(self._answers)
        whole = list(self._ends.get(iteration, {}).values())
        for answer in whole:
            self._drop(answer, iteration)
        return whole

    def pause_latest(self, iteration: int) -> Answer:
        """Stop the answer that was started last, before this iteration."""
        answer = next(reversed(self._answers.values()))
        self._drop(answer, iteration - 1)
        return answer

    def made(self, answer: Answer, iteration: int) -> int:
        """Tokens of an answer after this iteration."""
        return answer.made + (iteration - answer.since if answer.id in self._answers else 0)

    def _drop(self, answer: Answer, iteration: int) -> None:
        """With what it has made after this iteration."""
        end = self._end(answer)
        del self._ends[end][answer.id]
        if not self._ends[end]:
            del self._ends[end]
        self._growing[self._phase(answer)] -= 1
        answer.made = self.made(answer, iteration)
        self.context -= answer.context
        del self._answers[answer.id]

    def _end(self, answer: Answer) -> int:
        """The iteration of its last token."""
        return answer.since + answer.length - answer.made

    def _phase(self, answer: Answer) -> int:
        """The iterations in which it opens a block, by their number's remainder."""
        return (answer.since + 1 - answer.context) % len(self._growing)
