"""The CPU engine beside its peers: the same checkpoint, prompts, threads and number of new tokens.

Each system runs alone, one after the other, and all of them again in every round; a ratio compares
two systems of the same round. Answers are greedy and ignore the end-of-text token.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import newsbrief
from benchmarks.drive import drive
from benchmarks.engines import cpu_engine, prompts
from benchmarks.peer_programs.job import Measured, PeerJob
from benchmarks.peer_tables import Rounds, best_figures, rate_tables, ratio_table
from benchmarks.peer_venv import peer_python
from benchmarks.result import Result
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.errors import RunFailed
from runtime.backend import load
from runtime.executor import Request
from runtime.openvino.spec import OpenVINOSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.progress import Progress

CONCURRENCIES = (1, 4, 16, 64)
_WARMUP_TOKENS = 8
_NEWSBRIEF = "newsbrief"


@dataclass(frozen=True, slots=True)
class Peer:
    """A system that is not ours: the program that runs it, and its weights."""

    name: str
    program: str
    weights: str
    precision: str


HF = Peer(
    "Hugging Face f32", "hf_generate", "float32", "weights float32; arithmetic float32; KV float32"
)
PEERS = (
    HF,
    Peer("llama.cpp F16", "llama_cpp", "F16", "weights float16; arithmetic float32; KV float16"),
    Peer(
        "llama.cpp Q8_0",
        "llama_cpp",
        "Q8_0",
        "weights int8, groups of 32; arithmetic int8; KV float16",
    ),
    Peer(
        "llama.cpp Q4_0",
        "llama_cpp",
        "Q4_0",
        "weights int4, groups of 32; arithmetic int8; KV float16",
    ),
)
COUNTERPARTS = {
    "bf16": "llama.cpp F16",
    "int8_wo": "llama.cpp Q8_0",
    "int4_wo": "llama.cpp Q4_0",
}
"""The peer whose weights have as many bits as those of a recipe."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is compared: a checkpoint by name or folder, and the size of the work."""

    model: str = _NEWSBRIEF
    concurrencies: tuple[int, ...] = CONCURRENCIES
    new_tokens: int = 64
    min_prompt_tokens: int = 0
    """Articles are joined until a prompt is as long."""
    waves: int = 16
    """Requests at concurrency 1."""
    rounds: int = 3
    recipes: tuple[str, ...] = tuple(COUNTERPARTS)
    peers: tuple[str, ...] = tuple(peer.name for peer in PEERS)


def measure(choice: Choice, python: Path | None, progress: Progress) -> Result:
    """All systems, `rounds` times."""
    peers = [peer for peer in PEERS if peer.name in choice.peers]
    python = peer_python(python, progress) if peers else None
    engines = {recipe: cpu_engine(choice.model, recipe, progress) for recipe in choice.recipes}
    job = _job(choice, next(iter(engines.values())))
    rounds: Rounds = {}
    for number in range(choice.rounds):
        for recipe, engine in engines.items():
            progress.phase(f"peers: round {number + 1} of {choice.rounds}, {_ours(recipe)}")
            rounds.setdefault(_ours(recipe), []).append(_by_concurrency(run_ours(engine, job)))
        for peer in peers:
            progress.phase(f"peers: round {number + 1} of {choice.rounds}, {peer.name}")
            assert python is not None
            rounds.setdefault(peer.name, []).append(_by_concurrency(run_peer(peer, python, job)))
    precisions = {_ours(r): _precision(engine) for r, engine in engines.items()}
    precisions |= {peer.name: peer.precision for peer in peers}
    return _result(choice, job, rounds, precisions)


def _job(choice: Choice, engine: Engine) -> PeerJob:
    source = engine.manifest.model.source
    job = PeerJob(
        model=str(newsbrief.CHECKPOINT) if source == _NEWSBRIEF else source,
        weights="",
        threads=len(os.sched_getaffinity(0)),
        new_tokens=choice.new_tokens,
        prompts=[],
        concurrencies=list(choice.concurrencies),
        waves=choice.waves,
        warmup_tokens=_WARMUP_TOKENS,
    )
    count = max(job.requests(concurrency) for concurrency in choice.concurrencies)
    made = prompts(engine.folder, count, choice.min_prompt_tokens)
    return replace(job, prompts=[ids.tolist() for ids in made])


