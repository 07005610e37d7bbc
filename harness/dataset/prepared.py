"""Prepared datasets: prompt ids and references, made once and found again by content.

Preparing tokenises each article inside the workload's prompt, untimed, as MLPerf allows; the result
lies in the cache under the digest of everything that went into it, with what was found out about
it: how it compares with the official token ids, and whether it may carry the benchmark's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.tokenizer import Tokenizer, bos_id
from build_engine.digest import file_sha256, hash_file
from build_engine.errors import CheckpointError, DatasetError, OutputError, UsageError
from harness.dataset.prompts import FILES as PROMPT_FILES
from harness.dataset.prompts import load_prompts, prompt_lengths, save_prompts
from harness.dataset.sources import bundled, rebuilt
from harness.dataset.sources.sample import Purpose, Sample
from harness.dataset.sources.source import Source
from harness.dataset.sources.standing import (
    SetFacts,
    check_whole,
    expected_samples,
    notes,
    shortfalls,
)

if TYPE_CHECKING:
    from build_engine.store.limits import EngineLimits
    from harness.progress import Progress
    from harness.rules.workload import Workload
    from runtime.executor import TokenIds

__all__ = ["BUNDLED", "FETCHED", "Dataset", "Purpose", "Sample", "Source", "prepare"]

BUNDLED = bundled.NAME
FETCHED = rebuilt.NAME
_VERSION = 3  # of the prepared folder's layout
_REFERENCES = "references.json"
_META = "dataset.json"
_CONTENT = (_REFERENCES, *PROMPT_FILES)
_SHOWN_DIFFERENCES = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset: a folder, and what was recorded about it."""

    folder: Path
    meta: dict[str, Any]

    @property
    def num_samples(self) -> int:
        """Samples in it."""
        return int(self.meta["num_samples"])

    @property
    def digest(self) -> str:
        """SHA-256 of the prompt ids and references."""
        return str(self.meta["digest"])

    @property
    def max_prompt_len(self) -> int:
        """Tokens of the longest prompt."""
        return int(self.meta["prompt_tokens"]["max"])

    @property
    def benchmark(self) -> str | None:
        """The MLPerf benchmark whose whole evaluation set this is, else None."""
        name: str | None = self.meta.get("benchmark")
        return name

    @property
    def shortfalls(self) -> list[str]:
        """Why it is not the benchmark's set for its purpose; none when it is."""
        return list(self.meta.get("shortfalls", []))

    def prompts(self) -> list[TokenIds]:
        """Prompt ids of each sample, int32 of shape [prompt length]."""
        return load_prompts(self.folder)

    def references(self) -> list[str]:
        """The reference summary of each sample."""
        references: list[str] = json.loads((self.folder / _REFERENCES).read_text(encoding="utf-8"))
        return references

    def check_fits(self, workload: Workload, limits: EngineLimits) -> None:
        """Raise DatasetError when a prompt is longer than the workload allows, or than an engine
        with `limits` takes, alone or with its answer.
        """
        longest = self.max_prompt_len
        self._check_lengths(
            workload.max_input_tokens,
            f"workload `{workload.name}`",
            f"shorten those articles, or use --set workload.max_input_tokens={longest}",
        )
        self._check_lengths(
            limits.max_input_len, "the engine", f"build an engine with --max-input-len {longest}"
        )
        room = limits.max_seq_len - longest
        if room < workload.max_new_tokens:
            raise DatasetError(
                f"The longest prompt has {longest} tokens and leaves {room} of the engine's "
                f"{limits.max_seq_len} for an answer of {workload.max_new_tokens}; build an engine "
                f"with --max-input-len {longest + workload.max_new_tokens}."
            )

    def check_ids(self, vocab_size: int) -> None:
        """Raise DatasetError when a prompt has an id for which the model has no embedding."""
        largest = max(int(ids.max()) for ids in self.prompts())
        if largest >= vocab_size:
            raise DatasetError(
                f"The tokenizer gives id {largest}, and the model has {vocab_size} tokens; take "
                "the tokenizer.json that belongs to the checkpoint."
            )

    def _check_lengths(self, limit: int, whose: str, remedy: str) -> None:
        if self.max_prompt_len <= limit:
            return
        lengths = prompt_lengths(self.folder)
        too_long = sum(length > limit for length in lengths)
        raise DatasetError(
            f"{too_long} of {len(lengths)} prompts are longer than the limit of {whose}, {limit} "
            f"tokens (the longest has {self.max_prompt_len}); {remedy}."
        )


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
    key = _key(workload, source, model_folder, count, purpose)
    folder = root / "datasets" / f"{workload.name}-{source.stem}-{key[:12]}"
    prepared = _find(folder)
    if prepared is not None:
        return prepared
    progress.phase(f"Preparing the dataset {source.name}")
    samples = _read(workload, source, count, purpose, progress)
    tokenizer = Tokenizer.load(model_folder)
    prompts = _tokenise(workload, samples, tokenizer, progress)
    if workload.benchmark is not None and purpose == "evaluation":
        _check_lengths(workload, source, prompts)
    meta = _describe(workload, source, samples, prompts, purpose, tokenizer, count is not None)
    try:
        return _publish(folder, prompts, [sample.reference for sample in samples], meta)
    except OSError as error:
        raise OutputError(
            f"The cache {root} takes no prepared dataset ({error.strerror or error}); free space, "
            f"or point ENGINEBENCH_HOME at another folder."
        ) from None


