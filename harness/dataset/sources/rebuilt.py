"""CNN/DailyMail as the benchmark's own script takes it from the Hugging Face hub, or from a folder.

The rows of the split are checked one by one and written to a file named by its content, so that a
half-read split is never found again; MLCommons publishes no checksum to compare that file with.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from build_engine.digest import file_sha256
from build_engine.errors import DatasetError, EnvironmentFault
from build_engine.files import CACHE_REMEDY, cannot_write, write_beside, write_json
from build_engine.libraries import library_fault
from build_engine.records import Record, read_record
from build_engine.validation import Sha256, Text
from harness.dataset.record import Origin
from harness.dataset.sources import jsonl
from harness.dataset.sources.sample import Sample, distinct, name_text, optional_id, text

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.rules.workload import OfficialData

NAME = "cnn_dailymail"
_REPORT_EVERY = 1024  # rows
# What `datasets` raises for files that it cannot read; pyarrow's own error is a ValueError.
_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError)
_DATA = ("*.parquet", "*/*.parquet", "*.arrow", "*/*.arrow")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A file of articles, its SHA-256, and where its rows came from."""

    name: str
    path: Path
    digest: str
    origin: Origin


class _Index(Record):
    """What an earlier start made of a whole split: the file's name and SHA-256."""

    SCHEMA: ClassVar[int] = 1

    file: Text
    sha256: Sha256
    origin: Origin


def from_hub(data: OfficialData, num_samples: int, root: Path, progress: Progress) -> Rebuilt:
    """The benchmark's articles from the hub, found again below `root` without asking the hub once
    the split was there with all its rows.

    Raises DatasetError, EnvironmentFault, OutputError and MissingLibrary, each with what to do.
    """
    name = _name(data, num_samples)
    owner = data.hub.partition("/")[0]
    index = root / "sources" / f"{owner}-{name}.json"
    found = _find(name, index)
    if found is not None:
        return found
    rows, origin = _hub_rows(data, root, progress)
    rebuilt = _write(name, rows, data, num_samples, origin, root, progress)
    if rebuilt.origin.split_samples == data.split_samples[data.split]:
        entry = _Index(
            schema_version=_Index.SCHEMA,
            file=rebuilt.path.name,
            sha256=rebuilt.digest,
            origin=rebuilt.origin,
        )
        try:
            write_json(index, entry.to_json())
        except OSError as error:
            raise cannot_write(index, error, CACHE_REMEDY) from None
    return rebuilt


def from_folder(
    folder: Path, data: OfficialData, num_samples: int, root: Path, progress: Progress
) -> Rebuilt:
    """The benchmark's articles from a copy of the hub's repository, or from one that `datasets`
    saved. Raises DatasetError for a folder that is neither, or that lacks the split.
    """
    rows, config = _folder_rows(folder, data)
    origin = partial(Origin, folder=name_text(folder.resolve()), config=config, split=data.split)
    return _write(_name(data, num_samples), rows, data, num_samples, origin, root, progress)


def is_dataset(folder: Path) -> bool:
    """Whether a folder looks like a dataset: files in a format of one, there or one level below."""
    return any(next(folder.glob(pattern), None) for pattern in _DATA)


def shuffled(num_rows: int, seed: int) -> list[int]:
    """The order of `datasets.Dataset.shuffle(seed)`, which the benchmark's script calls."""
    import numpy as np

    order: list[int] = np.random.default_rng(seed).permutation(num_rows).tolist()
    return order


def _name(data: OfficialData, num_samples: int) -> str:
    part = "" if data.shuffle_seed is None else f"-first{num_samples}-seed{data.shuffle_seed}"
    return f"{data.short_name}-{data.config}-{data.split}{part}"


def _find(name: str, index: Path) -> Rebuilt | None:
    """What an earlier start wrote, None unless the file is there and as it was."""
    try:
        entry = read_record(index, _Index, DatasetError, "fetch it again")
        path = index.parent / entry.file
        if file_sha256(path) == entry.sha256:
            return Rebuilt(name, path, entry.sha256, entry.origin)
    except (OSError, DatasetError):
        return None
    return None


def _write(
    name: str,
    rows: Iterable[Any],
    data: OfficialData,
    num_samples: int,
    origin: Callable[..., Origin],
    root: Path,
    progress: Progress,
) -> Rebuilt:
    """`origin` makes one of the `split_samples` that are counted here."""
    progress.phase(f"Reading the {data.split} split of {data.short_name} {data.config}")
    samples = list(distinct(_samples(rows, name, data, progress)))
    counted = origin(split_samples=len(samples))
    if data.shuffle_seed is not None:
        order = shuffled(len(samples), data.shuffle_seed)[:num_samples]
        samples = [samples[position] for position in order]
    content = b"".join(jsonl.lines(samples))
    digest = hashlib.sha256(content).hexdigest()
    path = root / "sources" / f"{name}-{digest[:12]}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_beside(path, content)
    except OSError as error:
        raise cannot_write(path.parent, error, CACHE_REMEDY) from None
    return Rebuilt(name, path, digest, counted)


