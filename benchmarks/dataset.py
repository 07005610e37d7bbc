"""How long a whole dataset takes: preparing 13,368 samples, and scoring 13,368 answers.

Both go the way that a run goes: preparing ends with the files on disk, scoring begins with the log
that LoadGen writes in accuracy mode.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import newsbrief
from benchmarks.result import Figure, Result
from build_engine.checkpoint.tokenizer import Tokenizer
from harness.dataset.preparation import prepare
from harness.dataset.sources.source import Source
from harness.loadgen.folder import TestFolder
from harness.loadgen.logs import first_answers, read_answers
from harness.progress import NullProgress
from harness.rules.workload import load_workload
from harness.scoring.accuracy import score_answers

if TYPE_CHECKING:
    from harness.progress import Progress

PREPARE_GOAL_S = 30.0
SCORE_GOAL_S = 10.0
NUM_SAMPLES = 13_368
_LONG_TOKENS = 900
_LONG_REFERENCES = 3  # joined, as many words as a CNN/DailyMail reference of four sentences
_PERTURBED = 0.2  # of the words of an answer


@dataclass(frozen=True, slots=True)
class _Kind:
    """One sort of sample, as a JSONL file holds it."""

    name: str
    file: Path
    mean_tokens: float
    references: list[str]


def measure(count: int, model: Path, repeats: int, progress: Progress) -> Result:
    """`count` samples of the workload's own length, and as many long ones; the tokenizer is that
    of the checkpoint folder `model`.
    """
    figures: list[Figure] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in _write_kinds(Path(name), count, model):
            prepared: list[float] = []
            scored: list[float] = []
            listed: list[float] = []
            log = _write_log(kind, model)
            official = _write_official(kind, model)
            for number in range(repeats):
                progress.phase(f"dataset: {kind.name}, {number + 1} of {repeats}")
                prepared.append(_prepare_s(kind.file, count, model))
                listed.append(_prepare_s(official, count, model))
                scored.append(_score_s(log, kind, model))
            figures += [
                Figure(f"prepare, {kind.name}", "s", tuple(prepared), at_most=PREPARE_GOAL_S),
                Figure(
                    f"prepare, {kind.name} as the official list",
                    "s",
                    tuple(listed),
                    at_most=PREPARE_GOAL_S,
                ),
                Figure(f"score, {kind.name}", "s", tuple(scored), at_most=SCORE_GOAL_S),
            ]
            official.unlink()
            words = sum(len(text.split()) for text in kind.references) / len(kind.references)
            notes.append(
                f"{kind.name}: {count:,} prompts of {kind.mean_tokens:.0f} tokens on average, "
                f"references of {words:.0f} words"
            )
    if count != NUM_SAMPLES:
        notes.append(f"the goals are for {NUM_SAMPLES:,} samples")
    notes.append(
        "prepare: JSONL (or a JSON list) to files on disk; score: LoadGen's accuracy log to ROUGE"
    )
    return Result("Dataset: preparation and scoring", tuple(figures), notes=tuple(notes))


def _write_kinds(folder: Path, count: int, model: Path) -> list[_Kind]:
    articles = newsbrief.articles("validation", 1 << 30)
    short = [(a.article, a.highlights) for a in islice(articles, count)]
    mean_tokens = _mean_tokens([text for text, _ in short[:200]], model)
    joined = max(2, round(_LONG_TOKENS / mean_tokens))
    return [
        _write_kind(folder, "newsbrief", iter(short), count, model),
        _write_kind(folder, "long", _joined(short, joined), count, model),
    ]


def _joined(short: list[tuple[str, str]], joined: int) -> Iterator[tuple[str, str]]:
    """Each article with its followers behind it, `joined` in all, and their references."""
    for start in range(len(short)):
        group = [short[(start + offset) % len(short)] for offset in range(joined)]
        yield (
            "\n\n".join(article for article, _ in group),
            "\n".join(reference for _, reference in group[:_LONG_REFERENCES]),
        )


def _write_kind(
    folder: Path, name: str, samples: Iterator[tuple[str, str]], count: int, model: Path
) -> _Kind:
    file = folder / f"{name}.jsonl"
    references: list[str] = []
    some: list[str] = []
    with file.open("w", encoding="utf-8") as lines:
        for article, reference in islice(samples, count):
            lines.write(json.dumps({"article": article, "highlights": reference}) + "\n")
            references.append(reference)
            if len(some) < 200:
                some.append(article)
    return _Kind(name, file, _mean_tokens(some, model), references)


def _mean_tokens(articles: list[str], model: Path) -> float:
    workload = load_workload("newsbrief")
    encoded = Tokenizer.load(model).encode_batch([workload.prompt(text) for text in articles])
    return sum(map(len, encoded)) / len(encoded)


def _write_log(kind: _Kind, model: Path) -> Path:
    """The folder of an accuracy log as LoadGen writes it, whose answers are references with words
    exchanged.
    """
    rng = random.Random(kind.name)
    words = sorted({word for text in kind.references[:500] for word in text.split()})
    answers = [
        " ".join(rng.choice(words) if rng.random() < _PERTURBED else w for w in text.split(" "))
        for text in kind.references
    ]
    entries = [
        {"seq_id": i, "qsl_idx": i, "data": ids.tobytes().hex().upper(), "token_count": len(ids)}
        for i, ids in enumerate(Tokenizer.load(model).encode_batch(answers))
    ]
    test = TestFolder(kind.file.with_suffix(""))
    test.path.mkdir()
    test.answers.write_text(json.dumps(entries), encoding="utf-8")
    return test.path


def _write_official(kind: _Kind, model: Path) -> Path:
    """The same samples as the official file holds them: a list of records, each id on a line."""
    rows = [json.loads(line) for line in kind.file.read_text(encoding="utf-8").splitlines()]
    workload = load_workload("newsbrief")
    ids = Tokenizer.load(model).encode_batch([workload.prompt(row["article"]) for row in rows])
    path = kind.file.with_suffix(".json")
    with path.open("w", encoding="utf-8") as file:
        for number, (row, prompt) in enumerate(zip(rows, ids, strict=True)):
            record = {
                "instruction": workload.prompt_template,
                "input": row["article"],
                "tok_input": prompt.tolist(),
                "output": row["highlights"],
            }
            file.write(("," if number else "[") + json.dumps(record, indent=4))
        file.write("]")
    return path


def _prepare_s(file: Path, count: int, model: Path) -> float:
    with tempfile.TemporaryDirectory() as root:
        started_s = time.perf_counter()
        workload = load_workload("newsbrief")
        source = Source.find(str(file))
        prepare(workload, source, model, Path(root), count, NullProgress())
        return time.perf_counter() - started_s


def _score_s(log: Path, kind: _Kind, model: Path) -> float:
    started_s = time.perf_counter()
    score_answers(first_answers(read_answers(log)), kind.references, Tokenizer.load(model))
    return time.perf_counter() - started_s
