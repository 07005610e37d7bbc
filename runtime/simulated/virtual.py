"""A simulated engine under load in virtual time: hours of a device in seconds here.

Nothing sleeps: the clock is the sum of the iterations, and jumps to the next arrival when the
engine has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from build_engine.errors import UsageError
from runtime.simulated.engine import Engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.simulated.model import EngineModel

    Seconds = NDArray[np.float64]
    Tokens = NDArray[np.int64]


GiveUp: TypeAlias = Callable[[float, float, int], bool]
"""Sees an answer (seconds to its first token and to its last, and its tokens), and says whether the
rest need not be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests in their order: tokens of each prompt and answer, and when each arrives (seconds,
    ascending). Without times each arrives when the one before it has been answered.
    """

    prompts: Tokens
    answers: Tokens
    arrivals_s: Seconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """When each request that was answered arrived, got its first token and its last one, in
    seconds; `numbers` are their places in the load, and `num_arrived` how many had come by then.
    """

    numbers: Tokens
    num_arrived: int
    arrived_s: Seconds
    first_s: Seconds
    last_s: Seconds
    num_iterations: int
    num_paused: int


def drive(model: EngineModel, load: Load, give_up: GiveUp | None = None) -> Answered:
    """Answer all requests of `load`, or those until `give_up`, which sees each answer, says so.
    Raises UsageError for one that never could be answered.
    """
    import numpy as np

    prompts, answers = load.prompts.tolist(), load.answers.tolist()
    for prompt, answer in zip(prompts, answers, strict=True):
        if refusal := model.refusal(prompt, answer):
            raise UsageError(f"The simulated engine cannot answer: {refusal}.")
    engine, num = Engine(model), len(prompts)
    arrivals = None if load.arrivals_s is None else load.arrivals_s.tolist()
    arrived, first, last = [0.0] * num, [0.0] * num, [0.0] * num
    now_s, number, num_iterations, num_paused, lost = 0.0, 0, 0, 0, False
    while not lost and (number < num or engine.busy):
        if number < num and not engine.busy:
            due_s = now_s if arrivals is None else arrivals[number]
            now_s = max(now_s, due_s)
        while number < num:
            due_s = now_s if arrivals is None else arrivals[number]
            if due_s > now_s or (arrivals is None and engine.busy):
                break
            arrived[number] = due_s
            engine.add(number, prompts[number], answers[number])
            number += 1
        done = engine.step()
        now_s += done.seconds
        num_iterations += 1
        num_paused += done.num_paused
        for request in done.started:
            first[request.id] = now_s
        for request in done.finished:
            last[request.id] = now_s
            if give_up is not None and not lost:
                ttft_s = first[request.id] - arrived[request.id]
                lost = give_up(ttft_s, now_s - arrived[request.id], request.length)
    answered = np.flatnonzero(np.array(last))
    return Answered(
        numbers=answered,
        num_arrived=number,
        arrived_s=np.array(arrived)[answered],
        first_s=np.array(first)[answered],
        last_s=np.array(last)[answered],
        num_iterations=num_iterations,
        num_paused=num_paused,
    )
