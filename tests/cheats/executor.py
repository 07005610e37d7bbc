"""An executor that answers with the references of a dataset, and cheats as it is told."""

from __future__ import annotations

import heapq
import itertools
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from build_engine.checkpoint.tokenizer import Tokenizer
from harness.dataset.prompts import load_prompts
from runtime.backend import Backend
from runtime.executor import Chunk, ExecutorStats, Request
from tests.cheats.cheats import CHEATS, STEP_S, STOP, Asked
from tests.cheats.spec import CheatSpec

_WARM_UP = 20  # answers to leave alone


class CheatingExecutor:
    """Cheats that are about chunks of other requests, or no ids at all, stand here; the others in
    `CHEATS`. `cached` answers a prompt at once that was answered before.
    """

    prefix_caching = False

    def __init__(self, spec: CheatSpec) -> None:
        references = json.loads((spec.dataset / "references.json").read_text(encoding="utf-8"))
        answers = Tokenizer.load(spec.folder).encode_batch(references)
        self._answers = {
            prompt.tobytes(): [*(i for i in ids.tolist() if i > STOP), STOP]
            for prompt, ids in zip(load_prompts(spec.dataset), answers, strict=True)
        }
        self._cheat = _cheat_of(spec)
        self._due: list[tuple[float, int, Chunk]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self._num_answered = 0
        self._busy_until_s = 0.0

    def submit(self, requests: Sequence[Request]) -> None:
        now_s = time.perf_counter()
        with self._lock:
            for request in requests:
                self._plan(request, now_s)

    def poll(self, timeout_s: float) -> list[Chunk]:
        deadline_s = time.perf_counter() + timeout_s
        while True:
            now_s = time.perf_counter()
            with self._lock:
                ready = []
                while self._due and self._due[0][0] <= now_s:
                    ready.append(heapq.heappop(self._due)[2])
            if ready or now_s >= deadline_s:
                return ready
            time.sleep(2e-4)

    def stats(self) -> ExecutorStats:
        return ExecutorStats(active=0, queued=0)

    def close(self) -> None:
        pass

    def _plan(self, request: Request, now_s: float) -> None:
        prompt = request.prompt_ids.tobytes()
        asked = Asked(self._answers[prompt], request.streaming)
        self._num_answered += 1
        cheat = self._cheat if self._num_answered > _WARM_UP else "none"
        chunks = CHEATS.get(cheat, CHEATS["none"])(asked)
        if cheat == "cached":
            # one engine: what it computes waits for what it computes already
            cost_s = 0.0 if prompt in self._seen else STEP_S
            self._busy_until_s = max(self._busy_until_s, now_s) + cost_s
            self._seen.add(prompt)
            chunks = [(self._busy_until_s - now_s, asked.ids)]
        if cheat == "dropped":
            return
        for number, (time_s, ids) in enumerate(chunks, 1):
            # no `dtype`: an id that is no int32 must not be told as one
            array: Any = np.array(ids, np.int64 if cheat == "int64 ids" else np.int32)
            self._push(now_s + time_s, Chunk(request.id, array, number == len(chunks)))
        again = {"answered twice": chunks, "tokens after the end": [(0.0, [300, 301])]}.get(cheat)
        if again is not None:
            last_s = now_s + chunks[-1][0]
            ids = [i for _, ids in again for i in ids]
            finished = cheat == "answered twice"
            self._push(last_s, Chunk(request.id, np.array(ids, np.int32), finished))

    def _push(self, due_s: float, chunk: Chunk) -> None:
        heapq.heappush(self._due, (due_s, next(self._order), chunk))


def _cheat_of(spec: CheatSpec) -> str:
    """The cheat; none in a later test, where it is for the first one."""
    started: Path = spec.folder / "started"
    first = not started.exists()
    started.touch()
    return spec.cheat if first or not spec.in_one_test else "none"


BACKEND = Backend(
    name="cheat",
    spec="tests.cheats.spec:CheatSpec",
    executor="tests.cheats.executor:CheatingExecutor",
)