def check_count(count: int | None) -> None:
    """Raise UsageError for a number of samples below 1."""
    if count is not None and count < 1:
        raise UsageError(f"--count is {count}; give 1 or more.")


def _find(folder: Path) -> Dataset | None:
    """What was prepared earlier; None when there is nothing, or it is not as it was written."""
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        whole = all(file_sha256(folder / name) == meta["files"][name] for name in _CONTENT)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Dataset(folder, meta) if whole and meta.get("version") == _VERSION else None


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
            f"The dataset {source.name} has {len(samples)} samples, fewer than --count {count}."
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
    texts = [workload.prompt(sample.article) for sample in samples]
    return tokenizer.encode_batch(texts, lambda done: progress.update(done, len(texts)))


def _describe(
    workload: Workload,
    source: Source,
    samples: Sequence[Sample],
    prompts: Sequence[TokenIds],
    purpose: Purpose,
    tokenizer: Tokenizer,
    trial: bool,
) -> dict[str, Any]:
    lengths = sorted(len(ids) for ids in prompts)
    differences, compared = _differences(samples, prompts)
    facts = SetFacts(
        num_samples=len(samples),
        trial=trial,
        num_distinct=len({sample.article for sample in samples}),
        longest=lengths[-1],
        different_ids=len(differences),
        wrong_bos=sum(_num_bos(ids, tokenizer.bos_id) != 1 for ids in prompts),
        vocab_size=tokenizer.vocab_size,
    )
    lacking = shortfalls(workload, source, facts, purpose)
    return {
        "version": _VERSION,
        "workload": workload.name,
        "purpose": purpose,
        "benchmark": None if lacking or purpose == "calibration" else workload.benchmark,
        "shortfalls": lacking,
        "notes": [] if lacking else notes(workload, source, facts, purpose),
        "source": source.name,
        "source_kind": source.kind,
        "source_digest": source.digest,
        "origin": source.origin,
        "num_samples": facts.num_samples,
        "num_distinct": facts.num_distinct,
        "digest": _digest(
            (ids.tobytes(), sample.reference) for ids, sample in zip(prompts, samples, strict=True)
        ),
        "articles_digest": _digest(
            (sample.article.encode(), sample.reference) for sample in samples
        ),
        "prompt_tokens": {
            "min": lengths[0],
            "median": lengths[len(lengths) // 2],
            "max": lengths[-1],
            "total": sum(lengths),
        },
        "official_ids": {"compared": compared, "different": len(differences)},
        "first_differences": differences[:_SHOWN_DIFFERENCES],
    }


def _differences(
    samples: Sequence[Sample], prompts: Sequence[TokenIds]
) -> tuple[list[dict[str, int]], int]:
    """Where our prompt ids part from the official file's own, and how many prompts it gives."""
    found: list[dict[str, int]] = []
    compared = 0
    for number, (sample, prompt) in enumerate(zip(samples, prompts, strict=True)):
        if sample.official_ids is None:
            continue
        compared += 1
        ours, theirs = prompt.tolist(), sample.official_ids.tolist()
        if ours != theirs:
            shorter = min(len(ours), len(theirs))
            parting = (i for i in range(shorter) if ours[i] != theirs[i])
            found.append({"sample": number, "token": next(parting, shorter)})
    return found, compared


def _digest(parts: Iterable[tuple[bytes, str]]) -> str:
    digest = hashlib.sha256()
    for content, reference in parts:
        digest.update(content + b"\0" + reference.encode() + b"\0")
    return digest.hexdigest()


def _num_bos(ids: TokenIds, bos_id: int | None) -> int:
    """How many BOS tokens a prompt begins with."""
    return next((i for i, token in enumerate(ids.tolist()) if token != bos_id), len(ids))


def _publish(
    folder: Path, prompts: Sequence[TokenIds], references: Sequence[str], meta: dict[str, Any]
) -> Dataset:
    """Write beside, then rename: a prepared folder is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".preparing-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir()  # readable to whom the umask allows, as the engines are
        save_prompts(temporary, prompts)
        (temporary / _REFERENCES).write_text(json.dumps(references), encoding="utf-8")
        files = {name: hash_file(temporary / name) for name in _CONTENT}
        meta = {**meta, "files": files}
        (temporary / _META).write_text(json.dumps(meta, indent=2), encoding="utf-8")
        if _find(folder) is None and folder.exists():
            shutil.rmtree(folder)  # a damaged one
        temporary.rename(folder)
    except OSError:
        if _find(folder) is None:  # unless another process made the same one meanwhile
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Dataset(folder, meta)


def _key(
    workload: Workload, source: Source, model_folder: Path, count: int | None, purpose: Purpose
) -> str:
    path = model_folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{model_folder} has no tokenizer.json; get the whole checkpoint.")
    tokenizer = [file_sha256(path), bos_id(model_folder)]
    rules = workload.model_dump(
        mode="json",
        include={"name", "benchmark", "data", "prompt_template", "num_samples", "max_input_tokens"},
    )
    parts = [_VERSION, rules, source.digest, source.origin, tokenizer, count, purpose]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
