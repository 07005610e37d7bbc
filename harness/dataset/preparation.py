"""Preparing a dataset: made once, and found again by content.

Each article is tokenised inside the workload's prompt, untimed, as MLPerf allows; the result lies
in the cache under the digest of everything that went into it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import DatasetError, UsageError
from build_engine.files import CACHE_REMEDY, cannot_write
from build_engine.validation import counted
from harness.dataset.description import describe
from harness.dataset.prepared import Dataset, find, publish
from harness.dataset.record import DatasetRecord
from harness.dataset.sources.sample import Purpose, Sample
from harness.dataset.sources.source import Source
from harness.dataset.standing import check_whole, expected_samples

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.rules.workload import Workload
    from runtime.executor import TokenIds


def prepare(
    workload: Workload,
    source: Source,
    model_folder: Path,
    root: Path,
    count: int | None,
    progress: Progress,
    purpose: Purpose = "evaluation",
) -> Dataset:
    """The prepared dataset of these inputs: found in the cache under `root`, or made.

    `model_folder` holds the tokenizer: a checkpoint's folder, or an engine's. Without a `count`, an
    official file must be the workload's whole set. Raises DatasetError when the source is empty,
    broken, smaller than asked for, or has a prompt over the benchmark's limit, OutputError when the
    cache takes no more. A preparation that fails leaves nothing behind.
    """
    check_count(count)
    tokenizer = Tokenizer.load(model_folder)
    key = _key(workload, source, tokenizer, count, purpose)
    folder = root / "datasets" / f"{workload.name}-{source.stem}-{key[:12]}"
    prepared = find(folder)
    if prepared is not None:
        return _told(prepared, progress)
    part = f", {counted(count, 'sample')}" if count else ""
    progress.phase(f"Preparing the dataset {source.name}{part}")
    samples = _read(workload, source, count, purpose, progress)
    prompts = _tokenise(workload, samples, tokenizer, progress)
    if workload.benchmark is not None and purpose == "evaluation":
        _check_lengths(workload, source, prompts)
    trial = count is not None
    record = describe(workload, source, samples, prompts, purpose, tokenizer, trial=trial)
    try:
        made = publish(folder, prompts, [sample.reference for sample in samples], record)
    except OSError as error:
        raise cannot_write(root, error, CACHE_REMEDY) from None
    return _told(made, progress)


def _told(prepared: Dataset, progress: Progress) -> Dataset:
    """The dataset, once what its checkpoint's files disagree in is said."""
    for note in prepared.record.tokenizer_notes:
        progress.note(f"Note: {note}.")
    return prepared


def check_count(count: int | None) -> None:
    """Raise UsageError for a number of samples below 1."""
    if count is not None and count < 1:
        raise UsageError(f"--count is {count}; give 1 or more.")


def _read(
    workload: Workload, source: Source, count: int | None, purpose: Purpose, progress: Progress
) -> list[Sample]:
    expected = count or expected_samples(workload, purpose)
    samples: list[Sample] = []
    for sample in source.samples(count, purpose):
        samples.append(sample)
        if len(samples) % 512 == 0:
            progress.update(len(samples), expected)
    if not samples:
        raise DatasetError(f"The dataset {source.name} is empty; it needs at least one sample.")
    if count is not None and len(samples) < count:
        raise DatasetError(
            f"The dataset {source.name} has {counted(len(samples), 'sample')}, fewer than "
            f"--count {count}."
        )
    if count is None:
        check_whole(workload, source, len(samples), purpose)
    if workload.benchmark is not None and source.kind == "official":
        _check_official(workload, source, samples, purpose)
    return samples


def _check_official(
    workload: Workload, source: Source, samples: Sequence[Sample], purpose: Purpose
) -> None:
    for number, sample in enumerate(samples):
        if sample.official_ids is None:
            raise DatasetError(
                f"{source.name} record {number} has no `tok_input`; get the official file again, "
                "or give articles of your own as a .jsonl of article/highlights."
            )
    if purpose == "evaluation":
        _check_lengths(workload, source, [sample.official_ids or () for sample in samples])


def _check_lengths(workload: Workload, source: Source, prompts: Sequence[Sized]) -> None:
    """Raise DatasetError for a prompt over the benchmark's limit, which nothing may truncate."""
    lengths = [len(ids) for ids in prompts]
    longest = max(lengths)
    if longest > workload.max_input_tokens:
        raise DatasetError(
            f"{source.name} record {lengths.index(longest)}: the prompt has {longest:,} tokens, "
            f"and the longest of {workload.name} has {workload.max_input_tokens:,}; take the "
            "official data, and the tokenizer of Llama-3.1-8B-Instruct by --model, because MLPerf "
            "truncates no prompt."
        )


def _tokenise(
    workload: Workload, samples: Sequence[Sample], tokenizer: Tokenizer, progress: Progress
) -> list[TokenIds]:
    texts = prompt_texts(workload, samples, tokenizer)
    return tokenizer.encode_batch(
        texts,
        lambda done: progress.update(done, len(texts)),
        add_special_tokens=not workload.chat_template,
    )


def prompt_texts(workload: Workload, samples: Sequence[Sample], tokenizer: Tokenizer) -> list[str]:
    """The text of each prompt: the workload's, in the checkpoint's chat template where the workload
    asks for that. Raises CheckpointError for a template that is missing or broken.
    """
    texts = [workload.prompt(sample.article) for sample in samples]
    if not workload.chat_template:
        return texts
    template = tokenizer.chat()
    return template.prompts(texts)


def _key(
    workload: Workload, source: Source, tokenizer: Tokenizer, count: int | None, purpose: Purpose
) -> str:
    rules = workload.model_dump(
        mode="json",
        include={
            "name",
            "benchmark",
            "data",
            "prompt_template",
            "chat_template",
            "num_samples",
            "max_input_tokens",
        },
    )
    origin = source.origin.model_dump(mode="json") if source.origin else None
    parts = [DatasetRecord.SCHEMA, rules, source.digest, origin, tokenizer.digest, count, purpose]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