def _samples(
    rows: Iterable[Any], name: str, data: OfficialData, progress: Progress
) -> Iterator[tuple[str, Sample]]:
    expected = data.split_samples[data.split]
    for number, row in enumerate(_readable(rows, name)):
        where = f"{name} row {number}"
        article, highlights = (text(row, key, where) for key in ("article", "highlights"))
        yield where, Sample(article, highlights, id=optional_id(row, where))
        if number % _REPORT_EVERY == 0:
            progress.update(number, expected)


def _readable(rows: Iterable[Any], name: str) -> Iterator[Any]:
    try:
        yield from rows
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{name} cannot be read to its end ({reason}); get its files again."
        ) from error


def _hub_rows(
    data: OfficialData, root: Path, progress: Progress
) -> tuple[Iterable[Any], Callable[..., Origin]]:
    from harness.dataset.hub import fetch_split

    datasets = _datasets()
    if datasets.config.HF_HUB_OFFLINE:  # which HF_DATASETS_OFFLINE sets, too
        hub: Any = importlib.import_module("huggingface_hub.constants")
        hub.HF_HUB_OFFLINE = True
    origin = partial(Origin, hub=data.hub, config=data.config, split=data.split)
    try:
        split = fetch_split(data.hub, data.config, data.split, root, progress)
    except EnvironmentFault:
        cached = _loaded_before(data)
        if cached is None:
            raise
        progress.note(f"{data.hub} is taken from what `datasets` loaded before")
        return cached, origin
    rows = _parquet_rows(datasets, data, split.files)
    return rows, partial(origin, revision=split.revision)


def _parquet_rows(datasets: Any, data: OfficialData, files: Sequence[Path]) -> Iterable[Any]:
    rows: Iterable[Any] = datasets.load_dataset(
        "parquet",
        data_files={data.split: [str(file) for file in files]},
        split=data.split,
        streaming=True,  # the rows are wanted once; no second copy of them on disk
    )
    return rows


def _loaded_before(data: OfficialData) -> Iterable[Any] | None:
    """The split from the cache of `datasets`, which that library reads at once when HF_HUB_OFFLINE
    is set, and only after long retries when it is not.
    """
    datasets = _datasets()
    if not datasets.config.HF_HUB_OFFLINE:
        return None
    for name in (data.hub, data.short_name):  # the dataset had no owner in its name before 2024
        try:
            rows: Iterable[Any] = datasets.load_dataset(name, data.config, split=data.split)
        except _UNREADABLE:
            continue
        return rows
    return None


def _folder_rows(folder: Path, data: OfficialData) -> tuple[Iterable[Any], str]:
    """The rows of the split, and the configuration that they are of."""
    datasets = _datasets()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            return _saved_rows(datasets.load_from_disk(str(folder)), folder, data.split)
        configs = datasets.get_dataset_config_names(str(folder))
        config = data.config if data.config in configs else "default"
        if config not in configs:
            raise DatasetError(
                f"{folder} has no configuration {data.config}; it has: {', '.join(configs)}."
            )
        _check_split(folder, data.split, datasets.get_dataset_split_names(str(folder), config))
        rows: Iterable[Any] = datasets.load_dataset(
            str(folder), config, split=data.split, streaming=True
        )
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{folder} is not a dataset that `datasets` can read ({reason}); give a copy of "
            f"{data.hub}, or the official {data.file}."
        ) from error
    return rows, config


def _saved_rows(saved: Any, folder: Path, split: str) -> tuple[Iterable[Any], str]:
    """The rows and the configuration of what `save_to_disk` wrote: a dictionary of splits, or one
    split by its name.
    """
    splits = saved if isinstance(saved, dict) else {str(saved.split or "unnamed"): saved}
    _check_split(folder, split, list(splits))
    rows: Any = splits[split]
    return rows, str(rows.info.config_name or "unnamed")


def _check_split(folder: Path, split: str, found: Sequence[str]) -> None:
    if split not in found:
        raise DatasetError(
            f"{folder} has no {split} split, which the benchmark uses; it has: {', '.join(found)}."
        )


def _datasets() -> Any:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise library_fault(error, "datasets", "hub") from error
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # what it finds wrong is said by us
    return datasets
