"""Prepared datasets: prompt ids and references, made once and found again by content.

Samples come from the bundled generator, a JSONL file of `article`/`highlights`, or the official
JSON list of `input`/`output`. Preparing tokenises each article inside the workload's prompt,
untimed, as MLPerf allows; the result lies in the cache under the digest of everything that went
into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.digest import file_sha256
from build_engine.errors import CheckpointError, DatasetError, OutputError, UsageError
from harness.prompts import FILES as PROMPT_FILES
from harness.prompts import load_prompts, prompt_lengths, save_prompts

if TYPE_CHECKING:
    from build_engine.engine import EngineLimits
    from harness.progress import Progress
    from harness.workload import Workload
    from runtime.executor import TokenIds

BUNDLED = "newsbrief"
_VERSION = 1  # of the prepared folder's layout
_REFERENCES = "references.json"
_META = "dataset.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """One article and its reference summary; `official_ids` is the file's own `tok_input`."""

    article: str
    reference: str
    official_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where samples come from, and the digest of what is there."""

    name: str
    digest: str
    path: Path | None

    @classmethod
    def find(cls, text: str) -> Source:
        """A file by its path, or the bundled generator by its name. Raises DatasetError."""
        path = Path(text)
        with contextlib.suppress(RuntimeError):  # ~name of nobody is a file's own name
            path = path.expanduser()
        if path.is_file():
            return cls(path.name, file_sha256(path), path.resolve())
        if text == BUNDLED:
            return cls(BUNDLED, _generator_digest(), None)
        raise DatasetError(
            f"There is no dataset file `{text}`; give a .jsonl of article/highlights, the official "
            f"cnn_eval.json, or `{BUNDLED}`."
        )

    def samples(self, count: int | None) -> Iterator[Sample]:
        """The first `count` samples (all of a file when None)."""
        if self.path is None:
            yield from _bundled_samples(count)
            return
        read = _json_samples if self.path.suffix == ".json" else _jsonl_samples
        for number, sample in enumerate(read(self.path)):
            if number == count:
                return
            yield sample


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
) -> Dataset:
    """The prepared dataset of these inputs: found in the cache under `root`, or made.

    `model_folder` holds the tokenizer: a checkpoint's folder, or an engine's. Raises DatasetError
    when the source is empty, broken, or smaller than `count`, OutputError when the cache takes no
    more. A preparation that fails leaves nothing behind.
    """
    check_count(count)
    key = _key(workload, source, model_folder, count)
    folder = root / "datasets" / f"{workload.name}-{source.name.split('.')[0]}-{key[:12]}"
    prepared = _find(folder)
    if prepared is not None:
        return prepared
    progress.phase(f"Preparing the dataset {source.name}")
    samples = list(source.samples(count))
    if not samples:
        raise DatasetError(f"The dataset {source.name} is empty; it needs at least one sample.")
    if count is not None and len(samples) < count:
        raise DatasetError(
            f"The dataset {source.name} has {len(samples)} samples, fewer than --count {count}."
        )
    prompts = _tokenise(workload, samples, model_folder, progress)
    references = [sample.reference for sample in samples]
    meta = _describe(workload, source, samples, prompts, references)
    try:
        _publish(folder, prompts, references, meta)
    except OSError as error:
        raise OutputError(
            f"The cache {root} takes no prepared dataset ({error.strerror or error}); free space, "
            f"or point ENGINEBENCH_HOME at another folder."
        ) from None
    return Dataset(folder, meta)


def check_count(count: int | None) -> None:
    """Raise UsageError for a number of samples below 1."""
    if count is not None and count < 1:
        raise UsageError(f"--count is {count}; give 1 or more.")


def _find(folder: Path) -> Dataset | None:
    """What was prepared earlier; None when there is nothing, or nothing whole."""
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = all((folder / name).is_file() for name in (_REFERENCES, *PROMPT_FILES))
    return Dataset(folder, meta) if whole else None


def _tokenise(
    workload: Workload, samples: Sequence[Sample], model_folder: Path, progress: Progress
) -> list[TokenIds]:
    from harness.tokenizer import Tokenizer

    texts = [workload.prompt(sample.article) for sample in samples]
    return Tokenizer.load(model_folder).encode_batch(
        texts, lambda done: progress.update(done, len(texts), {})
    )


def _describe(
    workload: Workload,
    source: Source,
    samples: Sequence[Sample],
    prompts: Sequence[TokenIds],
    references: Sequence[str],
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for ids, reference in zip(prompts, references, strict=True):
        digest.update(ids.tobytes() + b"\0" + reference.encode() + b"\0")
    lengths = sorted(len(ids) for ids in prompts)
    official = [
        (ids, sample.official_ids)
        for ids, sample in zip(prompts, samples, strict=True)
        if sample.official_ids is not None
    ]
    return {
        "version": _VERSION,
        "workload": workload.name,
        "source": source.name,
        "source_digest": source.digest,
        "num_samples": len(samples),
        "digest": digest.hexdigest(),
        "prompt_tokens": {
            "min": lengths[0],
            "median": lengths[len(lengths) // 2],
            "max": lengths[-1],
            "total": sum(lengths),
        },
        "official_ids": {
            "compared": len(official),
            "different": sum(tuple(ids.tolist()) != theirs for ids, theirs in official),
        },
    }


def _publish(
    folder: Path, prompts: Sequence[TokenIds], references: Sequence[str], meta: dict[str, Any]
) -> None:
    """Write beside, then rename: a prepared folder is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".preparing-", dir=folder.parent))
    try:
        save_prompts(temporary, prompts)
        (temporary / _REFERENCES).write_text(json.dumps(references), encoding="utf-8")
        (temporary / _META).write_text(json.dumps(meta, indent=2), encoding="utf-8")
        if _find(folder) is None and folder.exists():
            shutil.rmtree(folder)  # a damaged one
        temporary.rename(folder)
    except OSError:
        if _find(folder) is None:  # unless another process made the same one meanwhile
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _key(workload: Workload, source: Source, model_folder: Path, count: int | None) -> str:
    tokenizer = model_folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise CheckpointError(f"{model_folder} has no tokenizer.json; get the whole checkpoint.")
    parts = [_VERSION, workload.prompt_template, source.digest, file_sha256(tokenizer), count]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _generator_digest() -> str:
    """Of the generator's source: its articles follow from it alone."""
    import newsbrief

    folder = Path(newsbrief.__file__).parent
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("*.py")), *sorted(folder.glob("topics/*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _bundled_samples(count: int | None) -> Iterator[Sample]:
    import newsbrief

    if count is None:
        raise DatasetError(f"`{BUNDLED}` has no end; say how many samples with --count.")
    for article in newsbrief.articles("validation", count):
        yield Sample(article.article, article.highlights)


def _jsonl_samples(path: Path) -> Iterator[Sample]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetError(
                    f"{where} is not valid JSON ({error}); mend or remove it."
                ) from None
            yield Sample(
                _text(record, "article", where),
                _text(record, "highlights", where),
            )


def _json_samples(path: Path) -> Iterator[Sample]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path.name} is not valid JSON ({error}); get it again.") from None
    if not isinstance(records, list):
        raise DatasetError(f"{path.name} must be a JSON list of records, as the official file is.")
    for number, record in enumerate(records):
        where = f"{path.name} record {number}"
        ids = record.get("tok_input") if isinstance(record, dict) else None
        if ids is not None and not (isinstance(ids, list) and all(type(i) is int for i in ids)):
            raise DatasetError(f"{where}: `tok_input` is not a list of token ids.")
        yield Sample(
            _text(record, "input", where),
            _text(record, "output", where),
            tuple(ids) if ids is not None else None,
        )


def _text(record: Any, key: str, where: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{where} has no text under `{key}`; mend or remove it.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DatasetError(
            f"{where}: `{key}` holds half of a surrogate pair, which is no character; mend or "
            f"remove it."
        ) from None
    return value
