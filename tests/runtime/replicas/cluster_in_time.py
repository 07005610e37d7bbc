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
    models: Sequence[EngineModel],
    num_requests: int,
    *,
    guessed: int | None = None,
    whole: bool = False,
    warm_up: int = 0,
) -> tuple[float, list[int]]:
    """Seconds until all requests, which come together, are answered, and how many each engine
    answered. With `guessed` they are servers: so many requests are guessed to fit into each. These
    tell answers whole, as all do with `whole`. With `warm_up` there was one of so many requests.
    """
    cluster = _Cluster(models, guessed, whole or guessed is not None)
    for num in (1, warm_up, warm_up, 1, 1, 1) if warm_up else ():
        cluster.answer(num)
    cluster.dispatcher.forget()
    return cluster.answer(num_requests)


def best_s(models: tuple[EngineModel, EngineModel], num_requests: int) -> float:
    """In how many seconds two engines could answer all at best, whoever hands them out: of all
    splits the best, where each has its part from the beginning.
    """
    first, second = models
    low, high = 0, num_requests  # of the second one's; its time grows with them, the other's falls
    while high - low > 1:
        middle = (low + high) // 2
        longer = _alone_s(second, middle) >= _alone_s(first, num_requests - middle)
        low, high = (low, middle) if longer else (middle, high)
    return min(
        max(_alone_s(first, num_requests - part), _alone_s(second, part)) for part in (low, high)
    )


def _alone_s(model: EngineModel, num_requests: int) -> float:
    engine, seconds = Engine(model), 0.0
    for number in range(num_requests):
        engine.add(number, PROMPT, ANSWER)
    while engine.busy:
        seconds += engine.step().seconds
    return seconds


class _Cluster:
    """Engines behind a dispatcher; time goes on from one batch of requests to the next."""

    def __init__(self, models: Sequence[EngineModel], guessed: int | None, whole: bool) -> None:
        rooms = [room_for(guessed or model.max_in_flight) for model in models]
        self.dispatcher = Dispatcher(rooms, guessed=guessed is not None)
        self._urgent, self._whole = guessed is None, whole
        self._running = [_Running(Engine(model), {}, {}) for model in models]
        self._now_s = 0.0
        self._ends: list[tuple[float, int, list[tuple[int, int, bool]]]] = []

    def answer(self, num_requests: int) -> tuple[float, list[int]]:
        """Seconds until so many new requests are answered, and how many each engine answered."""
        started_s, counts = self._now_s, [0] * len(self._running)
        for number in range(num_requests):
            self.dispatcher.add(number, PROMPT, 2 * ANSWER, urgent=self._urgent)
        while True:
            self._begin()
            if not self._ends:
                assert self.dispatcher.num_open == 0
                return self._now_s - started_s, counts
            self._now_s, replica, news = heapq.heappop(self._ends)
            for number, num_tokens, finished in news:
                if self._whole and not finished:
                    continue
                made = ANSWER if self._whole else num_tokens
                of = self.dispatcher.made(number, made, finished=finished, now_s=self._now_s)
                assert of == replica
                counts[replica] += finished

    def _begin(self) -> None:
        """Hand out what there is, and begin the next iteration of whoever has none."""
        for replica, numbers in self.dispatcher.assign(self._now_s).items():
            each = self._running[replica]
            for number in numbers:
                each.told.pop(number, None)
                each.answers[number] = each.engine.add(number, PROMPT, ANSWER)
        at_work = {replica for _, replica, _ in self._ends}
        for replica, each in enumerate(self._running):
            if replica not in at_work and each.engine.busy:
                done = each.engine.step()
                end_s = self._now_s + done.seconds
                heapq.heappush(self._ends, (end_s, replica, _news(each, done.finished)))


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
