"""The files of one split of a dataset on the Hugging Face hub, on this machine: all of them, or
none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from build_engine.download import download, earlier_commits
from build_engine.errors import DatasetError, EnvironmentFault
from build_engine.hub import Repository, library_folder, list_files

if TYPE_CHECKING:
    from harness.progress import Progress

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The parquet files of one split, in order, and the commit they are of."""

    files: tuple[Path, ...]
    revision: str


def fetch_split(hub_id: str, config: str, split: str, root: Path, progress: Progress) -> SplitFiles:
    """The files `<config>/<split>-*.parquet` of a dataset, from the library's cache, from ours
    below `root`, or downloaded now. Where the hub cannot be asked, the newest whole set of either
    cache serves.

    Raises DatasetError (gated, not there, no such split), EnvironmentFault (the hub cannot be
    reached or breaks off) and OutputError.
    """
    repository = dataset_repository(hub_id)
    place = root / "hub" / repository.folder_name
    pattern = f"{config}/{split}-*.parquet"
    try:
        listing = list_files(repository)
    except (DatasetError, EnvironmentFault):
        earlier = _cached(repository, pattern) or _downloaded(place, pattern)
        if earlier is None:
            raise
        progress.note(f"{hub_id} is taken from the cache: {earlier.revision[:12]}")
        return earlier
    wanted = [remote for remote in listing.files if PurePosixPath(remote.name).match(pattern)]
    if not wanted:
        raise DatasetError(
            f"{hub_id} has no file {pattern} at commit {listing.commit}; check HF_ENDPOINT, "
            f"{repository.otherwise}."
        )
    _check_shards(repository, [remote.name for remote in wanted])
    folder = place / listing.commit
    files = download(repository, listing.commit, wanted, folder, progress, hub_id)
    return SplitFiles(files, listing.commit)


def dataset_repository(hub_id: str) -> Repository:
    """A dataset of the hub, for which the benchmark's official file can stand in."""
    return Repository(
        hub_id=hub_id,
        kind="dataset",
        fault=DatasetError,
        otherwise="or give the official file with --dataset",
    )


def _check_shards(repository: Repository, names: Sequence[str]) -> None:
    """Raise DatasetError when files `-00000-of-00003` are not all there."""
    shards = [match for name in names if (match := _SHARD.search(name))]
    totals = {int(shard.group(2)) for shard in shards}
    if totals and totals != {len(shards)}:
        raise DatasetError(
            f"{repository.hub_id} has {len(shards)} of {max(totals)} files of the split; get the "
            f"rest, {repository.otherwise}."
        )


def _cached(repository: Repository, pattern: str) -> SplitFiles | None:
    """What the library has in its own cache, None unless that is every file."""
    folder = library_folder(repository, None, [pattern])
    files = sorted(folder.glob(pattern)) if folder is not None else []
    if folder is None or not files:
        return None
    _check_shards(repository, [file.name for file in files])
    return SplitFiles(tuple(files), folder.name)


def _downloaded(place: Path, pattern: str) -> SplitFiles | None:
    """What an earlier start downloaded, None unless that is every file."""
    for commit in earlier_commits(place):
        files = sorted(commit.glob(pattern))
        shards = [match for file in files if (match := _SHARD.search(file.name))]
        if files and all(int(shard.group(2)) == len(files) for shard in shards):
            return SplitFiles(tuple(files), commit.name)
    return None
