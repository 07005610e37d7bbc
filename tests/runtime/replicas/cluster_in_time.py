"""Simulated engines behind a dispatcher in virtual time: who got what, and how long it took."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.replicas.dispatch import Dispatcher, room_for
from runtime.simulated.decoding import Answer
from runtime.simulated.engine import Engine
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel

PROMPT, ANSWER = 200, 40


def slowed(factor: float, batch: int = 32) -> EngineModel:
    """An engine whose every iteration takes `factor` times as long."""
    return EngineModel(
        time=TimeModel(
            linear_flops_per_token=1e9,
            attention_flops_per_pair=0.0,
            head_flops_per_token=0.0,
            weight_bytes=1e9,
            kv_bytes_per_token=1e3,
            linear_flops_per_s=1e14 / factor,
            other_flops_per_s=1e14 / factor,
            bytes_per_s=1e11 / factor,
        ),
        kv_blocks=100_000,
        max_batch_size=batch,
        max_num_tokens=2048,
    )


@dataclass(slots=True)
class _Running:
    engine: Engine
    answers: dict[int, Answer]
    told: dict[int, int]


def answer_all(
    models: Sequence[EngineModel], num_requests: int, *, guessed: int | None = None
) -> tuple[float, list[int]]:
    """Seconds until all requests, which come together, are answered, and how many each engine
    answered. With `guessed` they are servers: so many requests are guessed to fit into each, and
    answers are told whole.
    """
    rooms = [room_for(guessed or model.max_in_flight) for model in models]
    dispatcher = Dispatcher(rooms, guessed=guessed is not None)
    for number in range(num_requests):
        dispatcher.add(number, PROMPT, 2 * ANSWER, urgent=guessed is None)
    running = [_Running(Engine(model), {}, {}) for model in models]
    counts = [0] * len(models)
    ends: list[tuple[float, int, list[tuple[int, int, bool]]]] = []
    now_s = 0.0
    while True:
        for replica, numbers in dispatcher.assign(now_s).items():
            for number in numbers:
                each = running[replica]
                each.answers[number] = each.engine.add(number, PROMPT, ANSWER)
        at_work = {replica for _, replica, _ in ends}
        for replica, each in enumerate(running):
            if replica not in at_work and each.engine.busy:
                done = each.engine.step()
                heapq.heappush(ends, (now_s + done.seconds, replica, _news(each, done.finished)))
        if not ends:
            break
        now_s, replica, news = heapq.heappop(ends)
        for number, num_tokens, finished in news:
            if guessed and not finished:
                continue
            num_tokens = ANSWER if guessed else num_tokens
            assert dispatcher.made(number, num_tokens, finished=finished, now_s=now_s) == replica
            counts[replica] += finished
    assert dispatcher.num_open == 0
    return now_s, counts


def _news(each: _Running, finished: Sequence[Answer]) -> list[tuple[int, int, bool]]:
    """Of each request its new tokens and whether they are the last."""
    ended = {answer.id for answer in finished}
    news = []
    for number, answer in list(each.answers.items()):
        made = ANSWER if number in ended else each.engine.made(answer)
        new = made - each.told.get(number, 0)
        each.told[number] = made
        if new or number in ended:
            news.append((number, new, number in ended))
        if number in ended:
            del each.answers[number]
    return news