def _ours(recipe: str) -> str:
    return f"enginebench {recipe}"


def _precision(engine: Engine) -> str:
    said = engine.manifest.precision
    return f"weights {said.weights}; arithmetic {said.activations}; KV {said.kv_cache}"


def run_ours(engine: Engine, job: PeerJob) -> list[Measured]:
    """A job on one of our engines, loaded for it."""
    import numpy as np

    executor = load(OpenVINOSpec(folder=engine.folder, num_threads=job.threads))
    arrays = [np.array(ids, np.int32) for ids in job.prompts]

    def requests(count: int, new_tokens: int) -> list[Request]:
        return [
            Request(i, arrays[i], new_tokens, new_tokens, engine.stop_ids, ignore_eos=True)
            for i in range(count)
        ]

    found = []
    try:
        for concurrency in job.concurrencies:
            drive(executor, requests(concurrency, job.warmup_tokens), concurrency)
            count = job.requests(concurrency)
            done = drive(executor, requests(count, job.new_tokens), concurrency)
            prompt_tokens = sum(map(len, job.prompts[:count]))
            answers = [done.answers[i] for i in range(count)]
            found.append(Measured(concurrency, done.duration_s, prompt_tokens, answers))
    finally:
        executor.close()
    return found


def run_peer(peer: Peer, python: Path, job: PeerJob) -> list[Measured]:
    """A job on a peer, in a process of its own. Raises RunFailed."""
    with tempfile.TemporaryDirectory() as name:
        asked, answered = Path(name) / "job.json", Path(name) / "measured.json"
        asked.write_text(json.dumps(asdict(job) | {"weights": peer.weights}), encoding="utf-8")
        program = f"benchmarks.peer_programs.{peer.program}"
        done = subprocess.run(
            [str(python), "-m", program, str(asked), str(answered)],
            cwd=Path(__file__).resolve().parents[1],
            env=os.environ | {"OMP_NUM_THREADS": str(job.threads)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise RunFailed(f"{peer.name} failed: {last}")
        found = json.loads(answered.read_text(encoding="utf-8"))
    return [Measured(**item) for item in found]


def _by_concurrency(found: list[Measured]) -> dict[int, Measured]:
    return {item.concurrency: item for item in found}


def _result(choice: Choice, job: PeerJob, rounds: Rounds, precisions: dict[str, str]) -> Result:
    ours = [_ours(recipe) for recipe in choice.recipes]
    theirs = [name for name in rounds if name not in ours]
    pairs = [(_ours(r), COUNTERPARTS[r]) for r in choice.recipes if COUNTERPARTS[r] in theirs]
    pairs += [(name, HF.name) for name in ours if HF.name in theirs]
    lengths = sorted(map(len, job.prompts))
    stop_ids = resolve_checkpoint(choice.model).config.eos_token_ids
    counts = ", ".join(f"{job.requests(c)} at {c}" for c in choice.concurrencies)
    tables = rate_tables(rounds, precisions, HF.name, stop_ids)
    if pairs:
        tables = (*tables, ratio_table(rounds, pairs))
    return Result(
        title=f"CPU engine and peers, {choice.model}",
        figures=best_figures(rounds, ours, theirs) if theirs else (),
        tables=tables,
        notes=(
            f"prompts of {lengths[0]} to {lengths[-1]} tokens, {choice.new_tokens} new tokens, "
            f"{job.threads} threads, {choice.rounds} rounds",
            f"requests: {counts}; ours and llama.cpp batch continuously, Hugging Face in waves",
            "same tokens: answers identical to Hugging Face f32 up to their end-of-text token",
        ),
        details={
            "precision": precisions,
            "duration_s": {
                name: [{c: m.duration_s for c, m in found.items()} for found in all_found]
                for name, all_found in rounds.items()
            },
            "requests": {c: job.requests(c) for c in choice.concurrencies},
            "new_tokens": choice.new_tokens,
            "prompt_tokens": {c: m.prompt_tokens for c, m in rounds[ours[0]][0].items()},
        },
    )
