"""llama.cpp with continuous batching: its own server, in this process, one slot per open request.

The wheel `xllamacpp` brings llama.cpp itself; requests go to the server's completion handler
directly, without HTTP.
"""

from __future__ import annotations

import gc
import importlib
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.peer_programs.gguf_file import write_gguf
from benchmarks.peer_programs.job import Measured, PeerJob, serve

_SLOT_SLACK = 8  # positions beyond prompt and answer


def measure(job: PeerJob) -> list[Measured]:
    """Write the GGUF file, then measure every concurrency on a server with as many slots."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(Path(job.model), path, job.weights)
        return [_at(job, path, concurrency) for concurrency in job.concurrencies]


def _at(job: PeerJob, path: Path, concurrency: int) -> Measured:
    server = _server(job, path, concurrency)
    prompts = job.prompts[: job.requests(concurrency)]
    _answer(server, prompts[:concurrency], job.warmup_tokens, concurrency)
    started_s = time.perf_counter()
    answers = _answer(server, prompts, job.new_tokens, concurrency)
    duration_s = time.perf_counter() - started_s
    del server
    gc.collect()  # the server's threads and memory go before the next one is measured
    return Measured(concurrency, duration_s, sum(map(len, prompts)), answers)


def _server(job: PeerJob, path: Path, slots: int) -> Any:
    lib: Any = importlib.import_module("xllamacpp")
    longest = max(map(len, job.prompts)) + job.new_tokens + _SLOT_SLACK
    params = lib.CommonParams()
    params.model.path = str(path)
    params.n_parallel = slots
    params.n_ctx = slots * longest
    params.n_batch = 2048
    params.n_ubatch = 512
    params.cpuparams.n_threads = job.threads
    params.cpuparams_batch.n_threads = job.threads
    params.cache_prompt = False  # every prompt is computed in its entirety, as on our side
    params.cache_ram_mib = 0
    params.verbosity = -1
    return lib.Server(params)


def _answer(
    server: Any, prompts: list[list[int]], new_tokens: int, concurrency: int
) -> list[list[int]]:
    """All prompts, at most `concurrency` at a time. Raises RuntimeError for a short answer."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(prompts)):
        todo.put(number)
    answers: list[list[int]] = [[] for _ in prompts]
    failures: list[str] = []

    def work() -> None:
        while not failures:
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            reply = server.handle_completions(_request(prompts[number], new_tokens))
            counted = reply.get("usage", {}).get("completion_tokens")
            if counted != new_tokens:
                failures.append(f"{counted} tokens instead of {new_tokens}: {str(reply)[:300]}")
                return
            answers[number] = reply.get("__verbose", {}).get("tokens", [])

    workers = [threading.Thread(target=work) for _ in range(min(concurrency, len(prompts)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise RuntimeError(failures[0])
    return answers


def _request(prompt: list[int], new_tokens: int) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "max_tokens": new_tokens,
        "temperature": 0.0,
        "top_k": 1,
        "samplers": ["top_k"],
        "ignore_eos": True,
        "cache_prompt": False,
        "return_tokens": True,
        "verbose": True,
        "stream": False,
    }


if __name__ == "__main__":
    serve(measure)
